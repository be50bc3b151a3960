"""Keras's `.h5`, `.weights.h5` and `.keras` files, read by h5py: arrays alone, never the layers' configuration.

Legacy `.h5` files name each array by layer, `block_1_expand/block_1_expand/kernel:0`, below the name of a nested
model where there is one. Keras 3 numbers layers by class, `layers/conv2d_1/vars/0`, a `.keras` file is a zip around
such a file.
"""

import io
import math
import pathlib
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from h5py import h5o  # pyrefly: ignore[missing-module-attribute]

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import MAX_BYTES, Arrays, Budget

# Trained weights hardly compress; what was never stored reads as zeros.
_MAX_UNSTORED, _MAX_COMPRESSION = 2**16, 100
_NOT_WEIGHTS = ("optimizer", "seed_generator", "top_level_model_weights")
_MEMBER = "model.weights.h5"
_NUMBERED = re.compile(r"(?:.*/)?layers/([a-z0-9_]+?)(?:_(\d+))?/vars/(\d+)")


def read(path: pathlib.Path) -> Arrays:
    """Arrays by `layer/variable`, in the file's order of layers; numbered ones as `class:index/variable index`.

    Raises:
      WeightsError: if the file is truncated, or holds links, external data or more than it may.
    """
    source: Any = _unzipped(path) if zipfile.is_zipfile(path) else path
    try:
        with h5py.File(source, "r") as file:
            found = _datasets(path.name, _weights_group(file), Budget(path.name))
            rank = {name: index for index, name in enumerate(_weight_names(_weights_group(file)))}
            ordered = sorted(found, key=lambda name: rank.get(name, len(rank)))
            arrays = {_short(name): np.asarray(found[name]) for name in ordered}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{path.name!r} is no whole HDF5 file: {' '.join(str(error).split())}") from error
    if len(arrays) != len(found):
        raise WeightsError(f"{path.name!r} holds two layers of one name; expected one network")
    return arrays


def _unzipped(path: pathlib.Path) -> io.BytesIO:
    """The HDF5 file inside a `.keras` archive, which Keras stores uncompressed."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = archive.getinfo(_MEMBER).file_size
            if size > min(MAX_BYTES, 2 * path.stat().st_size):
                raise WeightsError(f"{path.name!r} inflates {_MEMBER} to {size} bytes, as no weight file does")
            with archive.open(_MEMBER) as member:
                return io.BytesIO(member.read(size))
    except (zipfile.BadZipFile, KeyError, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise WeightsError(f"{path.name!r} is no whole .keras archive with {_MEMBER}: {error}") from error


def _weights_group(file: h5py.File) -> h5py.Group:
    """Where the weights are: a whole model's file holds its optimizer beside them."""
    group = file["model_weights"] if isinstance(file.get("model_weights", getlink=True), h5py.HardLink) else file
    return group if isinstance(group, h5py.Group) else file


def _datasets(file: str, root: h5py.Group, budget: Budget) -> dict[str, h5py.Dataset]:
    """All datasets below `root` by path. None is followed out of the file, and no group is entered twice."""
    found: dict[str, h5py.Dataset] = {}
    entered, waiting = set(), [("", root)]
    while waiting:
        prefix, group = waiting.pop()
        for name in group:
            path = f"{prefix}{name}"
            if path.startswith(_NOT_WEIGHTS):
                continue
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise WeightsError(f"{file!r} holds a link at {path!r}, must hold its arrays itself")
            member = group[name]
            address = h5o.get_info(member.id).addr
            if isinstance(member, h5py.Group) and address not in entered:
                waiting.append((f"{path}/", member))
            elif isinstance(member, h5py.Dataset) and member.dtype.kind == "f":
                _claim(file, path, member, budget)
                found[path] = member
            entered.add(address)
    return found


def _claim(file: str, path: str, dataset: h5py.Dataset, budget: Budget) -> None:
    if dataset.external or dataset.is_virtual:
        raise WeightsError(f"{file!r} keeps {path!r} in another file, must hold its arrays itself")
    budget.claim(path, dataset.shape or (), dataset.dtype.itemsize)
    if dataset.chunks is not None:
        # A chunk is inflated whole, however few of its elements are in the array; Keras writes none at all.
        Budget(file).claim(path, dataset.chunks, dataset.dtype.itemsize)
        if math.prod(dataset.chunks) > max(_MAX_UNSTORED, 2 * math.prod(dataset.shape or ())):
            raise WeightsError(f"{file!r} keeps {path!r} of shape {dataset.shape} in chunks of {dataset.chunks}")
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > max(_MAX_UNSTORED, _MAX_COMPRESSION * stored):
        raise WeightsError(f"{file!r} claims {path!r} of shape {dataset.shape}, of which it stores {stored} bytes")


def _weight_names(group: h5py.Group) -> Iterator[str]:
    """Paths in the order that a legacy file lists: layers, and each layer's weights."""
    for layer in _names(group, "layer_names"):
        if isinstance(group.get(layer, getlink=True), h5py.HardLink):
            for weight in _names(group[layer], "weight_names"):
                yield f"{layer}/{weight}"


def _names(group: Any, attribute: str) -> list[str]:
    names = np.ravel(group.attrs.get(attribute, []))
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _short(path: str) -> str:
    numbered = _NUMBERED.fullmatch(path)
    if numbered:
        kind, index, variable = numbered.groups()
        return f"{kind}:{index or 0}/{variable}"
    parts = path.split(":")[0].split("/")
    variable = "kernel" if parts[-1] == "depthwise_kernel" else parts[-1]
    return "/".join([*parts[-2:-1], variable])
