"""The networks' convolutions: one meaning, that of `lax.conv_general_dilated`, and a formulation per platform.

XLA has no good depthwise convolution for the CPU: `feature_group_count` there costs ten to twenty times what nine
shifted multiply-adds do, above all in the gradient of the kernel. A 1×1 convolution is a matrix product, and so is
the stem over its patches; XLA:CPU is faster when told so. Accelerators get `lax.conv_general_dilated` as it is:
no other formulation has been measured on one. `benchmarks/convolutions.py` compares them.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax

from mobilenet_v2.models.depthwise import Pads, pad, resolve_padding, shifted_depthwise

Formulation = Literal["auto", "lax", "shifted", "fused"]

# A convolution over no more input values than this, as the stem's 3·3·3, is a product over patches.
_MAX_PATCH = 64
_NHWC = lax.conv_dimension_numbers((1, 1, 1, 1), (1, 1, 1, 1), ("NHWC", "HWIO", "NHWC"))


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
    formulation: Formulation = "auto",
) -> jax.Array:
    """`lax.conv_general_dilated`, by the formulation that suits the platform it is compiled for.

    Meant for `nn.Conv(conv_general_dilated=…)`: images [B, H, W, C], kernels [h, w, C / groups, features]; anything
    else is left to lax. The choice is made inside jit, when the platform is known, and never changes the result
    beyond rounding. Only lax has derivatives in forward mode; all have them in reverse mode, any number of times.

    Args:
      precision: concerns lax only.
      formulation: "auto" by platform; "lax" or "shifted" everywhere. "fused" concerns whole blocks: a single
        convolution then is as under "auto".

    Raises:
      ValueError: if `formulation` has no such name.
    """
    if formulation not in get_args(Formulation):
        raise ValueError(f"formulation must be one of {', '.join(get_args(Formulation))}, got {formulation!r}")
    plain = functools.partial(
        lax.conv_general_dilated,
        window_strides=window_strides,
        padding=padding,
        lhs_dilation=lhs_dilation,
        rhs_dilation=rhs_dilation,
        dimension_numbers=dimension_numbers,
        feature_group_count=feature_group_count,
        precision=precision,
    )
    images = lhs.ndim == 4 and lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers) == _NHWC
    if formulation == "lax" or not images or any(d != 1 for d in lhs_dilation or ()):
        return plain(lhs, rhs)
    on_cpu = _on_cpu(lhs, rhs, _pair(window_strides), padding, _pair(rhs_dilation or (1, 1)), feature_group_count)
    if on_cpu is None:
        return plain(lhs, rhs)
    if formulation == "shifted":
        return on_cpu(lhs, rhs)
    return lax.platform_dependent(lhs, rhs, cpu=on_cpu, default=plain)


def _on_cpu(
    x: jax.Array,
    kernel: jax.Array,
    strides: tuple[int, int],
    padding: str | Sequence[tuple[int, int]],
    dilation: tuple[int, int],
    groups: int,
) -> Callable[[jax.Array, jax.Array], jax.Array] | None:
    """What a CPU computes instead of lax's convolution of x and kernel, or None."""
    pads = resolve_padding(padding, x.shape[1:3], kernel.shape[:2], strides, dilation)
    if groups == x.shape[-1] == kernel.shape[-1]:
        return functools.partial(shifted_depthwise, strides=strides, pads=pads, dilation=dilation)
    if groups != 1:
        return None
    if kernel.shape[:2] == (1, 1) and strides == (1, 1) and pads == ((0, 0), (0, 0)):
        return pointwise_as_dot
    if dilation == (1, 1) and math.prod(kernel.shape[:3]) <= _MAX_PATCH:
        return functools.partial(patches_as_dot, strides=strides, pads=pads)
    return None


def pointwise_as_dot(x_BxHxWxC: jax.Array, kernel_1x1xCxD: jax.Array) -> jax.Array:
    """A 1×1 convolution as the matrix product that it is: [B·H·W, C] · [C, D]."""
    return at_positions(x_BxHxWxC, kernel_1x1xCxD[0, 0])


def patches_as_dot(
    x_BxHxWxC: jax.Array, kernel_hxwxCxD: jax.Array, *, strides: tuple[int, int], pads: Pads
) -> jax.Array:
    """A convolution over few channels as one matrix product over its patches: [B·H'·W', h·w·C] · [h·w·C, D].

    With rows and columns in groups of a stride, a patch's row lies in one piece for each group that it touches: 6
    pieces for the stem's 9 weights. Gathering takes time by the piece.
    """
    (height, width, channels, features), (batch, *size, _) = kernel_hxwxCxD.shape, x_BxHxWxC.shape
    rows, columns = ((n + sum(p) - k) // s + 1 for n, p, k, s in zip(size, pads, (height, width), strides, strict=True))
    groups = rows + (height - 1) // strides[0], columns + (width - 1) // strides[1]
    (top, _), (left, _) = pads
    ends = (groups[0] * strides[0] - size[0] - top, groups[1] * strides[1] - size[1] - left)
    padded = pad(x_BxHxWxC, ((top, ends[0]), (left, ends[1])))
    grouped = padded.reshape(batch, groups[0], strides[0], groups[1], strides[1] * channels)
    pieces = [
        grouped[:, u // strides[0] :, u % strides[0], v // strides[1] :][
            :, :rows, :columns, : min(width - v, strides[1]) * channels
        ]
        for u in range(height)
        for v in range(0, width, strides[1])
    ]
    # Without the barrier XLA gathers the patches anew inside the product.
    patches = lax.optimization_barrier(jnp.concatenate(pieces, axis=-1))
    return at_positions(patches, kernel_hxwxCxD.reshape(-1, features))


@jax.custom_vjp
def at_positions(x_BxHxWxC: jax.Array, matrix_CxD: jax.Array) -> jax.Array:
    """x · matrix at every position: [B, H, W, D]. Products in two dimensions: XLA:CPU is slower with four."""
    return (x_BxHxWxC.reshape(-1, x_BxHxWxC.shape[-1]) @ matrix_CxD).reshape(
        *x_BxHxWxC.shape[:-1], matrix_CxD.shape[-1]
    )


def over_positions(x_BxHxWxC: jax.Array, y_BxHxWxD: jax.Array) -> jax.Array:
    """Σ over all positions of xᵀ · y: [C, D]."""
    return x_BxHxWxC.reshape(-1, x_BxHxWxC.shape[-1]).T @ y_BxHxWxD.reshape(-1, y_BxHxWxD.shape[-1])


def _at_positions_forward(x: jax.Array, matrix: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return at_positions(x, matrix), (x, matrix)


def _at_positions_backward(residuals: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
    x, matrix = residuals
    # Written out, because what JAX derives computes the matrix's cotangent transposed, with a copy.
    return at_positions(gradient, matrix.T), over_positions(x, gradient)


at_positions.defvjp(_at_positions_forward, _at_positions_backward)


def _pair(values: Sequence[int]) -> tuple[int, int]:
    first, second = values
    return int(first), int(second)
