from typing import Any

import pytest

from configs import default
from mobilenet_v2 import config as config_lib
from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.errors import ConfigError
from tests.changed_config import changed


def test_the_table_of_fields_is_that_of_the_default_config() -> None:
    assert {name for name, _ in config_lib.flatten(default.get_config())} == set(FIELDS)


@pytest.mark.parametrize(
    "name, value",
    [
        ("seed", -1),
        ("seed", 2**32),
        ("seed", True),
        ("model.expansion_factor", 0),
        ("model.expansion_factor", None),
        ("model.width_multiplier", 0.0),
        ("model.width_multiplier", 17.0),
        ("model.width_multiplier", float("nan")),
        ("model.width_multiplier", "1.0"),
        ("model.stages", ()),
        ("model.stages", 3),
        ("model.stages", (3,)),
        ("model.stem_stride", 3),
        ("model.head_rule", "wide"),
        ("model.num_classes", 1),
        ("model.num_classes", 10.0),
        ("model.dropout_rate", 1.0),
        ("model.padding", "valid"),
        ("model.batch_norm_epsilon", 0.0),
        ("model.batch_norm_momentum", 1.0),
        ("model.batch_norm_fast_variance", 1),
        ("model.initialization", "kaiming"),
        ("model.dtype", "float16"),
        ("model.name", "mobilenet_v3"),
        ("model.stem_rule", "shrink"),
        ("model.output_stride", 12),
        ("model.output_stride", 64),
        ("model.output_stride", 8.0),
        ("model.batch_norm_unbiased", 1),
        ("model.activation", "mish"),
        ("model.linear_bottleneck", 0),
        ("model.residual", "all"),
        ("model.batch_norm_placement", "none"),
        ("model.depthwise_order", "first"),
        ("model.separable_stages", ()),
        ("data.name", ""),
        ("data.data_dir", ""),
        ("data.train_split", None),
        ("data.image_size", 0),
        ("data.channels", 4),
        ("data.mean", (0.5, 0.5)),
        ("data.mean", (0.5, 0.5, 127.5)),
        ("data.std", (0.5, 0.0, 0.5)),
        ("augment.rotation", 181.0),
        ("augment.zoom", 1.0),
        ("augment.shift", -0.1),
        ("data.num_threads", -1),
        ("data.num_workers", 2.0),
        ("data.cache", "disk"),
        ("data.max_unreadable", 1.5),
        ("train.batch_size", 0),
        ("train.num_epochs", 0.0),
        ("train.num_steps", 0),
        ("train.label_smoothing", -0.1),
        ("train.log_every", 0),
        ("train.keep_checkpoints", 0),
        ("optimizer.name", "adam"),
        ("optimizer.learning_rate", 0.0),
        ("optimizer.learning_rate", float("inf")),
        ("optimizer.momentum", 1.0),
        ("optimizer.weight_decay", -1e-5),
        ("optimizer.weight_decay_mask", "none"),
        ("optimizer.schedule", "linear"),
        ("optimizer.warmup_epochs", -1.0),
        ("optimizer.decay_rate", 0.0),
        ("optimizer.epochs_per_decay", 0.0),
        ("optimizer.ema_decay", 1.0),
    ],
)
def test_a_wrong_value_is_named_with_its_field_and_what_is_allowed(name: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        config_lib.validate(changed(name, value))
    assert str(caught.value) == f"config.{name} is {value!r}, must be {FIELDS[name].allowed}"
