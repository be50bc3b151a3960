"""Safetensors files: a JSON header with names, dtypes, shapes and offsets, then the bytes. Nothing in it can run."""

import os
import pathlib

import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mobilenet_v2.errors import WeightsError
from mobilenet_v2.weights.arrays import Arrays, Budget

_ITEMSIZE = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8}


def read(path: pathlib.Path) -> tuple[Arrays, dict[str, str]]:
    """The arrays, bfloat16 as float32, and the header's metadata. Arrays of
    int64, as torch counts batches, are left out.

    Raises:
      WeightsError: if the file is truncated, its header false, or a dtype none of weights.
    """
    budget = Budget(path.name)
    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {}
            for name in file.keys():  # noqa: SIM118  a safe_open is no mapping
                view = file.get_slice(name)
                dtype = view.get_dtype()
                if dtype not in _ITEMSIZE:
                    raise WeightsError(
                        f"{path.name!r} holds {name!r} as {dtype}, must be one of {', '.join(_ITEMSIZE)}"
                    )
                budget.claim(name, view.get_shape(), _ITEMSIZE[dtype])
                if dtype != "I64":
                    arrays[name] = file.get_tensor(name)
            metadata = file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path.name!r} is no whole safetensors file: {error}") from error
    return {name: _as_float(array) for name, array in arrays.items()}, metadata


def write(path: pathlib.Path, arrays: Arrays, metadata: dict[str, str]) -> None:
    """Writes the file whole or not at all."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(save(contiguous, metadata))
    os.replace(part, path)


def _as_float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array
