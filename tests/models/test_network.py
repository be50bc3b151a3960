"""Named features, dilation, and networks without classifier: what MobileNetV1 and V2 share."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mobilenet_v2.models import fused_block
from mobilenet_v2.models.mobilenet_v1 import MobileNetV1, SeparableStage
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage
from mobilenet_v2.models.network import dilate
from tests.models.random_networks import QUICK, distance, images, random_variables, small, train


def small_v1(**fields: Any) -> MobileNetV1:
    stages = (SeparableStage(16, 1, 1), SeparableStage(24, 2, 2))
    return MobileNetV1(
        **{"num_classes": 5, "stem_channels": 8, "separable_stages": stages, "dropout_rate": 0.0, **fields}
    )


BOTH = pytest.mark.parametrize("network", [small, small_v1])


@BOTH
@pytest.mark.parametrize(
    "formulation",
    ["auto", "lax", pytest.param("shifted", marks=pytest.mark.slow), pytest.param("fused", marks=pytest.mark.slow)],
)
def test_every_named_feature_can_be_asked_for(network: Any, formulation: Any) -> None:
    model, x = network(formulation=formulation), images(2, 12, 12, 3)
    variables = random_variables(model, x)
    names = model.endpoint_names()
    found = jax.jit(lambda v: model.endpoints(v, x, names))(variables)
    assert set(found) == set(names)
    assert distance(found["logits"], jax.jit(functools.partial(model.apply, train=False))(variables, x)) < 1e-5
    np.testing.assert_allclose(found["pooled"], found["features"].mean((1, 2)), rtol=1e-4, atol=1e-6)
    alone = model.endpoints(variables, x, ["block_01"])
    assert set(alone) == {"block_01"}
    assert distance(alone["block_01"], found["block_01"]) < 1e-5


def test_a_block_of_the_paper_network_has_these_features() -> None:
    model, x = MobileNetV2(), jnp.zeros((1, 224, 224, 3))
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), x, train=False))
    expected = {
        "stem": (1, 112, 112, 32),
        "block_05/expansion": (1, 28, 28, 192),
        "block_05/depthwise": (1, 28, 28, 192),
        "block_05/projection": (1, 28, 28, 32),
        "block_05": (1, 28, 28, 32),
        "features": (1, 7, 7, 1280),
        "pooled": (1, 1280),
    }
    found = jax.eval_shape(lambda v: model.endpoints(v, x, list(expected)), variables)
    assert {name: feature.shape for name, feature in found.items()} == expected
    assert "block_00/expansion" not in model.endpoint_names()


def test_the_inside_of_a_block_is_what_its_layers_give() -> None:
    model, x = small(formulation="lax"), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    found = model.endpoints(variables, x, ["block_01", "block_02/projection", "block_02"])
    np.testing.assert_allclose(found["block_02"], found["block_01"] + found["block_02/projection"], rtol=1e-6)


@BOTH
def test_nothing_beyond_the_last_name_is_computed(network: Any) -> None:
    model, x = network(formulation="lax"), images(2, 12, 12, 3)
    variables = random_variables(model, x)

    def convolutions(names: list[str]) -> int:
        text = str(jax.make_jaxpr(lambda v: model.endpoints(v, x, names))(variables))
        return text.count("conv_general_dilated[")

    counts = [convolutions([name]) for name in ("stem", "block_00", "block_01", "features")]
    assert counts[0] == 1
    assert counts == sorted(set(counts))
    assert convolutions(["features"]) == convolutions(["pooled"]) == convolutions(["logits"])
    # Nor are its variables needed.
    stem = {collection: {"stem": variables[collection]["stem"]} for collection in variables}
    np.testing.assert_array_equal(
        model.endpoints(stem, x, ["stem"])["stem"], model.endpoints(variables, x, ["stem"])["stem"]
    )


def test_only_a_block_that_is_looked_into_runs_layer_by_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    fused: list[Any] = []
    infer = fused_block.infer_block
    monkeypatch.setattr(fused_block, "infer_block", lambda *a: (fused.append(a), infer(*a))[1])
    model, x = small(formulation="fused"), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    for names, count in ((["logits"], 4), (["block_03"], 4), (["block_02/depthwise", "logits"], 3), (["block_00"], 1)):
        fused.clear()
        jax.eval_shape(lambda v, names=names: model.endpoints(v, x, names), variables)
        assert len(fused) == count


@BOTH
def test_features_are_had_in_training_with_the_updated_statistics(network: Any) -> None:
    model, x = network(), images(2, 12, 12, 3)
    variables = random_variables(model, x)
    found, updated = model.endpoints(
        variables, x, ["block_01/depthwise", "logits"], train=True, mutable=["batch_stats"]
    )
    logits, expected = model.apply(variables, x, train=True, mutable=["batch_stats"])
    assert distance(found["logits"], logits) < 1e-4
    assert distance(updated["batch_stats"], expected["batch_stats"]) < 1e-4


@BOTH
@pytest.mark.parametrize("remat", ["convolutions", "blocks"])
def test_features_are_had_under_rematerialisation(network: Any, remat: Any) -> None:
    model, x = network(remat=remat), images(2, 12, 12, 3)
    variables = random_variables(model, x)
    names = ["block_01/depthwise", "block_02"]
    found = jax.jit(lambda v: model.endpoints(v, x, names))(variables)
    assert distance(found, model.clone(remat="none").endpoints(variables, x, names)) < 1e-5


def test_a_misspelt_feature_is_refused_with_the_nearest() -> None:
    model, x = small(), images(1, 9, 9, 3)
    with pytest.raises(ValueError, match="MobileNetV2 has no endpoint 'block_01/expanded'; did you mean 'block_01/exp"):
        model.endpoints(random_variables(model, x), x, ["block_01/expanded"])


@BOTH
def test_a_network_without_classes_is_a_backbone(network: Any) -> None:
    whole, backbone, x = network(), network(num_classes=0), images(2, 12, 12, 3)
    variables: Any = random_variables(whole, x)
    params = {name: tree for name, tree in variables["params"].items() if name != "classifier"}
    shapes = jax.eval_shape(lambda: backbone.init(jax.random.key(0), jnp.asarray(x), train=False))
    assert jax.tree.map(np.shape, shapes["params"]) == jax.tree.map(np.shape, params)
    pooled = backbone.apply({**variables, "params": params}, x, train=False)
    assert distance(pooled, whole.endpoints(variables, x, ["pooled"])["pooled"]) < 1e-5
    assert pooled.dtype == jnp.float32
    assert "logits" not in backbone.endpoint_names()


@BOTH
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_may_have_any_number_of_channels(network: Any, channels: int) -> None:
    model, x = network(), images(2, 12, 12, channels)
    variables: Any = random_variables(model, x)
    assert variables["params"]["stem"]["conv"]["kernel"].shape[2] == channels
    assert model.apply(variables, x, train=False).shape == (2, 5)


@pytest.mark.parametrize(
    "output_stride, expected",
    [
        (None, [(1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1)]),
        (32, [(1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1)]),
        (16, [(1, 1), (2, 1), (2, 1), (1, 1), (2, 1), (1, 1)]),
        (8, [(1, 1), (2, 1), (2, 1), (1, 1), (1, 1), (1, 2)]),
        (4, [(1, 1), (2, 1), (1, 1), (1, 2), (1, 2), (1, 4)]),
        (2, [(1, 1), (1, 1), (1, 2), (1, 4), (1, 4), (1, 8)]),
    ],
)
def test_later_strides_become_dilation(output_stride: int | None, expected: list[tuple[int, int]]) -> None:
    assert dilate([1, 2, 2, 1, 2, 1], 2, output_stride) == expected


@pytest.mark.parametrize("output_stride, side", [(32, 7), (16, 14), (8, 28)])
def test_features_are_as_fine_as_the_output_stride_says(output_stride: int, side: int) -> None:
    model, x = MobileNetV2(output_stride=output_stride, formulation="lax"), jnp.zeros((1, 224, 224, 3))
    variables = jax.eval_shape(lambda: MobileNetV2().init(jax.random.key(0), x, train=False))
    found = jax.eval_shape(lambda v: model.endpoints(v, x, ["features"]), variables)
    assert found["features"].shape == (1, side, side, 1280)


def dilated(**fields: Any) -> MobileNetV2:
    stages = (Stage(1, 8, 1, 1), Stage(2, 8, 2, 2), Stage(2, 16, 2, 2), Stage(2, 16, 2, 2))
    return small(stages=stages, **fields)


@pytest.mark.parametrize("padding", ["same", "symmetric"])
def test_dilated_features_hold_those_of_the_strided_network(padding: Any) -> None:
    # On the grid of the strided network the dilated one reads the same pixels. Strides that pad an even side at its end
    # only keep no grid, so the sides are odd.
    strided, x = dilated(padding=padding, formulation="lax"), images(1, 65, 65, 3)
    variables = random_variables(strided, x)
    expected = strided.endpoints(variables, x, ["features"])["features"]
    for output_stride in (8, 4):
        model = strided.clone(output_stride=output_stride)
        fine = model.endpoints(variables, x, ["features"])["features"]
        step = 16 // output_stride
        assert fine.shape[1] == 64 // output_stride + 1
        assert distance(fine[:, ::step, ::step], expected) < 1e-5


@pytest.mark.parametrize("padding", ["same", pytest.param("symmetric", marks=pytest.mark.slow)])
@pytest.mark.parametrize("shape", [pytest.param((2, 16, 16, 3), marks=pytest.mark.slow), (1, 17, 13, 3)])
def test_formulations_agree_under_dilation(padding: Any, shape: tuple[int, ...]) -> None:
    x = images(*shape)
    plain = dilated(output_stride=4, padding=padding, formulation="lax")
    variables = random_variables(plain, x)
    expected = jax.jit(functools.partial(train, plain))(variables, x)
    for formulation in ("shifted", "auto", "fused"):
        ours = jax.jit(functools.partial(train, plain.clone(formulation=formulation)))(variables, x)
        assert distance(ours[:2], expected[:2]) < 1e-4
        assert distance(ours[2], expected[2]) < 1e-2


def test_dilated_blocks_run_layer_by_layer_and_the_others_fused(monkeypatch: pytest.MonkeyPatch) -> None:
    fused: list[Any] = []
    infer = fused_block.infer_block
    monkeypatch.setattr(fused_block, "infer_block", lambda *a: (fused.append(a), infer(*a))[1])
    model, x = dilated(output_stride=4, formulation="fused"), images(1, 16, 16, 3)
    variables = random_variables(model, x)
    jax.eval_shape(lambda v: model.apply(v, x, train=False), variables)
    assert len(fused) == sum(dilation == 1 for _, dilation in dilate([1, 2, 1, 2, 1, 2, 1], 2, 4)) == 4


@BOTH
def test_frozen_batch_norm_trains_as_in_evaluation_and_moves_no_statistic(network: Any) -> None:
    model, x = network(frozen="batch_norm"), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    y, stats, (gradients, _) = jax.jit(functools.partial(train, model), compiler_options=QUICK)(variables, x)
    jax.tree.map(np.testing.assert_array_equal, stats, variables["batch_stats"])

    def evaluated(params: Any) -> tuple[jax.Array, jax.Array]:
        logits = network(formulation="lax").apply({**variables, "params": params}, x, train=False)
        return jnp.sum(logits * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)), logits

    expected, logits = jax.jit(jax.grad(evaluated, has_aux=True), compiler_options=QUICK)(variables["params"])
    assert distance(y, logits) < 1e-5
    assert distance(gradients, expected) < 1e-5


@BOTH
def test_a_frozen_backbone_has_no_gradient_and_its_features_are_dropped_all_the_same(network: Any) -> None:
    model, x = network(frozen="backbone", dropout_rate=0.5), images(2, 9, 9, 3)
    variables = random_variables(model, x)

    def loss(params: Any, key: jax.Array) -> jax.Array:
        return model.apply({**variables, "params": params}, x, train=True, rngs={"dropout": key}).sum()

    gradient = jax.jit(jax.value_and_grad(loss), compiler_options=QUICK)
    one, gradients = gradient(variables["params"], jax.random.key(0))
    assert one != gradient(variables["params"], jax.random.key(1))[0]
    assert [name for name, g in gradients.items() if any(leaf.any() for leaf in jax.tree.leaves(g))] == ["classifier"]
