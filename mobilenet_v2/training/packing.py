"""Many small arrays as a few large vectors, one a dtype, and back."""

import math
import zlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils


def named_arrays(state: Any) -> dict[str, np.ndarray]:
    """Each whole array on the host, by its path; of one that is split over processes, too."""
    return {name_of(path): _whole(leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _whole(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not (leaf.is_fully_addressable or leaf.is_fully_replicated):
        leaf = multihost_utils.process_allgather(leaf, tiled=True)
    return np.asarray(jax.device_get(leaf), order="C")


def pack(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """One vector of each dtype, in the order of names."""
    dtypes = dict.fromkeys(array.dtype.name for array in arrays.values())
    vectors = {name: [array.reshape(-1) for array in arrays.values() if array.dtype.name == name] for name in dtypes}
    return {name: np.concatenate(parts) for name, parts in vectors.items()}


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
