"""Many small arrays as a few large vectors, one a dtype, and back."""

import math
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec


def pack(state: Any) -> dict[str, np.ndarray]:
    """One vector of each dtype on every host, in the order of leaves; of arrays that are split over devices, too.

    The devices lay them together, so that 3 arrays are copied to the host instead of 800. What is returned holds no
    memory of the state's, which may be donated at once.
    """
    leaves = jax.tree.leaves(state)
    return jax.device_get(jax.jit(_concatenated, out_shardings=_replicated_as(leaves))(leaves))


def _concatenated(leaves: list[jax.Array]) -> dict[str, jax.Array]:
    parts: dict[str, list[jax.Array]] = {}
    for leaf in leaves:
        parts.setdefault(leaf.dtype.name, []).append(leaf.reshape(-1))
    return {dtype: jnp.concatenate(vectors) for dtype, vectors in parts.items()}


def _replicated_as(leaves: list[Any]) -> NamedSharding | None:
    shardings = (getattr(leaf, "sharding", None) for leaf in leaves)
    named = next((one for one in shardings if isinstance(one, NamedSharding)), None)
    return None if named is None else NamedSharding(named.mesh, PartitionSpec())


def listed(state: Any) -> dict[str, dict[str, Any]]:
    """What `describe` says of each leaf, by its path."""
    return {name_of(path): describe(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def empty_vectors(listed: dict[str, Any]) -> dict[str, np.ndarray]:
    """Room for what `pack` makes of arrays that are described so."""
    sizes: dict[str, int] = {}
    for one in listed.values():
        sizes[one["dtype"]] = sizes.get(one["dtype"], 0) + math.prod(one["shape"])
    return {dtype: np.zeros(size, dtype) for dtype, size in sizes.items()}


def unpack(vectors: dict[str, np.ndarray], listed: dict[str, Any]) -> dict[str, np.ndarray]:
    """The arrays that `pack` laid one after the other."""
    begins, arrays = dict.fromkeys(vectors, 0), {}
    for name, one in listed.items():
        begin, size = begins[one["dtype"]], math.prod(one["shape"])
        arrays[name] = vectors[one["dtype"]][begin : begin + size].reshape(one["shape"])
        begins[one["dtype"]] += size
    return arrays


def describe(leaf: Any) -> dict[str, Any]:
    """Of an array, or of what stands for one: {"dtype": its name, "shape": a list}."""
    return {"dtype": np.dtype(leaf.dtype).name, "shape": list(leaf.shape)}


def crc32(array: np.ndarray) -> int:
    """The checksum of its bytes."""
    return zlib.crc32(array.reshape(-1).view(np.uint8).data)


def name_of(path: tuple[Any, ...]) -> str:
    """A leaf's path as text: "params/stem/conv/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")
