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
        if any(size < 0 for size in shape) or self._bytes > MAX_BYTES:
            raise WeightsError(
                f"{self._file!r} claims {name!r} of shape {tuple(shape)}, must hold at most {MAX_BYTES} bytes in all"
            )


def check_values(file: str, arrays: Arrays) -> None:
    """Refuses what no trained network holds.

    Raises:
      WeightsError: if an array is not of numbers, or not finite.
    """
    for name, array in arrays.items():
        if array.dtype.kind != "f":
            raise WeightsError(f"{file!r} holds {name!r} as {array.dtype}, must be floating-point")
        if not np.isfinite(array).all():
            raise WeightsError(f"{file!r} holds {name!r} with values that are not finite")


def first(names: Iterable[str]) -> str:
    """The first names for a message: `'a', 'b', 'c', … (259 in all)`."""
    listed = list(names)
    shown = ", ".join(repr(name[:_LONGEST]) for name in listed[:_SHOWN]) or "none"
    return shown if len(listed) <= _SHOWN else f"{shown}, … ({len(listed)} in all)"
