"""The folder of a sweep: `sweep.json`, and which of its runs are finished; see the package for the layout."""

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from mobilenet_v2 import config as config_lib
from mobilenet_v2.ablation.sweep import Planned, Sweep
from mobilenet_v2.errors import WorkdirError
from mobilenet_v2.training import disk, run_directory

FILE = "sweep.json"
_OF_SWEEP = ("question", "x_label", "baseline", "base", "points")
_OF_POINT = ("name", "group", "x", "overrides", "parameters", "multiply_adds")


@dataclasses.dataclass(frozen=True)
class Run:
    """One point trained with one seed."""

    workdir: pathlib.Path
    planned: Planned
    seed: int

    @property
    def name(self) -> str:
        """As a person reads it."""
        return f"{self.planned.point.name}, seed {self.seed}"

    @property
    def folder(self) -> pathlib.Path:
        """Its run directory."""
        return self.workdir / self.planned.point.name / f"seed_{self.seed}"

    @property
    def log(self) -> pathlib.Path:
        """What it said, all starts of it."""
        return self.folder.with_suffix(".log")

    @property
    def error(self) -> pathlib.Path:
        """Why it failed."""
        return self.folder.with_suffix(".error")

    @property
    def result(self) -> dict[str, Any] | None:
        """What it came to; None unless it is finished."""
        return run_directory.read_result(self.folder)


def runs_of(workdir: pathlib.Path, planned: Sequence[Planned], seeds: Sequence[int]) -> list[Run]:
    """Every point with the first seed, then every point with the next: a sweep that is cut short has whole rounds."""
    return [Run(workdir, one, seed) for seed in seeds for one in planned]


def read(workdir: pathlib.Path) -> dict[str, Any] | None:
    """What `sweep.json` says; None where there is none.

    Raises:
      WorkdirError: if it is damaged, or `workdir` holds other things.
    """
    path = workdir / FILE
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text())
        missing = [name for name in _OF_SWEEP if name not in found]
        for point in found["points"]:
            point.setdefault("seeds", found.get("seeds", []))  # those of before were asked for all points at once
            missing += [name for name in _OF_POINT if name not in point]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise WorkdirError(f"{str(path)!r} is damaged: {error}") from error
    if missing:
        raise WorkdirError(f"{str(path)!r} is damaged: it has no {missing[0]!r}")
    return found


def check(workdir: pathlib.Path, config: ConfigDict) -> dict[str, Any] | None:
    """What `sweep.json` says, if a sweep of `config` may start or go on in `workdir`; None where it would start.

    Raises:
      WorkdirError: if `workdir` is no folder, holds something else, or a sweep of another config.
    """
    if workdir.exists() and not workdir.is_dir():
        raise WorkdirError(f"workdir {str(workdir)!r} is a file, must be a folder")
    found = read(workdir)
    if found is None:
        if workdir.is_dir() and any(not path.name.startswith(".") for path in workdir.iterdir()):
            raise WorkdirError(f"workdir {str(workdir)!r} holds files but no {FILE}; must be new, empty, or a sweep's")
        return None
    told = config_lib.differences(config_lib.from_json(json.dumps(found["base"])), config)
    if told := [text for text in told if not text.startswith(run_directory.FREE)]:
        raise WorkdirError(
            f"workdir {str(workdir)!r} holds a sweep of another config ({'; '.join(told)}); "
            "use another workdir, or the flags that it began with"
        )
    return found


def known_costs(found: dict[str, Any] | None, sweep: Sweep) -> dict[str, tuple[int, int]]:
    """(parameters, multiply-adds) of the points that were counted before.

    Raises:
      WorkdirError: if a point's fields are others than they were: its runs would not be alike.
    """
    before = {} if found is None else {point["name"]: point for point in found["points"]}
    known = {}
    for point in sweep.points:
        if point.name in before:
            old = before[point.name]
            if _as_json(old["overrides"]) != _as_json(dict(point.overrides)):
                raise WorkdirError(
                    f"point {point.name!r} is {dict(point.overrides)} and was {old['overrides']} when the sweep began; "
                    "give it another name, or use another workdir"
                )
            known[point.name] = (old["parameters"], old["multiply_adds"])
    return known


def write(
    workdir: pathlib.Path,
    path: str,
    config: ConfigDict,
    sweep: Sweep,
    planned: Sequence[Planned],
    chosen: Sequence[Planned],
    seeds: Sequence[int],
    before: dict[str, Any] | None,
) -> None:
    """Writes `sweep.json`; points and seeds that are no longer asked for stay, for their runs do.

    Args:
      planned: every point of the sweep.
      chosen: those that `seeds` are asked of.
    """
    old = {point["name"]: point for point in (before or {}).get("points", [])}
    asked = {one.point.name: seeds for one in chosen}
    points = [
        {
            **dataclasses.asdict(one.point),
            "overrides": dict(one.point.overrides),
            "parameters": one.parameters,
            "multiply_adds": one.multiply_adds,
            "seeds": sorted({*asked.get(one.point.name, ()), *old.get(one.point.name, {}).get("seeds", ())}),
        }
        for one in planned
    ]
    kept = [point for name, point in old.items() if name not in {one.point.name for one in planned}]
    text = {
        "config": path,
        "question": sweep.question,
        "x_label": sweep.x_label,
        "baseline": sweep.baseline,
        "points": points + kept,
        "base": config.to_dict(),
    }
    disk.write_atomically(workdir / FILE, json.dumps(text, indent=2) + "\n")


def _as_json(value: Any) -> Any:
    return json.loads(json.dumps(value))
