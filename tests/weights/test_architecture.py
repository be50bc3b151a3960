import numpy as np
import pytest

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.models.layers import head_channels, make_divisible
from mobilenet_v2.models.mobilenet_v2 import PAPER_STAGES
from mobilenet_v2.weights.architecture import mobilenet_v2_fields
from mobilenet_v2.weights.arrays import Arrays

REPEATS = tuple(stage.repeats for stage in PAPER_STAGES)


def kernel(channels: int) -> np.ndarray:
    return np.broadcast_to(np.float32(0), (1, 1, 1, channels))


def shapes(width: float, rule: str) -> Arrays:
    """The kernels that tell a network of this width."""
    lasts = np.cumsum(REPEATS) - 1
    arrays = {
        f"params/block_{last:02d}/project/conv/kernel": kernel(make_divisible(row.channels * width))
        for last, row in zip(lasts, PAPER_STAGES, strict=True)
    }
    head = make_divisible(head_channels(1280, width, rule))
    stem = make_divisible(32 * width)
    return {**arrays, "params/head/conv/kernel": kernel(head), "params/stem/conv/kernel": kernel(stem)}


@pytest.mark.parametrize("rule", ["paper", "shrink"])
def test_every_width_gives_back_its_shapes(rule: str) -> None:
    for step in range(5, 401):
        arrays = shapes(step / 100, rule)
        fields = mobilenet_v2_fields("file", arrays, REPEATS)
        again = shapes(fields["width_multiplier"], fields["head_rule"])
        assert {name: array.shape for name, array in again.items()} == {name: a.shape for name, a in arrays.items()}
        assert fields["stem_rule"] == "scaled"


def test_a_head_of_no_rule_is_refused_with_the_widths_of_the_blocks() -> None:
    arrays = {**shapes(1.0, "paper"), "params/head/conv/kernel": kernel(1000)}
    with pytest.raises(WeightsError, match="1000 channels in its head, as no rule gives at a width of 1,"):
        mobilenet_v2_fields("file", arrays, REPEATS)
