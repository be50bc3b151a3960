"""The activations that a config may name."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from flax import linen as nn

Activation = Callable[[jax.Array], jax.Array]
ActivationName = Literal["relu6", "relu", "leaky_relu", "swish", "hard_swish", "gelu"]

# relu6 is the paper's, chosen for low-precision arithmetic (§3); swish is x·σ(x), also called SiLU (arXiv 1710.05941);
# hard_swish is x·relu6(x + 3) / 6, MobileNetV3's (arXiv 1905.02244, §5.2).
_BY_NAME: dict[str, Activation] = {
    "relu6": jax.nn.relu6,
    "relu": jax.nn.relu,
    "leaky_relu": nn.leaky_relu,
    "swish": jax.nn.silu,
    "hard_swish": jax.nn.hard_swish,
    "gelu": nn.gelu,
}


def activation(name: str) -> Activation:
    """The activation of this name.

    Raises:
      ValueError: if there is none.
    """
    if name not in _BY_NAME:
        raise ValueError(f"activation must be one of {', '.join(get_args(ActivationName))}, got {name!r}")
    return _BY_NAME[name]


def name_of(function: Activation) -> str | Activation:
    """The name that a config has for it; itself, where it has none."""
    return next((name for name, known in _BY_NAME.items() if known is function), function)


def relu6_gradient(x: jax.Array, gradient: jax.Array) -> jax.Array:
    """The cotangent of x through relu6: nothing where it clips, 0 and 6 included."""
    return jnp.where((x > 0) & (x < 6), gradient, 0)
