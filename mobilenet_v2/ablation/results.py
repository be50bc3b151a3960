"""The runs of a sweep's folder as rows: what was varied, what it came to."""

import dataclasses
import json
import pathlib
from collections.abc import Iterable, Sequence
from typing import Any

from mobilenet_v2.ablation import sweep_directory
from mobilenet_v2.errors import WorkdirError
from mobilenet_v2.training import run_directory
from mobilenet_v2.training.writers import read_rows

Curve = list[tuple[int, float]]


@dataclasses.dataclass(frozen=True)
class Row:
    """One training of one point.

    Attributes:
      status: "finished", "failed", "unfinished".
      scores: by split, "accuracy" and, where weights were averaged, "ema_accuracy", of the last step; empty unless it
        finished.
      best: (step, accuracy) of the best evaluation of the validation split, by the same names.
      curve: (step, accuracy) of the compared weights on the validation split.
      environment: versions and device of the last start.
    """

    point: str
    seed: int
    status: str
    scores: dict[str, dict[str, float]]
    best: dict[str, tuple[int, float]]
    curve: Curve
    steps: int | None
    seconds: float | None
    environment: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Results:
    """A sweep and its rows, in the order of `sweep.json`."""

    sweep: dict[str, Any]
    rows: list[Row]

    @property
    def points(self) -> list[dict[str, Any]]:
        """Those that a run was begun of, or all runs of which are missing if none was."""
        begun = {row.point for row in self.rows}
        return [point for point in self.sweep["points"] if point["name"] in begun]

    @property
    def varied(self) -> list[str]:
        """Dotted names of the fields that points set."""
        return list(dict.fromkeys(name for point in self.points for name in point["overrides"]))

    @property
    def split(self) -> str:
        """Whose accuracy is compared: the test split's where there is one."""
        return "test" if any("test" in row.scores for row in self.rows) else "validation"

    @property
    def measure(self) -> str:
        """Which accuracy is compared: the averaged weights' where there are any."""
        averaged = any("ema_accuracy" in row.scores.get(self.split, {}) for row in self.rows)
        return "ema_accuracy" if averaged else "accuracy"

    @property
    def measure_text(self) -> str:
        """The same for a person."""
        weights = "averaged weights" if self.measure == "ema_accuracy" else "the weights"
        return f"{self.split} accuracy of {weights} after the last step"

    def accuracies(self, point: str) -> list[float]:
        """What is compared, of each finished run, by seed."""
        finished = sorted((row for row in self.rows if row.point == point and row.scores), key=lambda row: row.seed)
        return [row.scores[self.split][self.measure] for row in finished]

    def of_point(self, name: str) -> list[Row]:
        """The rows of one point."""
        return [row for row in self.rows if row.point == name]


def read(workdir: pathlib.Path) -> Results:
    """Every run that was begun.

    Raises:
      WorkdirError: if `workdir` holds no sweep, a file of it is damaged, or no run is finished.
    """
    if not workdir.is_dir():
        raise WorkdirError(f"workdir {str(workdir)!r} does not exist, must be the folder of a sweep")
    found = sweep_directory.read(workdir)
    if found is None:
        raise WorkdirError(f"workdir {str(workdir)!r} holds no {sweep_directory.FILE}: must be what `ablate` made")
    rows = [
        row
        for point in found["points"]
        for folder in sorted((workdir / point["name"]).glob("seed_*"), key=_seed_of)
        if folder.is_dir()
        for row in _rows(point["name"], folder)
    ]
    if not any(row.status == "finished" for row in rows):
        raise WorkdirError(f"workdir {str(workdir)!r} holds no finished run yet; {len(rows)} are begun")
    return Results(found, rows)


def _seed_of(folder: pathlib.Path) -> int:
    number = folder.name.removeprefix("seed_")
    return int(number) if number.isdecimal() else -1


def _rows(point: str, folder: pathlib.Path) -> list[Row]:
    """One row, or one a replica."""
    result, seed = run_directory.read_result(folder), _seed_of(folder)
    evaluations = _evaluations(folder)
    if result is None:
        status = "failed" if folder.with_suffix(".error").exists() else "unfinished"
        return [_row(point, seed, status, {}, evaluations, None, folder)]
    replicas = result.get("replicas")
    if replicas is None:
        return [_row(point, seed, "finished", _scores(result), evaluations, result, folder)]
    return [
        _row(point, one["seed"], "finished", _scores(one), _of_replica(evaluations, index), result, folder)
        for index, one in enumerate(replicas)
    ]


def _row(
    point: str,
    seed: int,
    status: str,
    scores: dict[str, dict[str, float]],
    evaluations: Sequence[dict[str, Any]],
    result: dict[str, Any] | None,
    folder: pathlib.Path,
) -> Row:
    names = [name for name in ("accuracy", "ema_accuracy") if any(name in row for row in evaluations)]
    best = {name: max(((row["step"], row[name]) for row in evaluations), key=lambda one: one[1]) for name in names}
    curve = [(row["step"], row[names[-1]]) for row in evaluations] if names else []
    steps, seconds = (None, None) if result is None else (result["steps"], result["seconds"])
    return Row(point, seed, status, scores, best, curve, steps, seconds, _environment(folder))


def _scores(result: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {split: result[split] for split in ("validation", "test") if split in result}


def _evaluations(folder: pathlib.Path) -> list[dict[str, Any]]:
    try:
        return [row for row in read_rows(folder / "metrics.jsonl") if row["event"] == "validation"]
    except (ValueError, KeyError, OSError) as error:
        raise WorkdirError(f"{str(folder / 'metrics.jsonl')!r} is damaged: {error}") from error


def _of_replica(evaluations: Iterable[dict[str, Any]], index: int) -> list[dict[str, Any]]:
    return [
        {name: value[index] if isinstance(value, list) else value for name, value in row.items()} for row in evaluations
    ]


def _environment(folder: pathlib.Path) -> dict[str, str]:
    path = folder / "environment.json"
    try:
        last = json.loads(path.read_text())[-1]
        return {"jax": last["packages"]["jax"], "device": last["devices"][0], "commit": last["git_commit"] or ""}
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        raise WorkdirError(f"{str(path)!r} is damaged: {error}") from error
