import json
import pathlib

import jax
import jax.numpy as jnp
import pytest

from configs import default
from mobilenet_v2 import config as config_lib
from mobilenet_v2.models.build import build_model
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2
from mobilenet_v2.models.variants import PREPROCESSING, VARIANTS, build_variant

COUNTS = json.loads((pathlib.Path(__file__).parents[1] / "reference" / "counts.json").read_text())

# Padding, ε, momentum, unbiased moving variance, dropout, classes of each source.
SOURCES = {
    "slim/mobilenet_v2": ("same", 1e-3, 0.997, True, 0.2, 1001),
    "keras/mobilenet_v2": ("same", 1e-3, 0.999, False, 0.0, 1000),
    "torchvision/mobilenet_v2": ("symmetric", 1e-5, 0.9, True, 0.2, 1000),
    "timm/mobilenetv2": ("symmetric", 1e-5, 0.9, True, 0.0, 1000),
    "hf/mobilenet_v2": ("same", 1e-3, 0.003, True, 0.8, 1001),
    "slim/mobilenet_v1": ("same", 1e-3, 0.9997, True, 0.001, 1001),
    "keras/mobilenet_v1": ("keras_v1", 1e-3, 0.99, False, 0.001, 1000),
}


def trainable(name: str) -> int:
    """What was counted on the source, with 1000 classes."""
    architecture = name.split("/")[1]
    for entry in COUNTS["deep"]:
        if architecture.endswith(entry["name"]):
            return entry["trainable"]
    table = "mobilenet_v1" if "v1" in architecture else "mobilenet_v2"
    width = int(architecture.split("_")[1 if "mobilenetv2" in architecture else 2]) / 100
    rules = ("shrink",) if architecture.endswith("shrunk_head") else ("paper", "either")
    return next(
        entry["trainable"]
        for entry in COUNTS[table]
        if (entry["width"], entry["classes"]) == (width, 1000) and entry.get("head_rule", "paper") in rules
    )


@pytest.mark.parametrize("source", SOURCES)
def test_a_source_has_its_own_constants(source: str) -> None:
    model = build_variant(f"{source}_100")
    assert isinstance(model, MobileNetV1 if "v1" in source else MobileNetV2)
    assert SOURCES[source] == (
        model.padding,
        model.batch_norm_epsilon,
        model.batch_norm_momentum,
        model.batch_norm_unbiased,
        model.dropout_rate,
        model.num_classes,
    )


@pytest.mark.parametrize(
    # Every third in `make test`: all sources, not all widths.
    "name",
    [pytest.param(name, marks=pytest.mark.slow if place % 3 else ()) for place, name in enumerate(VARIANTS)],
)
def test_a_variant_has_the_parameters_that_were_counted_on_its_source(name: str) -> None:
    model = build_variant(name, num_classes=1000, formulation="lax", initialization="huggingface")
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes["params"])) == trainable(name)


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_a_valid_config_of_the_same_network(name: str) -> None:
    config = default.get_config()
    config.update_from_flattened_dict(VARIANTS[name].overrides())
    config_lib.validate(config)
    assert build_model(config.model) == build_variant(name)


def test_a_variant_may_be_changed() -> None:
    model = build_variant("timm/mobilenetv2_100", num_classes=0, activation="hard_swish")
    assert model.num_classes == 0
    assert model.activation is jax.nn.hard_swish
    assert model.padding == "symmetric"


def test_a_misspelt_variant_is_refused_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"no variant 'timm/mobilenet_v2_100'; there are .*timm/mobilenetv2_100"):
        build_variant("timm/mobilenet_v2_100")


def test_timms_deep_networks_keep_stem_and_head() -> None:
    model = build_variant("timm/mobilenetv2_120d")
    assert (model.stem_width(), model.head_width()) == (32, 1280)
    assert [stage.repeats for stage in model.stages] == [1, 3, 5, 6, 5, 5, 1]


# Black and white of the first and the last channel, as each source feeds them.
@pytest.mark.parametrize("key, low, high", [
    ("slim", -1.0, 1.0),
    ("keras", -1.0, 1.0),
    ("hf", -1.0, 1.0),
    ("timm", -2.1179, 2.64),
    ("torchvision", -2.1179, 2.64),
    ("torchvision_v2", -2.1179, 2.64),
])  # fmt: skip
def test_preprocessing_gives_black_and_white_the_values_of_its_source(key: str, low: float, high: float) -> None:
    preprocessing = PREPROCESSING[key]
    assert -preprocessing.mean[0] / preprocessing.std[0] == pytest.approx(low, abs=1e-3)
    assert (1 - preprocessing.mean[2]) / preprocessing.std[2] == pytest.approx(high, abs=1e-3)


def test_every_variant_names_a_preprocessing_of_its_size() -> None:
    assert {PREPROCESSING[variant.preprocessing].crop_size for variant in VARIANTS.values()} == {224}
