"""The backward pass of `fused_block.py`, what it needs of the forward pass, and what both are told.

It computes z again, tile by tile, and gathers what is summed over the batch on the way.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import relu6

from mobilenet_v2.models import depthwise
from mobilenet_v2.models.activations import relu6_gradient
from mobilenet_v2.models.convolutions import at_positions, over_positions
from mobilenet_v2.models.depthwise import Pads
from mobilenet_v2.models.normalization import Expansion, Params, channel_sums, expanded, norm_gradient, unfold
from mobilenet_v2.models.over_devices import positions, total
from mobilenet_v2.models.tiles import over_tiles, tile_count

# Bytes of expanded activations in a tile: a 1 MB L2 cache. Half of it is as fast on one core and slower on two.
TILE_BYTES = 1024 * 1024


class Settings(NamedTuple):
    """What is fixed when a block is compiled: stride and padding of its depthwise convolution, batch norm's ε.

    `pads` are less than the kernel is wide. `axis` is the mesh axis that the batch is split over, if it is: each device
    then loops over tiles of its own rows, and what is summed over the batch is summed over the devices as well.
    """

    stride: int
    pads: Pads
    epsilon: float
    tile_bytes: int = TILE_BYTES
    axis: str | None = None


class Residuals(NamedTuple):
    """What the backward pass needs of the forward pass; as a tree of places, where it lies."""

    params: Any
    x: Any
    u: Any
    p: Any
    expansion: Any
    norm_2: Any
    norm_3: Any


def backward_rows(settings: Settings, residuals: Residuals, dy: jax.Array) -> tuple[Params, jax.Array]:
    """Cotangents of the layers' parameters and of x, from y's; sees a device's rows, and sums over all of them."""
    params, x, u, p, expansion, norm_2, norm_3 = residuals
    axis = settings.axis
    projection = params["project"]["conv"]["kernel"][0, 0]
    count = tile_count(x, u.shape[-1], settings.tile_bytes)
    dp, d_norm_3 = norm_gradient(dy, p, norm_3, axis)

    def before_norm(u: jax.Array, dp: jax.Array) -> tuple[jax.Array, jax.Array]:
        """relu6(N₂(u)) and the cotangent of N₂(u)."""
        normalized = u * norm_2.gain + norm_2.offset
        return relu6(normalized), relu6_gradient(normalized, at_positions(dp, projection.T))

    def sums(carry: Any, tile: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
        u, dp = tile
        activation, q = before_norm(u, dp)
        return (
            carry[0] + over_positions(activation, dp),
            carry[1] + channel_sums(q),
            carry[2] + channel_sums(q * u),
        ), None

    zeros = jnp.zeros(u.shape[-1], x.dtype)
    gathered, _ = over_tiles(sums, (jnp.zeros_like(projection), zeros, zeros), (u, dp), count)
    d_projection, dq, dqu = total(gathered, axis)
    d_scale = (dqu - norm_2.mean * dq) * norm_2.inverse
    slope = norm_2.gain * norm_2.inverse * d_scale / positions(u, axis)
    level = norm_2.gain * dq / positions(u, axis) - slope * norm_2.mean

    def cotangent_of_u(u: jax.Array, dp: jax.Array) -> jax.Array:
        return before_norm(u, dp)[1] * norm_2.gain - (u * slope + level)

    dx, d_expand, d_kernel = _convolution_gradient(settings, params, expansion, x, (u, dp), cotangent_of_u, count)
    gradients = {
        "depthwise": {"conv": {"kernel": d_kernel}, "bn": {"scale": d_scale, "bias": dq}},
        "project": {"conv": {"kernel": d_projection[None, None]}, "bn": d_norm_3},
    }
    return gradients | ({} if d_expand is None else {"expand": d_expand}), dx


class _Gathered(NamedTuple):
    """What the second backward pass adds up over the tiles, and the buffer that it pads in."""

    depthwise: list[jax.Array]  # see `depthwise.kernel_partials`
    kernel: jax.Array  # of the folded expansion; no more than zero where there is none
    bias: jax.Array
    buffer: jax.Array


def _convolution_gradient(
    settings: Settings,
    params: Params,
    expansion: Expansion | None,
    x: jax.Array,
    stored: tuple[jax.Array, jax.Array],
    cotangent_of_u: Callable[..., jax.Array],
    count: int,
) -> tuple[jax.Array, Params | None, jax.Array]:
    """Cotangents of x, of the expansion's layer and of the depthwise kernel: the second pass over the tiles."""
    kernel, strides = params["depthwise"]["conv"]["kernel"], (settings.stride, settings.stride)
    u_size, x_size = stored[0].shape[1:3], x.shape[1:3]
    around = depthwise.gradient_pads(u_size, x_size, kernel.shape[:2], strides, settings.pads)
    (top, bottom), (left, right) = around

    def tile(carry: _Gathered, arrays: Any) -> tuple[_Gathered, jax.Array]:
        x, (u, dp) = arrays
        # Written into a buffer that outlives the tile, because XLA would compute du anew for each of its nine uses.
        buffer = lax.dynamic_update_slice(carry.buffer, cotangent_of_u(u, dp), (0, top, left, 0))
        du = depthwise.pad(buffer, ((-top, -bottom), (-left, -right)))
        z = x if expansion is None else expanded(expansion, x)
        padded = depthwise.pad(z if expansion is None else relu6(z), settings.pads)
        partials = depthwise.kernel_partials(padded, du, kernel.shape[:2], strides)
        partials = [old + new for old, new in zip(carry.depthwise, partials, strict=True)]
        dx = depthwise.input_gradient(buffer, kernel, x_size, strides, settings.pads)
        if expansion is None:
            return _Gathered(partials, carry.kernel, carry.bias, buffer), dx
        dz = relu6_gradient(z, dx)
        gathered = _Gathered(partials, carry.kernel + over_positions(x, dz), carry.bias + channel_sums(dz), buffer)
        return gathered, at_positions(dz, expansion.kernel.T)

    def start(tile_of_u: jax.Array) -> _Gathered:
        buffer = depthwise.pad(jnp.zeros_like(tile_of_u), around)
        padded_size = [n + sum(p) for n, p in zip(x_size, settings.pads, strict=True)]
        padded = jax.ShapeDtypeStruct((tile_of_u.shape[0], *padded_size, tile_of_u.shape[-1]), tile_of_u.dtype)
        partials = jax.eval_shape(
            lambda padded, du: depthwise.kernel_partials(padded, du, kernel.shape[:2], strides), padded, tile_of_u
        )
        nothing = jnp.zeros((), tile_of_u.dtype)
        folded = (nothing, nothing) if expansion is None else (expansion.kernel, expansion.bias)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), _Gathered(partials, *folded, buffer))

    axis = settings.axis
    sums, dx = over_tiles(tile, start(stored[0][: x.shape[0] // count]), (x, stored), count)
    d_kernel = depthwise.sum_partials(sums.depthwise, kernel.shape)
    if expansion is None:
        return dx, None, total(d_kernel, axis)
    d_kernel, d_folded, d_bias = total((d_kernel, sums.kernel, sums.bias), axis)
    more, d_expand = unfold(params["expand"], expansion, x, d_folded, d_bias, axis)
    return dx + more, d_expand, d_kernel
