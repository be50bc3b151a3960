"""Loops over tiles of a batch: as many whole images as stay in a core's cache."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax


def tile_count(x_BxHxWxC: jax.Array, channels: int, tile_bytes: int) -> int:
    """The fewest equal tiles of whole images whose activations of `channels` stay within `tile_bytes`."""
    batch, height, width, _ = x_BxHxWxC.shape
    images = max(1, min(batch, tile_bytes // (height * width * channels * x_BxHxWxC.dtype.itemsize)))
    return batch // max(size for size in range(1, images + 1) if batch % size == 0)


def over_tiles(function: Callable[..., Any], carry: Any, arrays: Any, count: int) -> tuple[Any, Any]:
    """`lax.scan` of `function` over `count` slices of the batch axis; results lie as the batch did."""
    if count <= 1:
        return function(carry, arrays)
    tiles = jax.tree.map(lambda a: a.reshape(count, -1, *a.shape[1:]), arrays)
    carry, results = lax.scan(function, carry, tiles)
    return carry, jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), results)
