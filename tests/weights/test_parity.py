"""Imported networks compute what their sources compute, in evaluation and in a step of training."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax.traverse_util import flatten_dict

from tests.weights import reference_networks as reference
from tests.weights.reference_networks import REFERENCES, SIZES, stored

# One of each source, at an odd size where the families of padding differ most; `slow` runs all.
QUICK_EVALUATION = [
    ("torchvision_mobilenet_v2_025", 96),
    ("timm_mobilenetv2_035", 225),
    ("keras_mobilenet_v2_035", 225),
    ("slim_mobilenet_v2_050_shrunk_head", 96),
    ("hf_mobilenet_v2_035", 96),
    ("keras_mobilenet_v1_025", 225),
    ("slim_mobilenet_v1_025", 96),
]
QUICK_TRAINING = ["timm_mobilenetv2_035", "keras_mobilenet_v1_025"]


def _evaluations() -> list[Any]:
    return [
        pytest.param(name, size, marks=() if (name, size) in QUICK_EVALUATION else pytest.mark.slow)
        for name in REFERENCES
        for size in SIZES
    ]


def _trainings() -> list[Any]:
    return [pytest.param(name, marks=() if name in QUICK_TRAINING else pytest.mark.slow) for name in REFERENCES]


@pytest.mark.parametrize("name, size", _evaluations())
def test_logits_features_and_every_block_are_the_source_s(name: str, size: int) -> None:
    model, variables = reference.load(name)
    blocks = [layer for layer in model.endpoint_names() if layer == "stem" or layer[6:].isdecimal()]
    blocks += [] if name.count("_v1_") else ["features"]
    run = jax.jit(lambda x: model.endpoints(variables, x, [*blocks, "pooled", "logits"]))
    found = run(reference.evaluation_images(size))
    index = SIZES.index(size)
    deviation = stored(name, "logits_std")[index][:, None]
    logits = np.abs(found["logits"][:, :12] - stored(name, "logits")[index])
    assert np.max(logits / deviation) < 1e-4
    np.testing.assert_allclose(found["pooled"][:, :8], stored(name, "pooled")[index], rtol=1e-4, atol=1e-5)
    means, deviations = stored(name, "block_mean_std")[index]
    outputs = [np.asarray(found[block], np.float64) for block in blocks]
    scale = deviations.max()
    np.testing.assert_allclose([x.mean((1, 2, 3)) for x in outputs], means, rtol=1e-4, atol=1e-5 * scale)
    np.testing.assert_allclose([x.std((1, 2, 3)) for x in outputs], deviations, rtol=1e-4)


@pytest.mark.parametrize("name", _trainings())
def test_a_training_step_in_float64_is_the_source_s(name: str) -> None:
    images = reference.training_images()
    with jax.enable_x64(True):
        loss, gradients, batch_stats = _training_step(name, images)
        np.testing.assert_allclose(loss, stored(name, "loss"), rtol=1e-6)
        _assert_statistics(name, batch_stats)
        _assert_norms(name, gradients)


def _training_step(name: str, images: np.ndarray) -> tuple[Any, Any, Any]:
    """Loss, gradients and moved statistics of one batch."""
    model, variables = reference.load(name)
    model = model.clone(dtype=jnp.float64)
    wide = jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), variables)
    labels = jnp.array(reference.LABELS)

    @jax.jit
    def step(variables: Any, images: Any) -> Any:
        def loss(params: Any) -> Any:
            logits, updated = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
            return jnp.mean(losses), updated["batch_stats"]

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    (loss, batch_stats), gradients = step(wide, jnp.asarray(images, jnp.float64))
    return loss, flatten_dict(gradients, sep="/"), flatten_dict(batch_stats, sep="/")


def _assert_statistics(name: str, batch_stats: Any) -> None:
    v1 = "_v1_" in name
    layers = ["stem", "block_06/depthwise", "block_12/pointwise"] if v1 else ["stem", "block_08/depthwise", "head"]
    for layer, expected in zip(layers, stored(name, "bn_after"), strict=True):
        for leaf, values in zip(("mean", "var"), expected, strict=True):
            np.testing.assert_allclose(batch_stats[f"{layer}/bn/{leaf}"][:6], values, rtol=1e-6, err_msg=layer)


def _assert_norms(name: str, gradients: Any) -> None:
    """A projection's offset has no gradient: the 1×1 convolution and batch norm after it remove constants."""
    paths = {theirs: ours.removeprefix("params/") for theirs, ours in reference.path_of_name(name).items()}
    trained = sorted(theirs for theirs, ours in paths.items() if ours in gradients)
    expected = stored(name, "grad_norms")
    assert len(trained) == len(expected)
    for theirs, norm in zip(trained, expected, strict=True):
        found = float(jnp.linalg.norm(gradients[paths[theirs]].ravel()))
        if paths[theirs].endswith("project/bn/bias"):
            assert found < 1e-9, theirs
        else:
            np.testing.assert_allclose(found, norm, rtol=1e-6, err_msg=theirs)
