"""How the published implementations draw their kernels."""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer

Initialization = Literal["torchvision", "slim", "keras", "timm", "huggingface"]


class Initializers(NamedTuple):
    """Of kernels; every bias starts at 0, batch norm's scale at 1."""

    convolution: Initializer
    depthwise: Initializer
    classifier: Initializer


def fan_out_normal(key: jax.Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
    """Normal with variance 2 / (h·w·features), as torchvision draws a kernel [h, w, channels / groups, features].

    A depthwise kernel counts all its features, not the one output that each input has: its standard deviation is
    √(2 / 9C), ten times below timm's √(2 / 9).
    """
    height, width, _, features = shape
    return jax.random.normal(key, shape, dtype, out_sharding=out_sharding) * (2.0 / (height * width * features)) ** 0.5


def depthwise_fan_out_normal(
    key: jax.Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None
) -> jax.Array:
    """Normal with variance 2 / (h·w): timm's, which divides a depthwise kernel's fan-out by its groups."""
    height, width, _, _ = shape
    return jax.random.normal(key, shape, dtype, out_sharding=out_sharding) * (2.0 / (height * width)) ** 0.5


def fan_out_uniform(key: jax.Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
    """Uniform within ±1 / √classes, as timm draws a classifier's kernel [features, classes]."""
    limit = shape[-1] ** -0.5
    return jax.random.uniform(key, shape, dtype, -limit, limit, out_sharding=out_sharding)


def kernel_initializers(initialization: Initialization) -> Initializers:
    """Initialisers of convolution, depthwise and classifier kernels.

    Raises:
      ValueError: if `initialization` has no such name.
    """
    if initialization == "torchvision":
        return Initializers(fan_out_normal, fan_out_normal, nn.initializers.normal(0.01))
    if initialization == "timm":
        return Initializers(fan_out_normal, depthwise_fan_out_normal, fan_out_uniform)
    shared: dict[str, Initializer] = {
        # σ before truncation at 2σ, as in TensorFlow: the kernels' own deviation is 0.0792.
        "slim": nn.initializers.truncated_normal(0.09),
        # Keras's depthwise kernels are [3, 3, C, 1], ours [3, 3, 1, C]: the sum of both fans is the same.
        "keras": nn.initializers.glorot_uniform(),
        "huggingface": nn.initializers.normal(0.02),
    }
    if initialization in shared:
        return Initializers(*[shared[initialization]] * 3)
    names = ", ".join(map(repr, get_args(Initialization)))
    raise ValueError(f"initialization must be one of {names}, got {initialization!r}")
