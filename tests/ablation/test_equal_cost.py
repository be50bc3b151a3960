import pytest
from ml_collections import ConfigDict

from configs import digits, image_folder, imagenet
from mobilenet_v2.ablation.equal_cost import widths_of_equal_cost
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model

FACTORS = (1, 2, 3, 4, 5, 7, 8, 9, 10)
# An independent count's widths for 300,774,272 multiply-adds, channels being multiples of 4, and what they come to.
AT_224_PIXELS = {
    1: (2.381, 300_621_080),
    2: (1.585, 303_934_248),
    3: (1.356, 301_322_196),
    4: (1.189, 305_405_456),
    5: (1.085, 302_843_644),
    7: (0.918, 304_982_588),
    8: (0.856, 303_413_216),
    9: (0.816, 302_043_372),
    10: (0.776, 298_127_488),
}


def multiply_adds(config: ConfigDict, **fields: float) -> int:
    model = build_model({**config.model.to_dict(), **fields})
    return cost.count(model, config.data.image_size, config.data.channels).multiply_adds


def test_at_width_1_they_are_those_of_an_independent_count() -> None:
    config = imagenet.get_config()
    config.model.num_classes = 1000
    found = widths_of_equal_cost(config, FACTORS)
    assert found.channel_divisor == 4
    for t, (width, _) in AT_224_PIXELS.items():
        assert found.width_multipliers[t] == pytest.approx(width, abs=0.0021)
    for t in (1, 4, 10):
        width, divisor = found.width_multipliers[t], found.channel_divisor
        counted = multiply_adds(config, expansion_factor=t, width_multiplier=width, channel_divisor=divisor)
        assert counted == AT_224_PIXELS[t][1]


@pytest.mark.parametrize("file", [digits, pytest.param(image_folder, marks=pytest.mark.slow)])
def test_every_t_comes_within_2_per_cent_also_of_a_narrow_network(file: ConfigDict) -> None:
    config = file.get_config()
    found = widths_of_equal_cost(config, FACTORS)
    wanted = multiply_adds(config)
    for t, width in found.width_multipliers.items():
        fields = {"expansion_factor": t, "width_multiplier": width, "channel_divisor": found.channel_divisor}
        assert abs(multiply_adds(config, **fields) / wanted - 1) <= 0.02


def test_mobilenet_v1_has_no_t() -> None:
    config = digits.get_config()
    config.model.name = "mobilenet_v1"
    with pytest.raises(ConfigError, match=r"config\.model\.name is 'mobilenet_v1', must be 'mobilenet_v2'"):
        widths_of_equal_cost(config, FACTORS)
