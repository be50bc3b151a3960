"""The runs of a point as rows: how each ended, and what it came to."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mobilenet_v2.errors import WorkdirError
from mobilenet_v2.training import run_directory
from mobilenet_v2.training.writers import read_rows

Curve = list[tuple[int, float]]

STATUSES = ("finished", "diverged", "failed", "unfinished", "not begun")
_DIVERGED = "not finite"  # says every DivergenceError
_MOST_LETTERS = 300  # of a reason


@dataclasses.dataclass(frozen=True)
class Row:
    """One training of one point.

    Attributes:
      folder: POINT/seed_N; replicas of a run have the same.
      status: of `STATUSES`. Of several replicas one may diverge alone.
      reason: why it is not finished; empty if it is.
      scores: by split, "accuracy" and "loss", in nats, and where weights were averaged "ema_accuracy" and "ema_loss",
        of the last step; empty unless it finished.
      best: (step, accuracy) of the best evaluation of the validation split, by the same names.
      curve: (step, accuracy) on the validation split, of averaged weights where there are any.
      examples: by split, how many there are.
      seconds: of the whole run, for each of its replicas.
      environment: versions and device of the last start.
    """

    point: str
    seed: int
    folder: str
    status: str
    reason: str = ""
    scores: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    best: dict[str, tuple[int, float]] = dataclasses.field(default_factory=dict)
    curve: Curve = dataclasses.field(default_factory=list)
    steps: int | None = None
    examples: dict[str, int] = dataclasses.field(default_factory=dict)
    seconds: float | None = None
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


def of_point(workdir: pathlib.Path, point: str, seeds: Iterable[int], replicas: int) -> list[Row]:
    """Every run that was begun, and those of `seeds` that were not; by seed.

    Args:
      seeds: that were asked for.
      replicas: seeds in a run.

    Raises:
      WorkdirError: if a file of a run is damaged.
    """
    names = {path.name.split(".")[0] for path in (workdir / point).glob("seed_*")}
    begun = sorted(int(name.removeprefix("seed_")) for name in names if name.removeprefix("seed_").isdecimal())
    rows = [row for first in begun for row in _of_run(point, workdir / point / f"seed_{first}", first, replicas)]
    there = {row.seed for row in rows}
    absent = [Row(point, seed, f"{point}/seed_{seed}", "not begun", "not begun") for seed in {*seeds} - there]
    return sorted([*rows, *absent], key=lambda row: row.seed)


def _of_run(point: str, folder: pathlib.Path, first: int, replicas: int) -> list[Row]:
    """A row a replica."""
    result, evaluations = run_directory.read_result(folder), _evaluations(folder)
    shared: dict[str, Any] = {"folder": f"{point}/{folder.name}", "environment": _environment(folder)}
    if result is None:
        status, reason = _unfinished(folder, evaluations)
        return [
            Row(point, first + index, status=status, reason=reason, **shared, **_course(evaluations, index))
            for index in range(replicas)
        ]
    try:
        shared |= {"steps": int(result["steps"]), "seconds": float(result["seconds"])}
        shared |= {"examples": result.get("examples", {})}
        alone = result.get("replicas") or [{"seed": first, **result}]
        return [
            Row(point, one["seed"], **_end(one), **shared, **_course(evaluations, index))
            for index, one in enumerate(alone)
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WorkdirError(f"{str(folder / 'result.json')!r} is damaged: it has no {error}") from error


def _end(result: Mapping[str, Any]) -> dict[str, Any]:
    """How a run, or a replica of it, ended that has a result."""
    if (step := result.get("diverged")) is not None:
        return {"status": "diverged", "reason": f"loss, gradient or outputs not finite at step {step}"}
    scores = {split: result[split] for split in ("validation", "test") if split in result}
    _ = scores["validation"]["accuracy"], [one["loss"] for one in scores.values()]
    return {"status": "finished", "scores": scores}


def _unfinished(folder: pathlib.Path, evaluations: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Status and reason of a run without a result."""
    error = folder.with_suffix(".error")
    if error.exists():
        lines = [line.strip() for line in error.read_text(errors="replace").splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("error: ")] or lines or ["it left no word"]
        reason = told[-1].removeprefix("error: ").partition("; ")[0][:_MOST_LETTERS]  # what follows is advice
        return "diverged" if _DIVERGED in reason else "failed", reason
    if evaluations:
        return "unfinished", f"stopped or still running, last scored at step {evaluations[-1]['step']}"
    return "unfinished", "stopped or still running, not scored yet"


def _course(evaluations: Sequence[Mapping[str, Any]], index: int) -> dict[str, Any]:
    """Best evaluations and curve of a replica, as far as it was finite."""
    own = [
        {name: value[index] if isinstance(value, list) else value for name, value in row.items()} for row in evaluations
    ]
    own = [row for row in own if row["accuracy"] is not None]
    names = [name for name in ("accuracy", "ema_accuracy") if any(name in row for row in own)]
    best = {name: max(((row["step"], row[name]) for row in own), key=lambda one: one[1]) for name in names}
    return {"best": best, "curve": [(row["step"], row[names[-1]]) for row in own]}


def _evaluations(folder: pathlib.Path) -> list[dict[str, Any]]:
    path = folder / "metrics.jsonl"
    try:
        found = [row for row in read_rows(path) if row["event"] == "validation"]
        _ = [(row["step"], row["accuracy"]) for row in found]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise WorkdirError(f"{str(path)!r} is damaged: {error}") from error
    return found


def _environment(folder: pathlib.Path) -> dict[str, str]:
    path = folder / "environment.json"
    try:
        last = json.loads(path.read_text())[-1]
        return {"jax": last["packages"]["jax"], "device": last["devices"][0], "commit": last["git_commit"] or ""}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise WorkdirError(f"{str(path)!r} is damaged: {error}") from error
