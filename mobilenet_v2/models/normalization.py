"""Batch norm as an affine map, with its gradient by hand; and folded into the 1×1 convolution before it.

The statistics of x·E need no pass over x·E: its mean is E[x]·E and its variance diag(Eᵀ cov(x) E).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from mobilenet_v2.models.convolutions import at_positions, over_positions
from mobilenet_v2.models.over_devices import positions, total

Params = dict[str, Any]


class Norm(NamedTuple):
    """A batch norm as the affine map x ↦ gain · x + offset, and what its gradient needs."""

    gain: jax.Array
    offset: jax.Array
    mean: jax.Array
    variance: jax.Array
    inverse: jax.Array  # 1 / √(variance + ε)


class Expansion(NamedTuple):
    """x ↦ x·kernel + bias, which is N₁(x·E), and the input's moments that N₁ was found from."""

    kernel: jax.Array
    bias: jax.Array
    norm: Norm
    input_mean: jax.Array
    input_covariance: jax.Array


def fold_expansion(layer: Params, x: jax.Array, epsilon: float, axis: str | None) -> Expansion:
    """Folds N₁, found from the covariance of x, into the expansion's kernel."""
    kernel = layer["conv"]["kernel"][0, 0]
    mean = total(channel_sums(x), axis) / positions(x, axis)
    centred = x - mean
    covariance = total(over_positions(centred, centred), axis) / positions(x, axis)
    variance = jnp.maximum(jnp.sum(kernel * (covariance @ kernel), axis=0), 0)
    norm = make_norm(layer, mean @ kernel, variance, epsilon)
    return Expansion(kernel * norm.gain, norm.offset, norm, mean, covariance)


def unfold(
    layer: Params, expansion: Expansion, x: jax.Array, d_kernel: jax.Array, d_bias: jax.Array, axis: str | None
) -> tuple[jax.Array, Params]:
    """From the folded kernel and bias back to E, N₁'s scale and bias, and x as far as its moments went into them.

    With a = scale / √(v + ε), m = μ·E, v = diag(Eᵀ Σ E), the folded kernel is a·E and the bias is bias − a·m.
    """
    kernel, norm = layer["conv"]["kernel"][0, 0], expansion.norm
    d_gain = jnp.sum(d_kernel * kernel, axis=0) - norm.mean * d_bias
    d_variance = jnp.where(norm.variance > 0, -0.5 * d_gain * norm.gain * norm.inverse**2, 0)
    d_mean = -norm.gain * d_bias
    d_E = (
        d_kernel * norm.gain
        + jnp.outer(expansion.input_mean, d_mean)
        + 2 * (expansion.input_covariance @ kernel) * d_variance
    )
    d_covariance = (kernel * d_variance) @ kernel.T
    centred = x - expansion.input_mean
    count = positions(x, axis)
    dx = at_positions(centred, d_covariance * (2 / count)) + (kernel @ d_mean) / count
    bn = {"scale": d_gain * norm.inverse, "bias": d_bias}
    return dx, {"conv": {"kernel": d_E[None, None]}, "bn": bn}


def make_norm(layer: Params, mean: jax.Array, variance: jax.Array, epsilon: float) -> Norm:
    """A layer's batch norm by these moments."""
    inverse = lax.rsqrt(variance + epsilon)
    gain = layer["bn"]["scale"] * inverse
    return Norm(gain, layer["bn"]["bias"] - mean * gain, mean, variance, inverse)


def fold_layer(params: Params, stats: Params, epsilon: float) -> Params:
    """{"conv": {"kernel", "bias"}} of one layer's {"conv": {"kernel"}, "bn": {"scale", "bias"}} and its statistics."""
    norm = make_norm(params, stats["bn"]["mean"], stats["bn"]["var"], epsilon)
    return {"conv": {"kernel": params["conv"]["kernel"] * norm.gain, "bias": norm.offset}}


def norm_gradient(dy: jax.Array, x: jax.Array, norm: Norm, axis: str | None) -> tuple[jax.Array, Params]:
    """Cotangents of x and of {"scale", "bias"} of a batch norm (Ioffe & Szegedy 2015, §3)."""
    centred, count = x - norm.mean, positions(x, axis)
    d_bias, d_gain = total((channel_sums(dy), channel_sums(dy * centred)), axis)
    d_scale = d_gain * norm.inverse
    dx = norm.gain * (dy - d_bias / count) - centred * (norm.gain * norm.inverse * d_scale / count)
    return dx, {"scale": d_scale, "bias": d_bias}


def expanded(expansion: Expansion, x: jax.Array) -> jax.Array:
    """x·kernel + bias: the expansion, normalised."""
    return at_positions(x, expansion.kernel) + expansion.bias


def channel_sums(x: jax.Array) -> jax.Array:
    """Σ over all positions of [B, H, W, C]: [C]."""
    return jnp.sum(x.reshape(-1, x.shape[-1]), axis=0)
