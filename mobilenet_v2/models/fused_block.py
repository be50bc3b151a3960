"""The inverted residual block for a CPU: the expansion is computed and consumed in tiles that stay in its cache.

`InvertedResidual` in `inverted_residual.py` is the definition; this is the same function, faster. With x the input,
E, K, P the kernels, N₁, N₂, N₃ the batch norms,

    z = N₁(x·E)    u = K ∗ relu6(z)    p = relu6(N₂(u))·P    y = N₃(p)

z exists for a few images at a time and is never stored; the backward pass computes it again. What makes that
possible is that N₁'s statistics need no pass over x·E: its mean is E[x]·E and its variance diag(Eᵀ cov(x) E), of an
input that is t times smaller. Stored are x, u and p. Without an expansion (t = 1) z and N₁ fall away: u = K ∗ x.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn import relu6
from jax.sharding import PartitionSpec

from mobilenet_v2.models import depthwise
from mobilenet_v2.models.convolutions import at_positions
from mobilenet_v2.models.fused_backward import Residuals, Settings, backward_rows
from mobilenet_v2.models.normalization import (
    Params,
    channel_sums,
    expanded,
    fold_expansion,
    make_norm,
)
from mobilenet_v2.models.over_devices import on_each_device, positions, total
from mobilenet_v2.models.tiles import over_tiles, tile_count

Moments = tuple[jax.Array, jax.Array]  # mean and biased variance of each channel


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
        settings.axis, functools.partial(backward_rows, settings), (places, rows), (everywhere, rows)
    )(residuals, cotangents[0])


train_block.defvjp(_forward, _backward)


def _places(settings: Settings) -> tuple[PartitionSpec, PartitionSpec, Residuals]:
    """What all devices have, what is split by rows, and each of the residuals."""
    all_, rows = PartitionSpec(), PartitionSpec(settings.axis)
    return all_, rows, Residuals(params=all_, x=rows, u=rows, p=rows, expansion=all_, norm_2=all_, norm_3=all_)


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
    return (y, moments), Residuals(params, x, u, p, expansion, norm_2, norm_3)


def _convolve(settings: Settings, x: jax.Array, kernel: jax.Array) -> jax.Array:
    padded = depthwise.pad(x, settings.pads)
    return depthwise.forward(padded, kernel, (settings.stride, settings.stride))
