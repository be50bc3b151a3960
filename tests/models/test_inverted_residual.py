"""What each ablation of the paper's block changes, and what it costs."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from mobilenet_v2.models import cost, fused_block
from mobilenet_v2.models.folding import fold_batch_norm
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2
from tests.models.random_networks import QUICK, distance, images, random_variables, small, train

SWITCHES = {
    "non-linear bottleneck": {"linear_bottleneck": False},
    "shortcuts between expansions": {"residual": "expansions"},
    "no shortcuts": {"residual": "none"},
    "no batch norm after projection": {"batch_norm_placement": "not_after_projection"},
    "no batch norm after depthwise": {"batch_norm_placement": "not_after_depthwise"},
    "depthwise first": {"depthwise_order": "before_expansion"},
    "another activation": {"activation": jax.nn.silu},
}
switches = pytest.mark.parametrize("fields", SWITCHES.values(), ids=SWITCHES)


def jaxpr(model: MobileNetV2, x: np.ndarray) -> str:
    variables = random_variables(model, x)
    return str(jax.make_jaxpr(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(variables, x))


@switches
def test_a_switch_changes_what_is_computed(fields: dict[str, Any]) -> None:
    x = images(2, 9, 9, 3)
    plain = jaxpr(small(formulation="lax"), x)
    assert jaxpr(small(formulation="lax", **fields), x) != plain


@switches
@pytest.mark.parametrize("train", [False, True])
def test_blocks_that_a_switch_has_changed_are_never_fused(
    fields: dict[str, Any], train: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("fused")

    monkeypatch.setattr(fused_block, "train_block", refuse)
    monkeypatch.setattr(fused_block, "infer_block", refuse)
    model, x = small(formulation="fused", **fields), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    jax.eval_shape(lambda v: model.apply(v, x, train=train, mutable=["batch_stats"] if train else False), variables)


@switches
def test_formulations_agree_under_every_switch(fields: dict[str, Any]) -> None:
    x = images(2, 9, 9, 3)
    model = small(formulation="lax", **fields)
    variables = random_variables(model, x)
    quick = functools.partial(jax.jit, compiler_options=QUICK)
    expected = quick(functools.partial(train, model))(variables, x)
    for formulation in ("shifted", "auto"):
        ours = quick(functools.partial(train, model.clone(formulation=formulation)))(variables, x)
        assert distance(ours[:2], expected[:2]) < 1e-4


@switches
@pytest.mark.parametrize("remat", [pytest.param("convolutions", marks=pytest.mark.slow), "blocks"])
def test_rematerialisation_changes_no_value_under_any_switch(fields: dict[str, Any], remat: Any) -> None:
    x = images(2, 9, 9, 3)
    model = small(formulation="lax", **fields)
    variables = random_variables(model, x)
    quick = functools.partial(jax.jit, compiler_options=QUICK)
    expected = quick(functools.partial(train, model))(variables, x)
    ours = quick(functools.partial(train, model.clone(remat=remat)))(variables, x)
    assert distance(ours, expected) < 1e-4


def test_a_non_linear_bottleneck_is_clipped_before_the_addition() -> None:
    model, x = small(linear_bottleneck=False, formulation="lax"), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    found = model.endpoints(variables, x, ["block_01", "block_02/projection", "block_02"])
    assert found["block_02/projection"].min() == 0
    assert found["block_02/projection"].max() <= 6
    np.testing.assert_allclose(found["block_02"], found["block_01"] + found["block_02/projection"], rtol=1e-6)
    linear = model.clone(linear_bottleneck=True).endpoints(variables, x, ["block_02/projection"])
    assert linear["block_02/projection"].min() < 0


def test_without_shortcuts_a_block_is_its_projection() -> None:
    model, x = small(residual="none", formulation="lax"), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    found = model.endpoints(variables, x, ["block_02/projection", "block_02"])
    np.testing.assert_array_equal(found["block_02"], found["block_02/projection"])


def test_between_expansions_a_sum_goes_on_where_shapes_agree() -> None:
    # Blocks 01 and 02 are equally wide inside; block 03 is not.
    model, x = small(residual="expansions", formulation="lax"), images(2, 9, 9, 3)
    variables: Any = random_variables(model, x)
    names = ["block_01/expansion", "block_02/expansion", "block_02/depthwise", "block_02/projection", "block_02"]
    found = model.endpoints(variables, x, names)
    np.testing.assert_array_equal(found["block_02"], found["block_02/projection"])
    # The depthwise convolution of block 02 is given the sum.
    layer = model.bind(variables)._layer()
    module = layer(24, kernel_size=3, depthwise=True)
    own = {collection: variables[collection]["block_02"]["depthwise"] for collection in variables}
    total = found["block_01/expansion"] + found["block_02/expansion"]
    np.testing.assert_allclose(module.apply(own, total, train=False), found["block_02/depthwise"], rtol=1e-4, atol=1e-5)


def test_between_expansions_the_paper_network_has_ten_shortcuts() -> None:
    pairs, last = [], None
    model = MobileNetV2(residual="expansions", formulation="lax")
    x = jnp.zeros((1, 64, 64, 3))
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    names = [name for name in model.endpoint_names() if name.endswith("/expansion")]
    found = jax.eval_shape(lambda v: model.endpoints(v, x, names), shapes)
    for name in names:
        if last is not None and found[name].shape == found[last].shape:
            pairs.append(f"{last[6:8]}-{name[6:8]}")
        last = name
    assert pairs == ["02-03", "04-05", "05-06", "07-08", "08-09", "09-10", "11-12", "12-13", "14-15", "15-16"]


@pytest.mark.parametrize(
    "placement, layer", [("not_after_projection", "project"), ("not_after_depthwise", "depthwise")]
)
def test_a_layer_without_batch_norm_has_a_bias_instead(placement: Any, layer: str) -> None:
    model, x = small(batch_norm_placement=placement), images(1, 9, 9, 3)
    params = flatten_dict(random_variables(model, x)["params"])
    biased = {path[:-2] for path in params if path[-2:] == ("conv", "bias")}
    normalised = {path[:-2] for path in params if path[-2:] == ("bn", "scale")}
    assert biased == {(f"block_{index:02d}", layer) for index in range(4)}
    assert not biased & normalised
    assert len(biased | normalised) == 1 + 2 + 3 * 3 + 1


@pytest.mark.parametrize("fields", [{"batch_norm_placement": "not_after_projection"}, {"residual": "expansions"}])
def test_a_changed_network_folds_all_the_same(fields: dict[str, Any]) -> None:
    model, x = small(formulation="lax", **fields), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    without, params = fold_batch_norm(model, variables)
    assert distance(without.apply(params, x, train=False), model.apply(variables, x, train=False)) < 1e-5


def test_a_depthwise_convolution_before_the_expansion_filters_the_thin_input() -> None:
    model, x = small(depthwise_order="before_expansion"), images(1, 16, 16, 3)
    params: Any = random_variables(model, x)["params"]
    assert params["block_03"]["depthwise"]["conv"]["kernel"].shape == (3, 3, 1, 8)
    assert params["block_03"]["expand"]["conv"]["kernel"].shape == (1, 1, 8, 16)
    names = ["block_02", "block_03/depthwise", "block_03/expansion", "block_03"]
    found = model.endpoints(random_variables(model, x), x, names)
    assert [found[name].shape[1] for name in names] == [8, 4, 4, 4]
    assert model.endpoint_names().index("block_03/depthwise") < model.endpoint_names().index("block_03/expansion")


def counted(**fields: Any) -> cost.Cost:
    return cost.count(MobileNetV2(formulation="lax", **fields), 224)


PLAIN = {"parameters": 3_504_872, "batch_stats": 34_112, "multiply_adds": 300_774_272}


@pytest.mark.parametrize(
    "fields, extra_parameters, extra_statistics",
    [
        ({"linear_bottleneck": False}, 0, 0),
        ({"residual": "expansions"}, 0, 0),
        ({"residual": "none"}, 0, 0),
        ({"activation": jax.nn.silu}, 0, 0),
        # A bias for scale and bias: one fewer a channel; the mean and the variance go.
        ({"batch_norm_placement": "not_after_projection"}, -1, -2),
        ({"batch_norm_placement": "not_after_depthwise"}, -1, -2),
    ],
)
def test_ablations_cost_what_the_formula_says(
    fields: dict[str, Any], extra_parameters: int, extra_statistics: int
) -> None:
    projected = 16 + 2 * 24 + 3 * 32 + 4 * 64 + 3 * 96 + 3 * 160 + 320
    inside = 32 + 96 + 2 * 144 + 3 * 192 + 4 * 384 + 3 * 576 + 3 * 960
    channels = {"not_after_projection": projected, "not_after_depthwise": inside}.get(
        fields.get("batch_norm_placement", ""), 0
    )
    total = counted(**fields)
    assert total.parameters == PLAIN["parameters"] + extra_parameters * channels
    assert total.batch_stats == PLAIN["batch_stats"] + extra_statistics * channels
    assert total.multiply_adds == PLAIN["multiply_adds"]


def test_a_depthwise_convolution_on_the_thin_input_costs_what_the_formula_says() -> None:
    ours, plain = counted(depthwise_order="before_expansion"), counted()
    # (input channels, expanded, output, side before, side after) of block 13, the last with a stride.
    into, inside, out, before, after = 96, 576, 160, 14, 7
    block = ours.blocks[14]
    assert block.parameters == 9 * into + into * inside + inside * out + 2 * (into + inside + out)
    assert block.multiply_adds == after**2 * (9 * into + into * inside + inside * out)
    assert plain.blocks[14].multiply_adds == before**2 * into * inside + after**2 * (9 * inside + inside * out)
    assert ours.blocks[1] == plain.blocks[1]


def test_a_peak_without_shortcuts_does_not_hold_the_blocks_input() -> None:
    third = counted(residual="none").blocks[3]
    assert third.peak_bytes == 4 * 56 * 56 * (144 + 144)
    assert counted().blocks[3].peak_bytes == 4 * 56 * 56 * (24 + 144 + 144)
