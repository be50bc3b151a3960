import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from mobilenet_v2.models.grouped_batch_norm import GroupedBatchNorm
from tests.models.random_networks import QUICK, distance, images, random_variables, small, train

EPSILON = 1e-3
MOMENTUM = 0.75


def module(**fields: Any) -> GroupedBatchNorm:
    return GroupedBatchNorm(use_running_average=False, momentum=MOMENTUM, epsilon=EPSILON, **fields)


def variables(dtype: Any = np.float32) -> Any:
    random = np.random.default_rng(3)

    def draw(low: float) -> np.ndarray:
        return random.uniform(low, 2.0, 3).astype(dtype)

    return {
        "params": {"scale": draw(0.5), "bias": draw(-1.0)},
        "batch_stats": {"mean": draw(-1.0), "var": draw(0.5)},
    }


def plainly(x: np.ndarray, groups: int, unbiased: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Output and running statistics, a group at a time."""
    params, stats = variables(np.float64)["params"], variables(np.float64)["batch_stats"]
    outputs, means, variances = [], [], []
    for rows in np.split(x.astype(np.float64), groups):
        flat = rows.reshape(-1, x.shape[-1])
        outputs.append((rows - flat.mean(0)) / np.sqrt(flat.var(0) + EPSILON) * params["scale"] + params["bias"])
        means.append(flat.mean(0))
        variances.append(flat.var(0, ddof=1 if unbiased else 0))
    moments = {"mean": np.mean(means, axis=0), "var": np.mean(variances, axis=0)}
    return np.concatenate(outputs), {n: MOMENTUM * stats[n] + (1 - MOMENTUM) * moments[n] for n in stats}


@pytest.mark.parametrize("shape", [(12, 5, 4, 3), (12, 3)], ids=["images", "vectors"])
@pytest.mark.parametrize("groups", [1, 2, 4, 6])
@pytest.mark.parametrize("fields", [{}, {"unbiased": True}, {"use_fast_variance": False}], ids=str)
def test_each_group_is_normalised_alone_and_running_statistics_are_means_over_groups(
    fields: dict[str, Any], groups: int, shape: tuple[int, ...]
) -> None:
    x = images(*shape) + 3 * np.arange(12).reshape(12, *(1,) * (len(shape) - 1)).astype(np.float32)
    y, state = module(groups=groups, **fields).apply(variables(), x, mutable=["batch_stats"])
    expected, stats = plainly(x, groups, fields.get("unbiased", False))
    np.testing.assert_allclose(y, expected, atol=2e-4)
    for name in stats:
        np.testing.assert_allclose(state["batch_stats"][name], stats[name], rtol=2e-5)


@pytest.mark.parametrize("fast", [True, False])
def test_gradients_are_those_of_the_plain_formula_in_float64(fast: bool) -> None:
    with jax.enable_x64(True):
        x, own = images(8, 3, 2, 3, dtype=np.float64), variables(np.float64)
        weights = np.cos(np.arange(x.size)).reshape(x.shape)

        def ours(params: Any, x: Any) -> Any:
            y, _ = module(groups=4, use_fast_variance=fast).apply({**own, "params": params}, x, mutable=["batch_stats"])
            return jnp.sum(jnp.asarray(y) * weights)

        def plain(params: Any, x: Any) -> Any:
            parts = []
            for rows in jnp.split(x, 4):
                mean, variance = rows.mean((0, 1, 2)), rows.var((0, 1, 2))
                parts.append((rows - mean) / jnp.sqrt(variance + EPSILON) * params["scale"] + params["bias"])
            return jnp.sum(jnp.concatenate(parts) * weights)

        gradients = [jax.grad(f, argnums=(0, 1))(own["params"], x) for f in (ours, plain)]
    assert distance(*gradients) < 1e-12


def test_float32_gradients_are_near_those_of_float64() -> None:
    def gradients(dtype: Any) -> Any:
        x, own = jnp.asarray(images(8, 3, 2, 3, dtype=dtype)), variables(dtype)
        return train(module(groups=4), own, x)[2]

    with jax.enable_x64(True):
        exact = jax.tree.map(np.float32, gradients(np.float64))
    assert distance(jax.device_get(gradients(np.float32)), exact) < 1e-5


def test_variables_and_evaluation_are_those_of_flax() -> None:
    x = images(4, 2, 2, 3)
    ours, flax = GroupedBatchNorm(groups=2), nn.BatchNorm()
    drawn = [m.init(jax.random.key(0), x, use_running_average=False) for m in (ours, flax)]
    assert jax.tree.map(jnp.shape, drawn[0]) == jax.tree.map(jnp.shape, drawn[1])
    outputs = [m.apply(variables(), x, use_running_average=True) for m in (ours, flax)]
    np.testing.assert_array_equal(*outputs)


def test_bfloat16_is_normalised_in_float32() -> None:
    x = jnp.asarray(images(4, 8, 8, 3) + 10, jnp.bfloat16)
    y, state = module(groups=2, dtype=jnp.bfloat16).apply(variables(), x, mutable=["batch_stats"])
    assert y.dtype == jnp.bfloat16
    assert state["batch_stats"]["var"].dtype == jnp.float32
    expected, _ = plainly(np.asarray(x, np.float32), 2, False)
    np.testing.assert_allclose(np.asarray(y, np.float32), expected, atol=0.05)


def test_groups_that_do_not_divide_the_batch_are_refused() -> None:
    with pytest.raises(ValueError, match="got 3 groups and 4 rows"):
        module(groups=3).apply(variables(), images(4, 2, 2, 3), mutable=["batch_stats"])


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"batch_norm_unbiased": True, "remat": "convolutions"},
        {"batch_norm_fast_variance": False, "remat": "blocks"},
    ],
    ids=str,
)
def test_a_network_of_two_groups_is_two_networks_of_half_the_batch(fields: dict[str, Any]) -> None:
    x = images(8, 9, 9, 3)
    own = random_variables(small(), x)
    step = jax.jit(functools.partial(train, small(batch_norm_groups=2, **fields)), compiler_options=QUICK)
    y, stats, (d_params, _) = step(own, x)
    half = functools.partial(small(formulation="lax", **fields).apply, train=True, mutable=["batch_stats"])
    halves = [jax.jit(half, compiler_options=QUICK)(own, rows) for rows in np.split(x, 2)]
    assert distance(y, jnp.concatenate([logits for logits, _ in halves])) < 1e-4
    # The running statistics are linear in those of the batch.
    mean = jax.tree.map(lambda a, b: (a + b) / 2, *[state["batch_stats"] for _, state in halves])
    assert distance(stats, mean) < 1e-4
    assert jax.tree.structure(d_params) == jax.tree.structure(own["params"])


def test_blocks_of_several_groups_do_not_run_fused_in_training() -> None:
    x = images(4, 9, 9, 3)
    own = random_variables(small(), x)

    def traced(train: bool, groups: int) -> str:
        model = small(formulation="fused", batch_norm_groups=groups)
        return str(jax.make_jaxpr(functools.partial(model.apply, train=train, mutable=["batch_stats"]))(own, x))

    assert "train_block" in traced(True, 1)
    assert "train_block" not in traced(True, 2)
    assert traced(False, 2) == traced(False, 1)
