import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mobilenet_v2.models.batch_norm import UnbiasedBatchNorm, unbiased_factor
from tests.models.random_networks import distance, images, random_variables, small


def updated(module: nn.Module, x: Any) -> Any:
    variables = {"batch_stats": {"mean": jnp.full(3, 0.5), "var": jnp.full(3, 2.0)}}
    params = {"scale": jnp.ones(3), "bias": jnp.zeros(3)}
    return module.apply({"params": params, **variables}, x, mutable=["batch_stats"])


@pytest.mark.parametrize("shape", [(2, 1, 1, 3), (4, 5, 6, 3)])
def test_the_running_variance_moves_by_the_unbiased_variance(shape: tuple[int, ...]) -> None:
    x = images(*shape)
    _, state = updated(UnbiasedBatchNorm(use_running_average=False, momentum=0.75), x)
    variance = x.reshape(-1, 3).var(axis=0, ddof=1)
    np.testing.assert_allclose(state["batch_stats"]["var"], 0.75 * 2.0 + 0.25 * variance, rtol=1e-5)
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.75 * 0.5 + 0.25 * x.mean((0, 1, 2)), rtol=1e-5)


def test_the_batch_is_normalised_by_the_biased_variance() -> None:
    x = images(2, 2, 2, 3)
    ours, _ = updated(UnbiasedBatchNorm(use_running_average=False), x)
    flax, _ = updated(nn.BatchNorm(use_running_average=False), x)
    np.testing.assert_array_equal(ours, flax)


def test_evaluation_moves_nothing() -> None:
    _, state = updated(UnbiasedBatchNorm(use_running_average=True), images(2, 2, 2, 3))
    np.testing.assert_array_equal(state["batch_stats"]["var"], np.full(3, 2.0))


def test_a_single_value_has_no_unbiased_variance_and_counts_as_it_is() -> None:
    assert unbiased_factor(1) == 1
    assert unbiased_factor(2) == 2
    assert unbiased_factor(32) == pytest.approx(32 / 31)


@pytest.mark.parametrize("formulation", ["lax", "fused"])
def test_a_network_moves_every_variance_by_the_factor_of_its_layer(formulation: Any) -> None:
    # With momentum 0 what is left is the batch's variance: their ratio is n / (n − 1) of each layer's side.
    x = images(2, 8, 8, 3)
    fields = {"formulation": formulation, "batch_norm_momentum": 0.0}
    variables = random_variables(small(**fields), x)
    stats = []
    for unbiased in (False, True):
        model = small(batch_norm_unbiased=unbiased, **fields)
        _, state = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(variables, x)
        stats.append(state["batch_stats"])
    ratio = jax.tree.map(lambda a, b: np.median(b / a), *stats)
    positions = {"stem": 2 * 4 * 4, "block_02/expand": 2 * 4 * 4, "block_03/expand": 2 * 4 * 4}
    positions |= {"block_03/depthwise": 2 * 2 * 2, "block_03/project": 2 * 2 * 2, "head": 2 * 2 * 2}
    for path, count in positions.items():
        layer = functools.reduce(lambda tree, key: tree[key], path.split("/"), ratio)
        assert layer["bn"]["var"] == pytest.approx(count / (count - 1), rel=1e-4), path
        assert layer["bn"]["mean"] == pytest.approx(1.0)


def test_fused_and_plain_blocks_move_alike() -> None:
    x = images(3, 9, 9, 3)
    variables = random_variables(small(), x)
    stats = []
    for formulation in ("lax", "fused"):
        model = small(formulation=formulation, batch_norm_unbiased=True)
        _, state = jax.jit(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(variables, x)
        stats.append(state["batch_stats"])
    assert distance(stats[1], stats[0]) < 1e-5


def test_a_biased_network_is_compiled_as_if_there_were_no_choice() -> None:
    x = images(2, 8, 8, 3)
    model = small(formulation="lax")
    variables = random_variables(model, x)
    text = str(jax.make_jaxpr(functools.partial(model.apply, train=True, mutable=["batch_stats"]))(variables, x))
    chosen = small(formulation="lax", batch_norm_unbiased=False)
    assert text == str(
        jax.make_jaxpr(functools.partial(chosen.apply, train=True, mutable=["batch_stats"]))(variables, x)
    )
