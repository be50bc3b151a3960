"""TensorFlow checkpoints, `model.ckpt-7.index` beside `model.ckpt-7.data-00000-of-00001`, without TensorFlow.

The index maps a variable's name to a `BundleEntryProto` (tensorflow/core/protobuf/tensor_bundle.proto): dtype, shape,
shard, offset and size of its bytes in a data file, and their masked CRC-32C. The empty name holds the header.
"""

import math
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import Arrays, Budget
from mobilenet_v2.weights.sorted_table import entries, masked_crc, varint

# DataType of tensorflow/core/framework/types.proto: the ones that weights come in.
_DTYPES = {1: np.dtype("<f4"), 2: np.dtype("<f8"), 19: np.dtype("<f2")}
_MAX_INDEX_BYTES = 2**26


class _Entry(NamedTuple):
    """Where a variable's bytes are."""

    dtype: int
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int


def read(index: pathlib.Path) -> Arrays:
    """The floating-point variables of the checkpoint whose index is `index`.

    Raises:
      WeightsError: if the index is damaged, or a data file is absent, too short for it or of another checksum.
    """
    if index.stat().st_size > _MAX_INDEX_BYTES:
        raise WeightsError(f"{index.name!r} is larger than the index of any checkpoint")
    try:
        table = {key.decode(): value for key, value in entries(index.read_bytes())}
        shards = _integer(_fields(table.pop("", b"")), 1, default=1)
        found = {name: _entry(value) for name, value in table.items()}
    except WeightsError as error:
        raise WeightsError(f"{index.name!r} is no whole checkpoint index: {error}") from error
    except (IndexError, ValueError, TypeError) as error:
        raise WeightsError(f"{index.name!r} is no whole checkpoint index: it is damaged") from error
    budget, arrays = Budget(index.name), {}
    for name, entry in found.items():
        if entry.dtype in _DTYPES:
            budget.claim(name, entry.shape, _DTYPES[entry.dtype].itemsize)
            arrays[name] = _array(index, name, entry, shards)
    return arrays


def data_files(index: pathlib.Path) -> list[pathlib.Path]:
    """The data files beside an index, in the order of their numbers."""
    return sorted(path for path in index.parent.iterdir() if path.name.startswith(f"{index.stem}.data-"))


def _array(index: pathlib.Path, name: str, entry: _Entry, shards: int) -> np.ndarray:
    data = index.with_name(f"{index.stem}.data-{entry.shard:05d}-of-{shards:05d}")
    dtype, count = _DTYPES[entry.dtype], math.prod(entry.shape)
    if not data.is_file():
        raise WeightsError(f"checkpoint index {index.name!r} needs {data.name!r} beside it, which is not there")
    if entry.size != count * dtype.itemsize or entry.offset + entry.size > data.stat().st_size:
        raise WeightsError(
            f"{data.name!r} holds {data.stat().st_size} bytes, must hold {entry.size} from {entry.offset} on for "
            f"{name!r} of shape {entry.shape}"
        )
    array = np.fromfile(data, dtype, count, offset=entry.offset)
    if masked_crc(array.tobytes()) != entry.crc:
        raise WeightsError(f"{data.name!r} is damaged: {name!r} has another CRC-32C than {index.name!r} states")
    return array.reshape(entry.shape)


def _entry(message: bytes) -> _Entry:
    fields = _fields(message)
    shape = fields.get(2, [b""])[0]
    dims = tuple(_integer(_fields(dim), 1) for dim in _fields(shape).get(2, []))
    dtype, shard, offset, size = (_integer(fields, number) for number in (1, 3, 4, 5))
    crc = int.from_bytes(fields.get(6, [b""])[0], "little")
    return _Entry(dtype, dims, shard, offset, size, crc)


def _integer(fields: dict[int, list[Any]], number: int, default: int = 0) -> int:
    value = fields.get(number, [default])[0]
    if not isinstance(value, int):
        raise ValueError(f"field {number} is no integer")
    return value


def _fields(message: bytes) -> dict[int, list[Any]]:
    """A protocol buffer's fields by number: integers of varints, bytes of anything else."""
    found: dict[int, list[Any]] = {}
    for number, value in _wire(message):
        found.setdefault(number, []).append(value)
    return found


def _wire(message: bytes) -> Iterator[tuple[int, Any]]:
    position = 0
    while position < len(message):
        tag, position = varint(message, position)
        kind = tag & 7
        if kind == 0:
            value, position = varint(message, position)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind)
        if length is None:
            length, position = varint(message, position)
        yield tag >> 3, message[position : position + length]
        position += length
