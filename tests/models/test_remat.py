import functools
from typing import Any

import jax
import numpy as np
import pytest

from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage
from tests.models.random_networks import QUICK, distance, images, random_variables, small, train


@functools.cache
def trained(formulation: Any, remat: Any) -> tuple[Any, Any, Any]:
    model, x = small(formulation=formulation, remat=remat, dtype=np.float64), images(3, 9, 9, 3, dtype=np.float64)
    with jax.enable_x64(True):
        variables = random_variables(model, x, np.float64)
        step = jax.jit(functools.partial(train, model), compiler_options=QUICK)
        return jax.tree.map(np.asarray, step(variables, x))


@pytest.mark.parametrize("remat", ["convolutions", "blocks"])
@pytest.mark.parametrize("formulation", ["lax", "fused"])
def test_what_is_computed_again_changes_no_result(formulation: str, remat: str) -> None:
    for ours, reference in zip(trained(formulation, remat), trained(formulation, "none"), strict=True):
        assert distance(ours, reference) <= 1e-12


def kept_bytes(model: MobileNetV2) -> int:
    """Bytes that the backward pass gets from the forward pass, the network's variables and the image among them."""
    x = images(8, 32, 32, 3)
    variables = random_variables(model, x)

    def forward(params: Any, x: jax.Array) -> Any:
        return jax.vjp(
            lambda params: model.apply({**variables, "params": params}, x, train=True, mutable=["batch_stats"])[0],
            params,
        )[1]

    return sum(
        leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(jax.eval_shape(forward, variables["params"], x))
    )


def test_the_more_is_computed_again_the_less_is_kept() -> None:
    stages = (Stage(6, 8, 3, 1),)
    none, convolutions, blocks = (
        kept_bytes(small(formulation="lax", stages=stages, remat=remat)) for remat in ("none", "convolutions", "blocks")
    )
    assert blocks < convolutions / 2
    assert convolutions < none / 2


@pytest.mark.parametrize("remat", ["convolutions", "blocks"])
def test_variables_are_the_same_whatever_is_computed_again(remat: Any) -> None:
    x = images(1, 9, 9, 3)
    plain, again = (
        jax.eval_shape(functools.partial(small(remat=r).init, train=False), jax.random.key(0), x)
        for r in ("none", remat)
    )
    assert jax.tree.map(np.shape, again) == jax.tree.map(np.shape, plain)


@pytest.mark.parametrize("remat", ["convolutions", "blocks"])
def test_evaluation_knows_nothing_of_it(remat: Any) -> None:
    x = images(2, 9, 9, 3)
    variables = random_variables(small(), x)
    plain, again = (
        jax.jit(functools.partial(small(remat=r).apply, train=False))(variables, x) for r in ("none", remat)
    )
    np.testing.assert_allclose(again, plain, rtol=1e-5, atol=1e-5)
