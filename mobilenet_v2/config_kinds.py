"""The kinds of values that config fields take."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any


@dataclasses.dataclass(frozen=True)
class Field:
    """`accepts(value)` says whether a value may stand; `allowed` says to a person which values may."""

    allowed: str
    accepts: Callable[[Any], bool]


_INT32_MAX = 2**31 - 1  # JAX counts in int32


def integer(low: int, high: int = _INT32_MAX) -> Field:
    """An integer, as JAX counts: in int32, unless `high` says otherwise."""
    allowed = f"an integer ≥ {low}" if high == _INT32_MAX else f"an integer in {low} … {high}"
    return Field(allowed, lambda v: type(v) is int and low <= v <= high)


def number(allowed: str, holds: Callable[[float], bool]) -> Field:
    """A finite number of which `holds`."""
    return Field(allowed, lambda v: type(v) in (int, float) and math.isfinite(v) and holds(v))


def epochs(low: str) -> Field:
    """Beyond 10⁶ epochs the steps would not be countable."""
    holds = {"> 0": lambda v: 0 < v <= 1e6, "≥ 0": lambda v: 0 <= v <= 1e6}[low]
    return number(f"a number {low} and ≤ 1e6", holds)


def positive() -> Field:
    """A number > 0."""
    return number("a number > 0", lambda v: v > 0)


def not_negative() -> Field:
    """A number ≥ 0."""
    return number("a number ≥ 0", lambda v: v >= 0)


def fraction() -> Field:
    """A number in [0, 1)."""
    return number("a number in [0, 1)", lambda v: 0 <= v < 1)


def share() -> Field:
    """A number in [0, 1]."""
    return number("a share in [0, 1]", lambda v: 0 <= v <= 1)


def alpha() -> Field:
    """Of a Beta distribution; the bounds make λ all but always 0 or 1, and all but always ½."""
    return number("0, or a number in [0.001, 1000]", lambda v: v == 0 or 1e-3 <= v <= 1e3)


def choice(*names: str) -> Field:
    """One of these names."""
    return Field("one of " + ", ".join(map(repr, names)), lambda v: v in names)


def text() -> Field:
    """Text that is not empty."""
    return Field("a non-empty string", lambda v: isinstance(v, str) and v != "")


def boolean() -> Field:
    """True or False."""
    return Field("True or False", lambda v: isinstance(v, bool))


def or_none(field: Field) -> Field:
    """`field`, or nothing."""
    return Field(f"{field.allowed}, or None", lambda v: v is None or field.accepts(v))


def channels(field: Field) -> Field:
    """A `field` for each channel."""
    return Field(
        f"a tuple of three, or of one for grey images, each {field.allowed}",
        lambda v: isinstance(v, tuple) and len(v) in (1, 3) and all(map(field.accepts, v)),
    )


def pair(allowed: str, holds: Callable[[float], bool]) -> Field:
    """The least and the greatest of numbers of which `holds`."""
    ends = number(allowed, holds)
    return Field(
        f"a tuple (least, greatest) of numbers {allowed}",
        lambda v: isinstance(v, tuple) and len(v) == 2 and all(map(ends.accepts, v)) and v[0] <= v[1],
    )


def power_of_2(low: int, high: int) -> Field:
    """A power of two between these."""
    powers = [2**n for n in range(64) if low <= 2**n <= high]
    return Field("one of " + ", ".join(map(str, powers)), lambda v: type(v) is int and v in powers)


def rows(columns: str) -> Field:
    """A table that is not empty."""
    allowed = f"a non-empty tuple of ({columns})"
    return Field(allowed, lambda v: isinstance(v, tuple) and v != () and all(isinstance(r, tuple) for r in v))
