"""The networks' convolutions: one meaning, that of `lax.conv_general_dilated`, and a formulation per platform.

XLA has no good depthwise convolution for the CPU: `feature_group_count` there costs several times what nine
shifted multiply-adds do, above all in the gradient of the kernel. A 1×1 convolution is a matrix product, and
XLA:CPU is faster when told so. Accelerators get `lax.conv_general_dilated` as it is.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    *,
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> jax.Array:
    """`lax.conv_general_dilated`, by the formulation that suits the platform it is compiled for.

    Meant for `nn.Conv(conv_general_dilated=…)`: images [B, H, W, C], kernels [h, w, C / groups, features].
    The choice is made inside jit, when the platform is known, and never changes the result beyond rounding.
    """

    def plain(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            precision=precision,
        )

    dilated = any(d != 1 for d in (*(lhs_dilation or ()), *(rhs_dilation or ())))
    if dilated or lhs.ndim != 4:
        return plain(lhs, rhs)
    pads = (
        lax.padtype_to_pads(lhs.shape[1:3], rhs.shape[:2], window_strides, padding)
        if isinstance(padding, str)
        else padding
    )
    if feature_group_count == lhs.shape[-1] == rhs.shape[-1]:
        return lax.platform_dependent(
            lhs, rhs, cpu=lambda x, kernel: shifted_depthwise(x, kernel, window_strides, pads), default=plain
        )
    unpadded = all(p == (0, 0) for p in map(tuple, pads))
    if rhs.shape[:2] == (1, 1) and tuple(window_strides) == (1, 1) and unpadded and feature_group_count == 1:
        return lax.platform_dependent(lhs, rhs, cpu=pointwise_as_dot, default=plain)
    return plain(lhs, rhs)


def pointwise_as_dot(x_BxHxWxC: jax.Array, kernel_1x1xCxD: jax.Array) -> jax.Array:
    """A 1×1 convolution as the matrix product that it is: [B·H·W, C] · [C, D]."""
    return lax.dot_general(x_BxHxWxC, kernel_1x1xCxD[0, 0], (((3,), (0,)), ((), ())))


def shifted_depthwise(
    x_BxHxWxC: jax.Array,
    kernel_hxwx1xC: jax.Array,
    strides: Sequence[int],
    pads: Sequence[tuple[int, int]],
) -> jax.Array:
    """A depthwise convolution as a sum of shifted images, each times one row of channel weights.

    y[b, i, j, c] = Σ_{u,v} x̂[b, s·i + u, s·j + v, c] · k[u, v, c], x̂ being x padded with zeros. Only the
    batch axis is left whole, so a batch sharded over devices stays where it is.
    """
    height, width = kernel_hxwx1xC.shape[:2]
    # Without the barrier XLA recomputes the padding in each of the shifts.
    padded = lax.optimization_barrier(jnp.pad(x_BxHxWxC, ((0, 0), *pads, (0, 0))))
    rows = (padded.shape[1] - height) // strides[0] + 1
    columns = (padded.shape[2] - width) // strides[1] + 1

    def shifted(u: int, v: int) -> jax.Array:
        window = padded[:, u : u + strides[0] * (rows - 1) + 1 : strides[0]]
        return window[:, :, v : v + strides[1] * (columns - 1) + 1 : strides[1]] * kernel_hxwx1xC[u, v, 0]

    total = shifted(0, 0)
    for u in range(height):
        for v in range(width):
            if (u, v) != (0, 0):
                total = total + shifted(u, v)
    return total
