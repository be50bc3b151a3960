"""Depthwise convolutions as sums of shifted images, forward and backward: what a CPU is fast at.

Only height and width are ever cut: a batch that is sharded over devices stays where it is. Sums are float32 at least.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)

# So many rows are added up before a reduction proper: XLA:CPU is fast at the one and slow at the other.
_ROWS = 16


@functools.partial(jax.custom_vjp, nondiff_argnames=("strides", "pads", "dilation"))
def shifted_depthwise(
    x_BxHxWxC: jax.Array,
    kernel_hxwx1xC: jax.Array,
    strides: tuple[int, int],
    pads: Pads,
    dilation: tuple[int, int] = (1, 1),
) -> jax.Array:
    """A depthwise convolution as a sum of shifted images, each times one row of channel weights.

    y[b, i, j, c] = Σ_{u,v} x̂[b, s·i + d·u, s·j + d·v, c] · k[u, v, c], x̂ being x padded with zeros.
    Differentiable in reverse mode, any number of times.
    """
    return forward(pad(x_BxHxWxC, pads), kernel_hxwx1xC, strides, dilation)


def _shifted_forward(
    x: jax.Array, kernel: jax.Array, strides: tuple[int, int], pads: Pads, dilation: tuple[int, int]
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return shifted_depthwise(x, kernel, strides, pads, dilation), (x, kernel)


def _shifted_backward(
    strides: tuple[int, int],
    pads: Pads,
    dilation: tuple[int, int],
    residuals: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = residuals
    around = gradient_pads(gradient.shape[1:3], x.shape[1:3], kernel.shape[:2], strides, pads, dilation)
    dx = input_gradient(pad(gradient, around), kernel, x.shape[1:3], strides, pads, dilation)
    partial = kernel_partials(pad(x, pads), gradient, kernel.shape[:2], strides, dilation)
    return dx, sum_partials(partial, kernel.shape).astype(kernel.dtype)


shifted_depthwise.defvjp(_shifted_forward, _shifted_backward)


def forward(
    padded_BxHxWxC: jax.Array,
    kernel_hxwx1xC: jax.Array,
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> jax.Array:
    """`shifted_depthwise` of an image that is padded already."""
    size = kernel_hxwx1xC.shape[:2]
    rows = kernel_hxwx1xC.reshape(size[0] * size[1], -1).astype(_sum_dtype(padded_BxHxWxC))
    total = functools.reduce(
        jnp.add,
        [window * row for window, row in zip(windows(padded_BxHxWxC, size, strides, dilation), rows, strict=True)],
    )
    return total.astype(padded_BxHxWxC.dtype)


def gradient_pads(
    gradient_size: Sequence[int],
    image_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: tuple[int, int],
    pads: Pads,
    dilation: tuple[int, int] = (1, 1),
) -> Pads:
    """Zeros that `input_gradient` wants around the output's cotangent."""

    def along(axis: int) -> tuple[int, int]:
        reach = dilation[axis] * (kernel_size[axis] - 1)
        low, high = pads[axis]
        if strides == (1, 1):
            return reach - low, reach - high
        count = -(-(image_size[axis] + low + high) // strides[axis])
        return reach // strides[axis], max(0, count - gradient_size[axis])

    return along(0), along(1)


def input_gradient(
    padded_BxHxWxC: jax.Array,
    kernel_hxwx1xC: jax.Array,
    image_size: Sequence[int],
    strides: tuple[int, int],
    pads: Pads,
    dilation: tuple[int, int] = (1, 1),
) -> jax.Array:
    """Cotangent [B, *image_size, C] of the image, from the output's, padded by `gradient_pads`.

    At stride 1 it is the convolution with the flipped kernel. Otherwise row s·a + r of the padded image got gradient
    row a − m through the weights with d·u = s·m + r, and no others: each of the s × s phases is a short sum of
    shifted gradients without gaps, and the phases are interleaved.
    """
    if strides == (1, 1):
        return forward(padded_BxHxWxC, kernel_hxwx1xC[::-1, ::-1], (1, 1), dilation)
    size = kernel_hxwx1xC.shape[:2]
    counts = [-(-(n + sum(p)) // s) for n, p, s in zip(image_size, pads, strides, strict=True)]
    reach = [d * (k - 1) // s for k, d, s in zip(size, dilation, strides, strict=True)]
    g = padded_BxHxWxC.astype(_sum_dtype(padded_BxHxWxC))
    terms: dict[tuple[int, int], list[jax.Array]] = {}
    for u, v in itertools.product(range(size[0]), range(size[1])):
        (m, r), (n, q) = divmod(u * dilation[0], strides[0]), divmod(v * dilation[1], strides[1])
        shifted = g[:, reach[0] - m :, reach[1] - n :][:, : counts[0], : counts[1]]
        terms.setdefault((r, q), []).append(shifted * kernel_hxwx1xC[u, v, 0].astype(g.dtype))
    nothing = [jnp.zeros((g.shape[0], *counts, g.shape[-1]), g.dtype)]
    rows = [
        jnp.concatenate([functools.reduce(jnp.add, terms.get((r, q), nothing)) for q in range(strides[1])], axis=-1)
        for r in range(strides[0])
    ]
    whole = jnp.stack(rows, axis=2).reshape(g.shape[0], counts[0] * strides[0], counts[1] * strides[1], -1)
    (top, _), (left, _) = pads
    beyond = [image_size[0] + top - whole.shape[1], image_size[1] + left - whole.shape[2]]
    return pad(whole, ((-top, beyond[0]), (-left, beyond[1]))).astype(padded_BxHxWxC.dtype)


def kernel_partials(
    padded_BxHxWxC: jax.Array,
    gradient_BxHxWxC: jax.Array,
    kernel_size: tuple[int, ...],
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> list[jax.Array]:
    """For each weight, products of image and cotangent of which `sum_partials` makes the kernel's cotangent.

    Up to 16 rows are added up in one pass over memory; what is left is [B, H' / rows, W', C].
    """
    height = gradient_BxHxWxC.shape[1]
    rows = max(count for count in range(1, _ROWS + 1) if height % count == 0)
    block = height // rows

    def partial(window: jax.Array) -> jax.Array:
        product = window * gradient_BxHxWxC.astype(window.dtype)
        return functools.reduce(jnp.add, [product[:, r * block : (r + 1) * block] for r in range(rows)])

    return [partial(window) for window in windows(padded_BxHxWxC, kernel_size, strides, dilation)]


def sum_partials(partials: list[jax.Array], kernel_shape: tuple[int, ...]) -> jax.Array:
    """The cotangent of a depthwise kernel [h, w, 1, C] from `kernel_partials`."""
    return jnp.stack([jnp.sum(partial, axis=(0, 1, 2)) for partial in partials]).reshape(kernel_shape)


def pad(x_BxHxWxC: jax.Array, pads: Pads) -> jax.Array:
    """Adds rows and columns of zeros, or takes rows and columns away where `pads` is negative."""
    if pads == ((0, 0), (0, 0)):
        return x_BxHxWxC
    (top, bottom), (left, right) = pads
    config = ((0, 0, 0), (top, bottom, 0), (left, right, 0), (0, 0, 0))
    padded = lax.pad(x_BxHxWxC, jnp.zeros((), x_BxHxWxC.dtype), config)
    # Without the barrier XLA pads anew in each of the shifts.
    return lax.optimization_barrier(padded)


def windows(
    padded_BxHxWxC: jax.Array,
    kernel_size: Sequence[int],
    strides: tuple[int, int] = (1, 1),
    dilation: tuple[int, int] = (1, 1),
) -> list[jax.Array]:
    """What each weight of a kernel is multiplied with, [B, H', W', C] each, row by row of the kernel."""
    batch, height, width, channels = padded_BxHxWxC.shape
    rows = (height - (kernel_size[0] - 1) * dilation[0] - 1) // strides[0] + 1
    columns = (width - (kernel_size[1] - 1) * dilation[1] - 1) // strides[1] + 1
    x = padded_BxHxWxC.astype(_sum_dtype(padded_BxHxWxC))

    def window(top: int, left: int) -> jax.Array:
        end = (batch, top + strides[0] * (rows - 1) + 1, left + strides[1] * (columns - 1) + 1, channels)
        return lax.slice(x, (0, top, left, 0), end, (1, *strides, 1))

    return [window(u * dilation[0], v * dilation[1]) for u in range(kernel_size[0]) for v in range(kernel_size[1])]


def _sum_dtype(x: jax.Array) -> Any:
    return jnp.promote_types(x.dtype, jnp.float32)


def resolve_padding(
    padding: str | Sequence[tuple[int, int]],
    image_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> Pads:
    """Rows and columns of zeros ((top, bottom), (left, right)) that `padding` means."""
    if isinstance(padding, str):
        window = [(k - 1) * d + 1 for k, d in zip(kernel_size, dilation, strict=True)]
        padding = lax.padtype_to_pads(image_size, window, strides, padding)
    (top, bottom), (left, right) = padding
    return (int(top), int(bottom)), (int(left), int(right))
