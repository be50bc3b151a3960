"""What a sweep is: named points, each a few fields that differ from one config; and their check, before any runs."""

import dataclasses
import importlib.util
import math
import numbers
import pathlib
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2.config import flatten, validate
from mobilenet_v2.config_fields import FIELDS
from mobilenet_v2.errors import ConfigError, UserError, nearest
from mobilenet_v2.models import cost
from mobilenet_v2.models.build import build_model

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.=-]*")
# Each run's own, or the data reader's, which changes nothing.
_NOT_VARIED = (
    "seed",
    "replicas",
    "replica_data",
    "data.data_dir",
    "data.num_threads",
    "data.num_workers",
    "data.cache",
)


@dataclasses.dataclass(frozen=True)
class Point:
    """One setting.

    Attributes:
      name: of its folder and its row.
      overrides: fields by dotted name, "model.expansion_factor".
      group: points of a group are joined by a line; "" belongs to every line.
      x: where it stands on the figure's axis; None where the points have no order.
    """

    name: str
    overrides: Mapping[str, Any]
    group: str = ""
    x: float | None = None


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Points that answer a question.

    Attributes:
      question: the figure's title.
      baseline: name of the point that the others are compared with.
      x_label: of the figure's axis, with the unit.
    """

    question: str
    baseline: str
    points: Sequence[Point]
    x_label: str = ""


@dataclasses.dataclass(frozen=True)
class Planned:
    """A point with its whole config, and what its network costs for one image."""

    point: Point
    config: ConfigDict
    parameters: int
    multiply_adds: int


def load(path: str, config: ConfigDict) -> Sweep:
    """What `sweep(config)` of the config file says.

    Args:
      path: of the file, as `--config` names it: what follows a colon is `get_config`'s.

    Raises:
      ConfigError: if the file has no such function, or what it returns is no Sweep, or has parts of other types.
    """
    path = path.split(":", 1)[0]
    module = _module(path)
    if not hasattr(module, "sweep"):
        raise ConfigError(f"--config is {path!r}, which defines no sweep(config); those in configs/ablations do")
    sweep = module.sweep(config)
    if not isinstance(sweep, Sweep):
        raise ConfigError(f"sweep(config) of {path!r} returned {type(sweep).__name__}, must return a Sweep")
    _check_form(sweep)
    return sweep


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"sweep_{pathlib.Path(path).stem}", path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"--config is {path!r}, which Python can't read as a module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def plan(sweep: Sweep, config: ConfigDict, known: Mapping[str, tuple[int, int]] | None = None) -> list[Planned]:
    """The points as whole configs, in their order, with parameters and multiply-adds.

    Args:
      known: (parameters, multiply-adds) by a point's name, where they need not be counted again.

    Raises:
      ConfigError: if there are none, names are not unique or can't be folders, the baseline is not among them, two are
        the same config, or a point names a field that does not exist or has a value that it may not have.
    """
    _check_names(sweep)
    planned: list[Planned] = []
    alike: dict[str, str] = {}
    for point in sweep.points:
        try:
            own = apply(config, point.overrides)
            validate(own)
            counted = (known or {}).get(point.name) or _count(own)
        except UserError as error:
            raise ConfigError(f"point {point.name!r} of the sweep: {error}") from error
        if (other := alike.setdefault(str(sorted(flatten(own))), point.name)) != point.name:
            raise ConfigError(f"points {other!r} and {point.name!r} of the sweep are one config, which must differ")
        planned.append(Planned(point, own, *counted))
    return planned


def apply(config: ConfigDict, overrides: Mapping[str, Any]) -> ConfigDict:
    """A copy of `config` with these fields.

    Raises:
      ConfigError: if a field does not exist, or is not for a sweep to vary.
    """
    known = dict(flatten(config))
    for name, value in overrides.items():
        if name not in known:
            raise ConfigError(f"config has no field {name!r}{nearest(name, known)}")
        if name in _NOT_VARIED:
            raise ConfigError(f"config.{name} is no field for a sweep to vary: {', '.join(_NOT_VARIED)} are not")
        if name in FIELDS and not FIELDS[name].accepts(value):
            raise ConfigError(f"config.{name} is {value!r}, must be {FIELDS[name].allowed}")
    changed = config.copy_and_resolve_references()
    with changed.ignore_type():
        changed.update_from_flattened_dict(dict(overrides))
    return changed


def chosen_names(sweep: Sweep, points: str | None) -> list[str]:
    """The names in `points`, which commas part; all where it is None.

    Raises:
      ConfigError: if there is no point of a name, or the sweep's own names can't be.
    """
    _check_names(sweep)
    known = [point.name for point in sweep.points]
    names = known if points is None else points.split(",")
    for name in names:
        if name not in known:
            raise ConfigError(
                f"--points is {points!r}, which names {name!r}: must be of {', '.join(known)}, with commas between"
                f"{nearest(name, known)}"
            )
    return names


def _count(config: ConfigDict) -> tuple[int, int]:
    counted = cost.count(build_model(config.model), config.data.image_size, config.data.channels)
    return counted.parameters, counted.multiply_adds


def _check_form(sweep: Sweep) -> None:
    for name in ("question", "baseline", "x_label"):
        if not isinstance(value := getattr(sweep, name), str):
            raise ConfigError(f"the sweep's {name} is {value!r}, must be text")
    if not isinstance(sweep.points, list | tuple):
        raise ConfigError(f"the sweep's points are of type {type(sweep.points).__name__}, must be a list of Point")
    for point in sweep.points:
        if not isinstance(point, Point):
            raise ConfigError(f"the sweep's points have {point!r}, must be a list of Point")
        if not isinstance(point.overrides, Mapping):
            raise ConfigError(f"point {point.name!r} has overrides {point.overrides!r}, must be {{field: value}}")
        if not isinstance(point.group, str):
            raise ConfigError(f"point {point.name!r} has group {point.group!r}, must be text")
        if point.x is not None and not (isinstance(point.x, numbers.Real) and math.isfinite(point.x)):
            raise ConfigError(f"point {point.name!r} has x {point.x!r}, must be a finite number or None")


def _check_names(sweep: Sweep) -> None:
    if not sweep.points:
        raise ConfigError("the sweep has no points, must have at least one")
    seen: dict[str, str] = {}
    for name in (point.name for point in sweep.points):
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"the sweep has a point named {name!r}, must be letters, digits, '_', '.', '=' and '-'")
        if name.lower() in seen:
            raise ConfigError(f"the sweep has points named {seen[name.lower()]!r} and {name!r}, which must differ")
        seen[name.lower()] = name
    if sweep.baseline not in seen.values():
        raise ConfigError(
            f"the sweep's baseline is {sweep.baseline!r}, must be one of its points: {', '.join(seen.values())}"
        )
