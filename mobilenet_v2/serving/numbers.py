"""Numbers that a notebook gives."""

from typing import Any

import numpy as np


def whole_number(name: str, value: Any, least: int, error: type[Exception] = ValueError) -> int:
    """`value` as an integer.

    Raises:
      ValueError, or what `error` is: if it is none, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise error(f"{name} is {value!r}, must be an integer ≥ {least}")
    return int(value)
