import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.models.folding import fold_batch_norm
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1, SeparableStage
from tests.models.random_networks import distance, images, random_variables, train

BLOCKS = [f"block_{index:02d}" for index in range(13)]


def small(**fields: Any) -> MobileNetV1:
    stages = (SeparableStage(16, 1, 1), SeparableStage(16, 2, 2))
    return MobileNetV1(
        **{"num_classes": 5, "stem_channels": 8, "separable_stages": stages, "dropout_rate": 0.0, **fields}
    )


def shapes(model: MobileNetV1, side: int = 32) -> Any:
    return jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, side, side, 3)), train=False))


def test_the_paper_network_has_13_blocks_between_stem_and_classifier() -> None:
    variables = shapes(MobileNetV1())
    params = variables["params"]
    assert set(params) == {"stem", *BLOCKS, "classifier"}
    assert all(set(params[name]) == {"depthwise", "pointwise"} for name in BLOCKS)
    assert all(set(params[name]["pointwise"]) == {"conv", "bn"} for name in BLOCKS)
    assert params["classifier"]["kernel"].shape == (1024, 1000)
    assert len(jax.tree.leaves(variables)) == 137


def test_strides_are_those_of_table_1() -> None:
    strides = [stride for _, stride in MobileNetV1().blocks()]
    assert strides == [1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1]


@pytest.mark.parametrize("width, stem, last", [(0.25, 8, 256), (0.6, 19, 614), (0.1, 8, 102), (1.0, 32, 1024)])
def test_widths_are_cut_to_whole_channels_and_at_least_8(width: float, stem: int, last: int) -> None:
    params = shapes(MobileNetV1(width_multiplier=width))["params"]
    assert params["stem"]["conv"]["kernel"].shape[-1] == stem
    assert params["classifier"]["kernel"].shape[0] == last


def test_every_layer_is_clipped_and_nothing_is_added() -> None:
    model, x = small(formulation="lax"), images(2, 12, 12, 3)
    variables = random_variables(model, x)
    names = [name for name in model.endpoint_names() if name.startswith(("stem", "block"))]
    for value in model.endpoints(variables, x, names).values():
        assert value.min() == 0
        assert value.max() <= 6


@pytest.mark.parametrize("padding", ["same", "symmetric", "keras_v1"])
@pytest.mark.parametrize("side", [pytest.param(12, marks=pytest.mark.slow), 13])
def test_formulations_agree(padding: Any, side: int) -> None:
    model, x = small(padding=padding, formulation="lax"), images(2, side, side, 3)
    variables = random_variables(model, x)
    expected = jax.jit(functools.partial(train, model))(variables, x)
    for formulation in ("shifted", "auto", "fused"):
        ours = jax.jit(functools.partial(train, model.clone(formulation=formulation)))(variables, x)
        assert distance(ours[:2], expected[:2]) < 1e-4
        assert distance(ours[2], expected[2]) < 1e-2


@pytest.mark.parametrize("padding, sides", [
    ("same", [113, 57, 29, 15, 8]),
    ("symmetric", [113, 57, 29, 15, 8]),
    ("keras_v1", [113, 56, 28, 14, 7]),
])  # fmt: skip
def test_an_odd_side_is_halved_as_its_source_halves_it(padding: Any, sides: list[int]) -> None:
    model, x = MobileNetV1(padding=padding), jnp.zeros((1, 225, 225, 3))
    variables = shapes(model)
    names = ["stem", "block_01", "block_03", "block_05", "block_11"]
    found = jax.eval_shape(lambda v: model.endpoints(v, x, names), variables)
    assert [found[name].shape[1] for name in names] == sides


def test_keras_pads_odd_sides_as_same_pads_even_ones() -> None:
    x, odd = images(2, 24, 24, 3), images(2, 25, 25, 3)
    keras, same = small(padding="keras_v1", stem_stride=1), small(padding="same", stem_stride=1)
    variables = random_variables(same, x)
    np.testing.assert_array_equal(keras.apply(variables, x, train=False), same.apply(variables, x, train=False))
    assert distance(keras.apply(variables, odd, train=False), same.apply(variables, odd, train=False)) > 1e-3


def test_a_folded_network_has_the_same_logits() -> None:
    model, x = small(formulation="lax", padding="same", batch_norm_epsilon=1e-3), images(2, 12, 12, 3)
    variables = random_variables(model, x)
    without, params = fold_batch_norm(model, variables)
    assert distance(without.apply(params, x, train=False), model.apply(variables, x, train=False)) < 1e-5
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes(without))


@pytest.mark.parametrize("remat", ["convolutions", "blocks"])
def test_rematerialisation_changes_no_value(remat: Any) -> None:
    model, x = small(formulation="lax"), images(2, 12, 12, 3)
    variables = random_variables(model, x)
    expected = jax.jit(functools.partial(train, model))(variables, x)
    assert distance(jax.jit(functools.partial(train, model.clone(remat=remat)))(variables, x), expected) < 1e-4


@pytest.mark.parametrize("output_stride, side", [(32, 7), (16, 14), (8, 28)])
def test_features_are_as_fine_as_the_output_stride_says(output_stride: int, side: int) -> None:
    model, x = MobileNetV1(output_stride=output_stride), jnp.zeros((1, 224, 224, 3))
    found = jax.eval_shape(lambda v: model.endpoints(v, x, ["features"]), shapes(MobileNetV1()))
    assert found["features"].shape == (1, side, side, 1024)
