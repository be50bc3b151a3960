"""Batch norms that differ from `nn.BatchNorm` in what moves the running variance, and in whose statistics count."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax


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


class GroupedBatchNorm(nn.BatchNorm):
    """`nn.BatchNorm` by the statistics of parts of the batch (Hoffer et al. 2017, "ghost batch norm").

    In training the batch is cut into groups of rows that follow each other, each group is normalised by its own
    moments, and the running ones move by the mean of these over the groups. Where the number of groups is a multiple
    of the devices that the rows are split over, jit has nothing to exchange for it; where a group lies on several, each
    row's means alone. For that x keeps its shape: cut into groups that don't fit the devices, all of it would be
    gathered on every one. Variables are `nn.BatchNorm`'s.

    Attributes:
      groups: how many.
      unbiased: the running variance moves by the unbiased one of a group, see `UnbiasedBatchNorm`.
    """

    groups: int = 1
    unbiased: bool = False

    def __call__(self, x: jax.Array, use_running_average: bool | None = None, **arguments: Any) -> jax.Array:
        """As `nn.BatchNorm`'s.

        Raises:
          ValueError: if the rows of x can't be dealt out evenly.
        """
        average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        if average or self.is_initializing():
            return super().__call__(x, use_running_average, **arguments)
        if x.shape[0] % self.groups:
            raise ValueError(f"a batch of {x.shape[0]} rows can't be cut into {self.groups} groups")
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean, variance = self._moments(wide)
        factor = unbiased_factor(x.size // x.shape[-1] // self.groups) if self.unbiased else 1.0
        for name, moment in {"mean": mean, "var": variance * factor}.items():
            old, new = self.get_variable("batch_stats", name), jnp.mean(moment, axis=0)
            self.put_variable("batch_stats", name, self.momentum * old + (1 - self.momentum) * new)
        gain = lax.rsqrt(variance + self.epsilon) * self.get_variable("params", "scale")
        y = (wide - _of_rows(mean, wide)) * _of_rows(gain, wide) + self.get_variable("params", "bias")
        return y.astype(self.dtype or x.dtype)

    def _moments(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Mean and biased variance of each group, [G, C]."""
        mean = _group_means(x, self.groups)
        if self.use_fast_variance:
            return mean, jnp.maximum(_group_means(lax.square(x), self.groups) - lax.square(mean), 0)
        return mean, _group_means(lax.square(x - _of_rows(mean, x)), self.groups)


def _group_means(x: jax.Array, groups: int) -> jax.Array:
    """Of [B, …, C] the mean of each group of rows: [G, C]."""
    row_means_BxC = jnp.mean(x, range(1, x.ndim - 1))
    return jnp.mean(row_means_BxC.reshape(groups, -1, x.shape[-1]), axis=1)


def _of_rows(values_GxC: jax.Array, x: jax.Array) -> jax.Array:
    """What each row of x has of its group: [B, 1, …, C]."""
    groups, channels = values_GxC.shape
    rows = jnp.broadcast_to(values_GxC[:, None], (groups, x.shape[0] // groups, channels))
    return rows.reshape(x.shape[0], *(1,) * (x.ndim - 2), channels)


def unbiased_factor(count: int) -> float:
    """n / (n − 1): an unbiased variance over the biased one of n values. 1 for a single value, as in TensorFlow."""
    return count / max(count - 1, 1)
