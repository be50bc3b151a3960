"""The inverted residual block for a CPU: the expansion is computed and consumed in tiles that stay in its cache.

`InvertedResidual` in `inverted_residual.py` is the definition; this is the same function, faster. With x the input,
E, K, P the kernels, N₁, N₂, N₃ the batch norms,

    z = N₁(x·E)    u = K ∗ relu6(z)    p = relu6(N₂(u))·P    y = N₃(p)

z exists for a few images at a time and is never stored; the backward pass computes it again. What makes that
possible is that N₁'s statistics need no pass over x·E: its mean is E[x]·E and its variance diag(Eᵀ cov(x) E), of an
input that is t times smaller. Stored are x, u and p. Without an expansion (t = 1) z and N₁ fall away: u = K ∗ x.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn import relu6
from jax.sharding import PartitionSpec

from mobilenet_v2.models import depthwise
from mobilenet_v2.models.activations import relu6_gradient
from mobilenet_v2.models.convolutions import at_positions, over_positions
from mobilenet_v2.models.depthwise import Pads
from mobilenet_v2.models.normalization import (
    Expansion,
    Params,
    channel_sums,
    expanded,
    fold_expansion,
    make_norm,
    norm_gradient,
    unfold,
)
from mobilenet_v2.models.over_devices import on_each_device, positions, total
from mobilenet_v2.models.tiles import over_tiles, tile_count

Moments = tuple[jax.Array, jax.Array]  # mean and biased variance of each channel

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


def infer_block(settings: Settings, params: Params, x_BxHxWxC: jax.Array) -> jax.Array:
    """y with batch norm folded into the convolutions: each layer of `params` as `normalization.fold_layer` makes it."""
    everywhere, rows, _ = _places(settings)
    return on_each_device(settings.axis, functools.partial(_infer_rows, settings), (everywhere, rows), rows)(
        params, x_BxHxWxC
    )


def _infer_rows(settings: Settings, params: Params, x: jax.Array) -> jax.Array:
    convolution, project = params["depthwise"]["conv"], params["project"]["conv"]

    def tile(carry: None, x: jax.Array) -> tuple[None, jax.Array]:
        if "expand" in params:
            expand = params["expand"]["conv"]
            x = relu6(at_positions(x, expand["kernel"][0, 0]) + expand["bias"])
        u = relu6(_convolve(settings, x, convolution["kernel"]) + convolution["bias"])
        return carry, at_positions(u, project["kernel"][0, 0]) + project["bias"]

    count = tile_count(x, convolution["kernel"].shape[-1], settings.tile_bytes)
    return over_tiles(tile, None, x, count)[1]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def train_block(settings: Settings, params: Params, x_BxHxWxC: jax.Array) -> tuple[jax.Array, dict[str, Moments]]:
    """y, normalised by the batch's own statistics, and these statistics by layer.

    Differentiable once, in reverse mode, in `params` and x. The statistics count as constants, as in a training step,
    which takes no gradient of them.

    Args:
      params: of {"conv": {"kernel"}, "bn": {"scale", "bias"}} each, "expand", "depthwise" and "project"; no "expand"
        where the expansion factor is 1.
    """
    return _forward(settings, params, x_BxHxWxC)[0]


def _forward(settings: Settings, params: Params, x: jax.Array) -> tuple[Any, Any]:
    everywhere, rows, residuals = _places(settings)
    return on_each_device(
        settings.axis, functools.partial(_forward_rows, settings), (everywhere, rows), ((rows, everywhere), residuals)
    )(params, x)


def _backward(settings: Settings, residuals: Any, cotangents: Any) -> tuple[Params, jax.Array]:
    everywhere, rows, places = _places(settings)
    return on_each_device(
        settings.axis, functools.partial(_backward_rows, settings), (places, rows), (everywhere, rows)
    )(residuals, cotangents[0])


train_block.defvjp(_forward, _backward)


class _Residuals(NamedTuple):
    """What the backward pass needs of the forward pass; as a tree of places, where it lies."""

    params: Any
    x: Any
    u: Any
    p: Any
    expansion: Any
    norm_2: Any
    norm_3: Any


def _places(settings: Settings) -> tuple[PartitionSpec, PartitionSpec, _Residuals]:
    """What all devices have, what is split by rows, and each of the residuals."""
    all_, rows = PartitionSpec(), PartitionSpec(settings.axis)
    return all_, rows, _Residuals(params=all_, x=rows, u=rows, p=rows, expansion=all_, norm_2=all_, norm_3=all_)


def _forward_rows(settings: Settings, params: Params, x: jax.Array) -> tuple[Any, Any]:
    kernel, projection = params["depthwise"]["conv"]["kernel"], params["project"]["conv"]["kernel"][0, 0]
    axis = settings.axis
    expansion = fold_expansion(params["expand"], x, settings.epsilon, axis) if "expand" in params else None
    count = tile_count(x, kernel.shape[-1], settings.tile_bytes)

    def convolve(sums: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
        u = _convolve(settings, x if expansion is None else relu6(expanded(expansion, x)), kernel)
        return (sums[0] + channel_sums(u), sums[1] + channel_sums(u * u)), u

    zeros = jnp.zeros(kernel.shape[-1], x.dtype)
    sums, u = over_tiles(convolve, (zeros, zeros), x, count)
    mean, square = (s / positions(u, axis) for s in total(sums, axis))
    norm_2 = make_norm(params["depthwise"], mean, jnp.maximum(square - mean**2, 0), settings.epsilon)

    def project(carry: None, u: jax.Array) -> tuple[None, jax.Array]:
        return carry, at_positions(relu6(u * norm_2.gain + norm_2.offset), projection)

    _, p = over_tiles(project, None, u, count)
    mean = total(channel_sums(p), axis) / positions(p, axis)
    centred = p - mean
    variance = total(channel_sums(centred**2), axis) / positions(p, axis)
    norm_3 = make_norm(params["project"], mean, variance, settings.epsilon)
    y = centred * norm_3.gain + params["project"]["bn"]["bias"]
    norms = {"depthwise": norm_2, "project": norm_3} | ({} if expansion is None else {"expand": expansion.norm})
    moments = {name: (norm.mean, norm.variance) for name, norm in norms.items()}
    return (y, moments), _Residuals(params, x, u, p, expansion, norm_2, norm_3)


def _backward_rows(settings: Settings, residuals: _Residuals, dy: jax.Array) -> tuple[Params, jax.Array]:
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


def _convolve(settings: Settings, x: jax.Array, kernel: jax.Array) -> jax.Array:
    padded = depthwise.pad(x, settings.pads)
    return depthwise.forward(padded, kernel, (settings.stride, settings.stride))
