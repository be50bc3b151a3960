"""What a sweep came to: its points, the rows of its runs, and which of their numbers are compared."""

import dataclasses
import pathlib
from typing import Any

from mobilenet_v2.ablation import rows as run_rows
from mobilenet_v2.ablation import sweep_directory
from mobilenet_v2.ablation.rows import Row
from mobilenet_v2.errors import WorkdirError

FEW = 3  # seeds, below which nothing is concluded


@dataclasses.dataclass(frozen=True)
class Results:
    """A sweep and its rows, in the order of `sweep.json`."""

    sweep: dict[str, Any]
    rows: list[Row]

    @property
    def points(self) -> list[dict[str, Any]]:
        """All of the sweep, also those of which nothing was begun."""
        return self.sweep["points"]

    @property
    def begun(self) -> list[dict[str, Any]]:
        """The points that have a run, finished or not."""
        names = {row.point for row in self.rows if row.status != "not begun"}
        return [point for point in self.points if point["name"] in names]

    @property
    def finished(self) -> list[dict[str, Any]]:
        """The points that have a finished run."""
        return [point for point in self.points if self.accuracies(point["name"])]

    @property
    def varied(self) -> list[str]:
        """Dotted names of the fields that points set."""
        return list(dict.fromkeys(name for point in self.points for name in point["overrides"]))

    @property
    def split(self) -> str:
        """Whose accuracy is compared: the test split's where every run has one."""
        return "test" if all("test" in row.scores for row in self.rows if row.scores) else "validation"

    @property
    def measure_text(self) -> str:
        """Which accuracy is compared, for a person: the averaged weights' of a run that averages."""
        averaged = {"ema_accuracy" in row.scores[self.split] for row in self.rows if row.scores}
        weights = {True: "averaged weights", False: "the weights"}
        which = weights[averaged.pop()] if len(averaged) == 1 else "averaged weights, or of the weights of runs without"
        return f"{self.split} accuracy of {which}"

    def accuracies(self, point: str) -> list[float]:
        """What is compared, of each finished run, by seed."""
        return self._scores(point, self.split, "accuracy")

    def losses(self, point: str) -> list[float]:
        """Of the same weights on the validation split, in nats."""
        return self._scores(point, "validation", "loss")

    def _scores(self, point: str, split: str, name: str) -> list[float]:
        found = [row.scores[split] for row in self.of_point(point) if row.scores]
        return [scores.get(f"ema_{name}", scores[name]) for scores in found]

    def of_point(self, name: str) -> list[Row]:
        """The rows of one point, by seed."""
        return [row for row in self.rows if row.point == name]


def read(workdir: pathlib.Path) -> Results:
    """Every run that was begun or asked for.

    Raises:
      WorkdirError: if `workdir` holds no sweep, a file of it is damaged, or no run is finished.
    """
    if not workdir.is_dir():
        raise WorkdirError(f"workdir {str(workdir)!r} does not exist, must be the folder of a sweep")
    found = sweep_directory.read(workdir)
    if found is None:
        raise WorkdirError(f"workdir {str(workdir)!r} holds no {sweep_directory.FILE}: must be what `ablate` made")
    replicas = found["base"].get("replicas", 1)
    rows = [
        row for point in found["points"] for row in run_rows.of_point(workdir, point["name"], point["seeds"], replicas)
    ]
    if not any(row.status == "finished" for row in rows):
        counts = [f"{sum(row.status == status for row in rows)} {status}" for status in run_rows.STATUSES[1:]]
        told = "; ".join(f"{row.folder}: {row.reason}" for row in rows if row.status == "failed")
        raise WorkdirError(
            f"workdir {str(workdir)!r} holds no finished run yet: "
            f"{', '.join(text for text in counts if text[0] != '0')}{told and f'. {told}'}"
        )
    return Results(found, rows)
