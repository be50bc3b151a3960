"""Arrays by name, as a file holds them, and how much of what a file claims is believed."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from mobilenet_v2.errors import WeightsError

Arrays = dict[str, np.ndarray]

# The largest MobileNet with its optimizer's slots takes a tenth of this.
MAX_BYTES = 2**31
_SHOWN, _LONGEST = 3, 80


class Budget:
    """Adds up what a file claims to hold, before any of it is allocated."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._bytes = 0

    def claim(self, name: str, shape: Sequence[int], itemsize: int) -> None:
        """Counts an array of `shape`.

        Raises:
          WeightsError: if the shape is none, or the file's arrays together pass `MAX_BYTES`.
        """
        self._bytes += math.prod(shape) * itemsize
        if any(not 0 <= size <= MAX_BYTES for size in shape) or self._bytes > MAX_BYTES:
            raise WeightsError(
                f"{self._file!r} claims {name!r} of shape {tuple(shape)}, must hold at most {MAX_BYTES} bytes in all"
            )


def as_float32(file: str, arrays: Arrays) -> Arrays:
    """The arrays in float32, without what no trained network holds.

    Raises:
      WeightsError: if an array is not of floating-point numbers, or not finite in float32.
    """
    found: Arrays = {}
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise WeightsError(f"{file!r} holds {name!r} as {array.dtype}, must be floating-point")
        with np.errstate(over="ignore"):
            found[name] = array.astype(np.float32, copy=False)
        if not np.isfinite(found[name]).all():
            raise WeightsError(f"{file!r} holds {name!r} with values that are not finite in float32")
    return found


def first(names: Iterable[str]) -> str:
    """The first names for a message: `'a', 'b', 'c', … (259 in all)`."""
    listed = list(names)
    shown = ", ".join(repr(name[:_LONGEST]) for name in listed[:_SHOWN]) or "none"
    return shown if len(listed) <= _SHOWN else f"{shown}, … ({len(listed)} in all)"


def shown_digest(sha256: str) -> str:
    """A checksum's first 12 digits, by which a person tells two apart; records have all 64."""
    return f"{sha256[:12]}…"
