import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mobilenet_v2.models.batch_norm import GroupedBatchNorm, UnbiasedBatchNorm, unbiased_factor
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


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("fast_variance", [False, True])
def test_groups_are_normalised_each_by_its_own_moments(unbiased: bool, fast_variance: bool) -> None:
    x = images(6, 5, 4, 3)
    fields = {"use_running_average": False, "momentum": 0.75, "use_fast_variance": fast_variance, "epsilon": 1e-3}
    y, state = updated(GroupedBatchNorm(groups=3, unbiased=unbiased, **fields), x)
    groups = [x[0:2], x[2:4], x[4:6]]
    expected = [(part - part.mean((0, 1, 2))) / np.sqrt(part.var((0, 1, 2)) + 1e-3) for part in groups]
    np.testing.assert_allclose(y, np.concatenate(expected), rtol=1e-4, atol=1e-5)
    mean = np.mean([part.mean((0, 1, 2)) for part in groups], axis=0)
    variance = np.mean([part.reshape(-1, 3).var(axis=0, ddof=int(unbiased)) for part in groups], axis=0)
    np.testing.assert_allclose(state["batch_stats"]["mean"], 0.75 * 0.5 + 0.25 * mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(state["batch_stats"]["var"], 0.75 * 2.0 + 0.25 * variance, rtol=1e-5)


def test_a_group_has_the_gradients_of_a_batch_of_its_own() -> None:
    x, weight = images(6, 5, 4, 3, dtype=np.float64), images(6, 4, 5, 3, dtype=np.float64).reshape(6, 5, 4, 3)[::-1]

    def loss(x: Any, module: nn.Module, weight: Any) -> jax.Array:
        return jnp.sum(updated(module, x)[0] * weight)

    with jax.enable_x64(True):
        grouped = jax.grad(loss)(x, GroupedBatchNorm(groups=3, use_running_average=False), weight)
        alone = nn.BatchNorm(use_running_average=False)
        parts = [jax.grad(loss)(x[i : i + 2], alone, weight[i : i + 2]) for i in (0, 2, 4)]
        np.testing.assert_allclose(grouped, np.concatenate(parts), rtol=1e-10, atol=1e-12)


def test_one_group_is_flax_own_batch_norm() -> None:
    x = images(4, 3, 3, 3)
    (ours, our_state), (flax, state) = (
        updated(module, x)
        for module in (GroupedBatchNorm(use_running_average=False), nn.BatchNorm(use_running_average=False))
    )
    np.testing.assert_allclose(ours, flax, rtol=1e-5, atol=1e-6)
    assert distance(our_state, state) < 1e-6


def test_rows_that_can_not_be_dealt_out_are_an_error() -> None:
    with pytest.raises(ValueError, match="a batch of 5 rows can't be cut into 2 groups"):
        updated(GroupedBatchNorm(groups=2, use_running_average=False), images(5, 2, 2, 3))


@pytest.mark.parametrize("formulation", ["lax", "fused"])
def test_a_grouped_network_trains_by_groups_and_evaluates_as_any_other(formulation: Any) -> None:
    x = images(4, 9, 9, 3)
    whole = small(formulation=formulation, dropout_rate=0.0)
    grouped = whole.clone(batch_norm_groups=2)
    variables = random_variables(whole, x)
    np.testing.assert_array_equal(whole.apply(variables, x, train=False), grouped.apply(variables, x, train=False))
    logits, _ = grouped.apply(variables, x, train=True, mutable=["batch_stats"])
    parts = [whole.apply(variables, x[i : i + 2], train=True, mutable=["batch_stats"])[0] for i in (0, 2)]
    np.testing.assert_allclose(logits, np.concatenate(parts), rtol=1e-3, atol=1e-4)


def test_a_biased_network_has_flax_own_batch_norm() -> None:
    assert small()._layer().keywords["norm"].func is nn.BatchNorm
    assert small(batch_norm_unbiased=True)._layer().keywords["norm"].func is UnbiasedBatchNorm
