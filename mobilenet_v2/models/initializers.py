"""How the published implementations draw their kernels."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.nn.initializers import Initializer

Initialization = Literal["torchvision", "slim"]


def fan_out_normal(key: jax.Array, shape: Any, dtype: Any = jnp.float32, out_sharding: Any = None) -> jax.Array:
    """Normal with variance 2 / (h·w·features), as torchvision draws a kernel [h, w, channels / groups, features].

    A depthwise kernel counts all its features, not the one output that each input has: its standard deviation is
    √(2 / 9C), ten times below timm's √(2 / 9).
    """
    height, width, _, features = shape
    return jax.random.normal(key, shape, dtype, out_sharding=out_sharding) * (2.0 / (height * width * features)) ** 0.5


def kernel_initializers(initialization: Initialization) -> tuple[Initializer, Initializer]:
    """Initialisers of (convolution kernels, classifier kernel).

    Raises:
      ValueError: if `initialization` has no such name.
    """
    if initialization == "torchvision":
        return fan_out_normal, nn.initializers.normal(0.01)
    if initialization == "slim":
        # σ before truncation at 2σ, as in TensorFlow: the kernels' own deviation is 0.0792.
        slim = nn.initializers.truncated_normal(0.09)
        return slim, slim
    raise ValueError(f"initialization must be 'torchvision' or 'slim', got {initialization!r}")
