"""Batch norm whose moving variance is the unbiased one, as TensorFlow's fused kernel and PyTorch keep it."""

from typing import Any

import jax
from flax import linen as nn


class UnbiasedBatchNorm(nn.BatchNorm):
    """`nn.BatchNorm`, but the variance that it moves by is the batch's times n / (n − 1), n positions a channel.

    The batch itself is normalised by the biased variance, as everywhere. TF-slim and PyTorch move so; Flax and Keras 3
    move by the biased variance. Under jit n is the global count, however the batch is sharded.
    """

    def __call__(self, x: jax.Array, use_running_average: bool | None = None, **arguments: Any) -> jax.Array:
        """As `nn.BatchNorm`'s."""
        average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        if average or self.is_initializing():
            return super().__call__(x, use_running_average, **arguments)
        old = self.get_variable("batch_stats", "var")
        y = super().__call__(x, use_running_average, **arguments)
        biased = self.get_variable("batch_stats", "var")
        factor = unbiased_factor(x.size // x.shape[-1])
        # biased is m·old + (1 − m)·v; what is kept is m·old + (1 − m)·v·factor.
        self.put_variable("batch_stats", "var", biased + (factor - 1) * (biased - self.momentum * old))
        return y


def unbiased_factor(count: int) -> float:
    """n / (n − 1): an unbiased variance over the biased one of n values. 1 for a single value, as in TensorFlow."""
    return count / max(count - 1, 1)
