import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from mobilenet_v2.models.folding import fold_batch_norm
from mobilenet_v2.models.mobilenet_v2 import MobileNetV2, Stage
from tests.models.random_networks import distance, images, random_variables, small


def logits(model: MobileNetV2, variables: Any, x: np.ndarray, train: bool = False) -> jax.Array:
    return jax.jit(functools.partial(model.apply, train=train))(variables, x)


def folded(**fields: Any) -> tuple[MobileNetV2, Any, MobileNetV2, Any]:
    """A network and its variables, before and after."""
    model = small(**fields)
    variables = random_variables(model, images(1, 9, 9, 3))
    return model, variables, *fold_batch_norm(model, variables)


@pytest.mark.parametrize("padding, width", [("same", 0.5), ("same", 1.4), ("symmetric", 0.35), ("symmetric", 1.0)])
def test_a_folded_network_has_the_same_logits(padding: Any, width: float) -> None:
    stages = (Stage(1, 16, 1, 1), Stage(3, 24, 2, 2))
    epsilon = {"same": 1e-3, "symmetric": 1e-5}[padding]
    fields = {"padding": padding, "width_multiplier": width, "stages": stages, "batch_norm_epsilon": epsilon}
    model, variables, without, params = folded(formulation="lax", **fields)
    x = images(3, 15, 15, 3)
    expected = logits(model, variables, x)
    for formulation in ("lax", "shifted", "fused"):
        assert distance(logits(without.clone(formulation=formulation), params, x), expected) <= 1e-5


def test_a_fused_network_is_folded_alike() -> None:
    model, variables, without, params = folded(formulation="fused")
    x = images(3, 12, 10, 3)
    assert distance(logits(without, params, x), logits(model, variables, x)) <= 1e-5


def test_folding_may_be_compiled() -> None:
    model, variables, _, params = folded()
    compiled = jax.jit(lambda variables: fold_batch_norm(model, variables)[1])(variables)
    assert distance(compiled, jax.tree.map(jnp.asarray, params)) <= 1e-6


def test_a_convolutions_bias_is_all_that_is_left_of_batch_norm() -> None:
    model, variables, without, params = folded()
    assert without == model.clone(batch_norm=False)
    assert set(params) == {"params"}
    before, after = flatten_dict(variables["params"]), flatten_dict(params["params"])
    convolutions = {path[:-1] for path in before if path[-2:] == ("conv", "kernel")}
    kernels, biases = ({(*path, name) for path in convolutions} for name in ("kernel", "bias"))
    classifier = {("classifier", "kernel"), ("classifier", "bias")}
    assert set(after) == kernels | biases | classifier
    assert all(after[path].shape == before[path].shape for path in kernels)
    assert all(after[path].shape == after[(*path[:-1], "kernel")].shape[-1:] for path in biases)
    assert {leaf.dtype for leaf in after.values()} == {np.dtype("float32")}


def test_the_folded_tree_is_the_one_that_the_folded_network_has() -> None:
    _, _, without, params = folded()
    shapes = jax.eval_shape(lambda: without.init(jax.random.key(0), jnp.zeros((1, 9, 9, 3)), train=False))
    assert jax.tree.map(np.shape, params) == jax.tree.map(np.shape, shapes)


def test_the_classifier_is_left_as_it_is() -> None:
    _, variables, _, params = folded()
    jax.tree.map(np.testing.assert_array_equal, params["params"]["classifier"], variables["params"]["classifier"])


def test_folding_leaves_its_arguments_as_they_were() -> None:
    _, variables, _, _ = folded()
    jax.tree.map(np.testing.assert_array_equal, variables, random_variables(small(), images(1, 9, 9, 3)))


def test_a_network_is_folded_once() -> None:
    _, _, without, params = folded()
    with pytest.raises(ValueError, match="batch_norm"):
        fold_batch_norm(without, params)


def test_the_folded_network_of_the_paper_has_17056_parameters_fewer() -> None:
    # A bias for each of the 17 056 channels after a convolution, where batch norm had a scale and a bias.
    model = MobileNetV2()
    variables = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False))
    params = jax.eval_shape(lambda v: fold_batch_norm(model, v)[1], variables)
    assert sum(leaf.size for leaf in jax.tree.leaves(variables["params"])) == 3_504_872
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 3_504_872 - 17_056


@pytest.mark.parametrize("formulation", ["lax", "fused"])
def test_a_folded_network_has_nothing_to_normalise_in_training_either(formulation: Any) -> None:
    _, _, without, params = folded(formulation=formulation)
    x = images(2, 9, 9, 3)
    assert distance(logits(without, params, x, train=True), logits(without, params, x)) < 1e-6
