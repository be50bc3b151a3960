"""The network that is exported: batch norm folded, plain convolutions, float32, nothing of training."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mobilenet_v2.models.folding import fold_batch_norm

# Normalised images float32 [B, H, W, C] to logits float32 [B, num_classes].
Run = Callable[[np.ndarray], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Inference:
    """A function of normalised images alone, and the shapes that it takes and gives.

    Attributes:
      logits: float32 [B, image_size, image_size, channels] → float32 [B, num_classes]; can be traced.
    """

    logits: Callable[[jax.Array], jax.Array]
    image_size: int
    channels: int
    num_classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """[H, W, C]."""
        return self.image_size, self.image_size, self.channels


def for_inference(model: Any, variables: Any, image_size: int, channels: int) -> Inference:
    """The network as files hold it: equal to `model` in evaluation, to 1e-5 of the logits' size.

    Convolutions are `lax.conv_general_dilated`: what a CPU computes in their place here is XLA's matter, not another
    runtime's, which has kernels of its own.
    """
    plain = model.clone(formulation="lax", dtype=jnp.float32, remat="none", frozen="nothing", provenance=None)
    if plain.batch_norm:
        plain, variables = fold_batch_norm(plain, variables)

    def logits(image_BxHxWxC: jax.Array) -> jax.Array:
        return plain.apply(variables, image_BxHxWxC, train=False)

    return Inference(logits, image_size, channels, model.num_classes)


def run_source(model: Any, variables: Any) -> Run:
    """The network as it is, compiled for this machine, in float32: what files are compared with."""
    whole = model.clone(dtype=jnp.float32)
    apply = jax.jit(lambda variables, image_BxHxWxC: whole.apply(variables, image_BxHxWxC, train=False))
    return lambda image_BxHxWxC: np.asarray(apply(variables, image_BxHxWxC))
