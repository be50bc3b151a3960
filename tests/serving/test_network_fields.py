"""What a notebook may state of a network, and what it is told otherwise."""

import pathlib
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import mobilenet_v2 as mnv2
from mobilenet_v2 import config as config_lib
from mobilenet_v2.errors import ConfigError
from mobilenet_v2.models.mobilenet_v2 import Stage
from tests.changed_config import changed

REFUSED = [
    ("depthwise_order", "x"),
    ("residual", "yes"),
    ("batch_norm_placement", "x"),
    ("linear_bottleneck", "no"),
    ("output_stride", 7),
    ("dropout_rate", 7.0),
    ("width_multiplier", -1.0),
    ("width_multiplier", "half"),
    ("stem_stride", 0),
    ("expansion_factor", 0),
    ("stages", ()),
    ("stages", ((1, 16, 1),)),
    ("stages", ((1, 16, 1, 3),)),
    ("separable_stages", ((64, 0, 1),)),
    ("head_channels", 7),
    ("activation", "tanh"),
    ("dtype", "float16"),
]


@pytest.mark.parametrize("field, value", REFUSED)
def test_a_value_is_refused_in_the_words_of_the_command_line(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as told:
        config_lib.validate(changed(f"model.{field}", value))
    with pytest.raises(ValueError, match=field) as found:
        mnv2.create_model("mobilenet_v2", **{field: value})
    assert str(found.value) == str(told.value).replace("config.model.", "")


def test_a_published_network_s_fields_are_checked_as_well() -> None:
    with pytest.raises(ValueError, match=r"head_channels is 7, .* at least channel_divisor, 8"):
        mnv2.create_model("timm/mobilenetv2_100", head_channels=7)
    with pytest.raises(ValueError, match="residual is 'none', must be 'bottlenecks' where name is 'mobilenet_v1'"):
        mnv2.create_model("keras/mobilenet_v1_025", residual="none")


@pytest.mark.parametrize(
    "field, value, says",
    [
        ("num_classes", -3, "num_classes is -3, must be an integer ≥ 0"),
        ("stages", [(1, 16, 1)], r"stages\[0\] is \(1, 16, 1\), must be \(t or None, channels, repeats, stride\)"),
        ("stages", 3, "stages is 3, must be a non-empty tuple"),
        ("frozen", "x", "frozen is 'x', must be one of 'nothing', 'batch_norm', 'backbone'"),
        ("batch_norm_groups", 0, "batch_norm_groups is 0, must be an integer ≥ 1"),
        ("batch_norm", "no", "batch_norm is 'no', must be True or False"),
        ("width", 0.5, "no network has a field 'width'; did you mean 'width_multiplier'"),
        ("dtype", 3, "dtype is 3, must be one of 'float32', 'bfloat16'"),
    ],
)
def test_so_are_the_fields_that_no_config_states(field: str, value: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mnv2.create_model("mobilenet_v2", **{field: value})


def test_lists_numpys_numbers_and_types_are_taken() -> None:
    model = mnv2.create_model(
        stages=[[1, 16, 1, 1]], width_multiplier=np.float64(0.5), num_classes=np.int64(7), dtype=jnp.bfloat16
    )
    assert model == mnv2.create_model(
        stages=(Stage(1, 16, 1, 1),), width_multiplier=0.5, num_classes=7, dtype="bfloat16"
    )
    hash(model)  # which compiling needs


@pytest.mark.parametrize("num_classes", [0, 1])
def test_a_network_may_have_one_class_or_no_classifier(num_classes: int) -> None:
    assert mnv2.create_model(num_classes=num_classes).num_classes == num_classes


@pytest.mark.parametrize(
    "name, says",
    [
        (3, "the network's name is 3, must be text"),
        (None, "the network's name is None, must be text"),
        ("mobilenet_v3", "'mobilenet_v3': there are mobilenet_v2, mobilenet_v1, .*; did you mean 'mobilenet_v2'"),
        ("mobilenetv2_110d", "did you mean 'timm/mobilenetv2_110d'"),
        (
            "timm/mobilenetv2_100.ra_in1k",
            "its weights are loaded by load_pretrained; did you mean 'timm/mobilenetv2_100'",
        ),
    ],
)
def test_an_unknown_network_is_told_what_there_is(name: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        mnv2.create_model(name)


def test_a_run_and_a_file_are_no_names(tmp_path: pathlib.Path) -> None:
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "file").touch()
    for name in ("run", "file"):
        with pytest.raises(ValueError, match=f"that is a {name}, and a {name} is loaded by load_pretrained"):
            mnv2.create_model(str(tmp_path / name))
