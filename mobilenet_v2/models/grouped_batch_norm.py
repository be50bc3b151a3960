"""Batch norm by the statistics of groups of rows instead of the whole batch's: "ghost" batch norm.

Hoffer et al. 2017 (arXiv 1705.08741), §4. With one group for each device it is what data-parallel code without
synchronised batch norm computes (Goyal et al. 2017, arXiv 1706.02677, §3.3), on any number of devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from mobilenet_v2.models.batch_norm import unbiased_factor


class GroupedBatchNorm(nn.BatchNorm):
    """`nn.BatchNorm` of each of `groups` runs of consecutive rows. Variables and evaluation are those of one group.

    The running statistics move by the means, over groups, of the groups' means and variances.

    Attributes:
      groups: how many; divides the batch.
      unbiased: running variances move by the unbiased ones of each group, see `batch_norm`.
      Others: as of `nn.BatchNorm`; `axis` is the last one, and there is no `axis_name`.
    """

    groups: int = 1
    unbiased: bool = False

    def __call__(self, x: jax.Array, use_running_average: bool | None = None, **arguments: Any) -> jax.Array:
        """As `nn.BatchNorm`'s, of [B, …, C].

        Raises:
          ValueError: if B rows can't be cut into so many groups of equal size.
        """
        average = nn.merge_param("use_running_average", self.use_running_average, use_running_average)
        if average or self.is_initializing():
            return super().__call__(x, use_running_average, **arguments)
        if x.shape[0] % self.groups:
            raise ValueError(f"groups must divide the batch, got {self.groups} groups and {x.shape[0]} rows")
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        mean_GxC, variance_GxC = group_moments(wide, self.groups, self.use_fast_variance)
        factor = unbiased_factor(x.size // x.shape[-1] // self.groups) if self.unbiased else 1.0
        self._move("mean", jnp.mean(mean_GxC, axis=0))
        self._move("var", jnp.mean(variance_GxC, axis=0) * factor)
        gain_GxC = lax.rsqrt(variance_GxC + self.epsilon) * self.get_variable("params", "scale")
        y = (wide - _of_rows(mean_GxC, wide)) * _of_rows(gain_GxC, wide) + self.get_variable("params", "bias")
        return y.astype(x.dtype if self.dtype is None else self.dtype)

    def _move(self, name: str, value: jax.Array) -> None:
        old = self.get_variable("batch_stats", name)
        self.put_variable("batch_stats", name, self.momentum * old + (1 - self.momentum) * value)


def group_moments(x: jax.Array, groups: int, fast: bool) -> tuple[jax.Array, jax.Array]:
    """Mean and biased variance of each channel in each of `groups` runs of rows of [B, …, C]: two of [groups, C].

    Args:
      fast: E[x²] − E[x]² in one pass, as `nn.BatchNorm`'s `use_fast_variance`.
    """
    mean = _group_means(x, groups)
    if fast:
        return mean, jnp.maximum(_group_means(x * x, groups) - mean * mean, 0)
    return mean, _group_means(jnp.square(x - _of_rows(mean, x)), groups)


def _group_means(x: jax.Array, groups: int) -> jax.Array:
    """Each row first, so that rows are brought together as [B, C] where a group lies on two devices, never as x."""
    rows_BxC = jnp.mean(x, axis=tuple(range(1, x.ndim - 1)))
    return jnp.mean(rows_BxC.reshape(groups, -1, x.shape[-1]), axis=1)


def _of_rows(moments_GxC: jax.Array, x: jax.Array) -> jax.Array:
    """The moments of each row's group: [B, 1, …, C], to go with x."""
    groups, channels = moments_GxC.shape
    rows = jnp.broadcast_to(moments_GxC[:, None], (groups, x.shape[0] // groups, channels))
    return rows.reshape(x.shape[0], *(1,) * (x.ndim - 2), channels)
