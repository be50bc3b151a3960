import functools
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mobilenet_v2.models import fused_block, stand_in
from mobilenet_v2.models.layers import ConvNormAct
from mobilenet_v2.models.mobilenet_v2 import InvertedResidual, Stage
from tests.models.random_networks import images, random_variables, small

BLOCKS = 4  # of the small network


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for each block that runs fused."""
    entries: list[Any] = []

    def count(function: Any) -> Any:
        def counted(settings: Any, params: Any, x: jax.Array) -> Any:
            entries.append(settings)
            return function(settings, params, x)

        return counted

    monkeypatch.setattr(fused_block, "train_block", count(fused_block.train_block))
    monkeypatch.setattr(fused_block, "infer_block", count(fused_block.infer_block))
    return entries


def on(monkeypatch: pytest.MonkeyPatch, backend: str, devices: int) -> None:
    monkeypatch.setattr(stand_in.jax, "default_backend", lambda: backend)
    monkeypatch.setattr(stand_in.jax, "device_count", lambda: devices)


def applies(formulation: Any, **fields: Any) -> bool:
    defaults = {"activation": jax.nn.relu6, "dtype": jnp.float32, "fast_variance": True}
    return stand_in.applies(formulation, **{**defaults, **fields})


@pytest.mark.parametrize("backend, devices, fused", [("cpu", 1, True), ("cpu", 8, False), ("gpu", 1, False)])
def test_blocks_are_fused_on_a_lone_cpu(
    backend: str, devices: int, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, backend, devices)
    assert applies("auto") == fused
    assert applies("fused")
    assert not applies("lax")
    assert not applies("shifted")


@pytest.mark.parametrize("formulation", ["auto", "fused"])
def test_only_what_the_fused_block_computes_is_fused(formulation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, "cpu", 1)
    assert applies(formulation, dtype=jnp.float64)
    assert applies(formulation, dtype="float32")
    assert not applies(formulation, dtype=jnp.bfloat16)
    assert not applies(formulation, dtype=jnp.float16)
    assert not applies(formulation, activation=jax.nn.relu)
    assert not applies(formulation, fast_variance=False)


def test_blocks_are_fused_on_many_cpu_devices_where_it_is_known_how_the_batch_is_split(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    on(monkeypatch, "cpu", 8)
    mesh = jax.sharding.AbstractMesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    with jax.sharding.use_abstract_mesh(mesh):
        assert applies("auto")
        assert not applies("lax")
        on(monkeypatch, "gpu", 8)
        assert not applies("auto")


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("fields, fused", [
    ({"formulation": "fused"}, True),
    ({"formulation": "lax"}, False),
    ({"formulation": "shifted"}, False),
    ({"formulation": "fused", "activation": jax.nn.relu}, False),
    ({"formulation": "fused", "dtype": jnp.bfloat16}, False),
    ({"formulation": "fused", "batch_norm_fast_variance": False}, False),
], ids=["fused", "lax", "shifted", "another activation", "bfloat16", "slow variance"])  # fmt: skip
def test_a_network_fuses_all_blocks_or_none(fields: dict[str, Any], fused: bool, train: bool, calls: list[Any]) -> None:
    model, x = small(**fields), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    assert not calls, "initialisation needs the layers"
    jax.eval_shape(lambda v: model.apply(v, x, train=train, mutable=["batch_stats"] if train else False), variables)
    assert len(calls) == (BLOCKS if fused else 0)


@pytest.mark.parametrize("frozen, fused", [("batch_norm", False), ("backbone", True)])
def test_with_frozen_statistics_blocks_are_fused_where_no_gradient_reaches_them(
    frozen: Any, fused: bool, calls: list[Any]
) -> None:
    model, x = small(formulation="fused", frozen=frozen), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    jax.eval_shape(lambda v: model.apply(v, x, train=True, mutable=["batch_stats"]), variables)
    assert len(calls) == (BLOCKS if fused else 0)
    jax.eval_shape(lambda v: model.apply(v, x, train=False), variables)
    assert len(calls) == (2 * BLOCKS if fused else BLOCKS)


def test_layers_run_where_their_outputs_are_captured(calls: list[Any]) -> None:
    model, x = small(formulation="fused"), images(2, 9, 9, 3)
    variables = random_variables(model, x)

    def captured(variables: Any) -> Any:
        return model.apply(
            variables,
            x,
            train=False,
            capture_intermediates=lambda module, _: isinstance(module, ConvNormAct),
            mutable=["intermediates"],
        )[1]["intermediates"]

    intermediates = jax.eval_shape(captured, variables)
    assert not calls
    assert set(intermediates["block_01"]) == {"expand", "depthwise", "project"}


def test_variables_are_the_same_under_every_formulation() -> None:
    key, x, stages = jax.random.key(0), images(2, 9, 9, 3), (Stage(1, 8, 1, 1), Stage(2, 8, 1, 2))
    trees = [
        jax.jit(functools.partial(small(formulation=formulation, stages=stages).init, train=True))(key, x)
        for formulation in ("auto", "lax", "shifted", "fused")
    ]
    for tree in trees[1:]:
        assert jax.tree.structure(tree) == jax.tree.structure(trees[0])
        jax.tree.map(np.testing.assert_array_equal, tree["params"], trees[0]["params"])


def test_evaluation_leaves_running_statistics_alone() -> None:
    model, x = small(formulation="fused"), images(2, 9, 9, 3)
    variables = random_variables(model, x)
    _, kept = jax.jit(lambda v: model.apply(v, x, train=False, mutable=["batch_stats"]))(variables)
    jax.tree.map(np.testing.assert_array_equal, kept["batch_stats"], variables["batch_stats"])


@pytest.mark.parametrize("fused", [False, True])
def test_training_needs_running_statistics_that_can_be_written(fused: bool) -> None:
    # A block alone: in a network it is the stem that fails.
    instead = functools.partial(stand_in.apply, padding="SAME", epsilon=1e-3, momentum=0.9)
    layer = functools.partial(ConvNormAct, conv=nn.Conv, norm=nn.BatchNorm)
    plain, x = InvertedResidual(8, 2, 1, layer), images(2, 5, 5, 8)
    variables = jax.eval_shape(lambda: plain.init(jax.random.key(0), jnp.asarray(x), False))
    block = plain.clone(stand_in=instead if fused else None)
    with pytest.raises(flax.errors.ModifyScopeVariableError, match="batch_stats"):
        jax.eval_shape(lambda v: block.apply(v, x, True), variables)
