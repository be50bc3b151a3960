"""What a run tells: a row an event in `metrics.jsonl`, TensorBoard, and a bar or lines on the terminal."""

import json
import os
import pathlib
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from tensorboardX import SummaryWriter

from mobilenet_v2.training import disk, metrics

Row = dict[str, Any]


def read_rows(path: pathlib.Path) -> list[Row]:
    """The rows of `metrics.jsonl`; a last line that a killed process left unfinished is no row."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    return [json.loads(line) for line in lines[:-1]]


class Writers:
    """Writes every event to all places; a context manager that closes them.

    Starting at step `resumed_step` takes back what an earlier start wrote after it, since those steps are taken
    again: a run that was interrupted leaves the rows of one that was not. Rows of event "speed" hold the wall
    clock's figures, all others are a function of config and seed.

    Without a `workdir` nothing is written or told: of several processes one is enough.

    Raises:
      WorkdirError, TransientError: here and in what follows, if the disk does not take it.
    """

    def __init__(
        self, workdir: pathlib.Path | None, total_steps: int, resumed_step: int, console: Console | None = None
    ):
        path = pathlib.Path(os.devnull)
        self._workdir = workdir or path
        if workdir is not None:
            path = workdir / "metrics.jsonl"
            _rewind(path, resumed_step)
        with disk.told(self._workdir):
            self._file = open(path, "a")  # noqa: SIM115 (closed in __exit__)
            self._board = SummaryWriter(
                str(workdir and workdir / "tensorboard"), purge_step=resumed_step + 1, write_to_disk=workdir is not None
            )
        self._console = console or Console(quiet=workdir is None)
        self._total_steps = total_steps
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("train", total=total_steps, completed=resumed_step, text="compiling …")

    def __enter__(self) -> "Writers":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        with disk.told(self._workdir):
            self._board.close()
            self._file.close()

    def write(self, event: str, step: int, **values: metrics.Number) -> None:
        """Adds a row; once this returns, only a crash of the whole machine can lose it.

        Of several replicas the row has a list of what differs between them; TensorBoard their mean, and each one's as
        `event/name/replica`.
        """
        listed = metrics.listed(values)
        with disk.told(self._workdir):
            self._file.write(json.dumps({"event": event, "step": step, **listed}, allow_nan=False) + "\n")
            self._file.flush()
        for name, value in metrics.averages(values).items():
            self._board.add_scalar(f"{event}/{name}", value, step)
            for replica, own in enumerate(listed[name] if isinstance(listed[name], list) else ()):
                if own is not None:
                    self._board.add_scalar(f"{event}/{name}/{replica}", own, step)

    def advance(self, step: int) -> None:
        """Moves the bar."""
        self._bar.update(self._task, completed=step)

    def tell(self, step: int, text: str, seconds_left: float | None = None) -> None:
        """Shows what was measured at `step`: beside the bar, or as a plain line where there is no terminal."""
        if self._console.is_terminal:
            self._bar.update(self._task, completed=step, text=text)
        else:
            left = "" if seconds_left is None else f"  {_duration(seconds_left)} left"
            self._print(f"step {step}/{self._total_steps}  {text}{left}")

    def note(self, text: str) -> None:
        """Prints a line that stays."""
        self._print(text)

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def _rewind(path: pathlib.Path, step: int) -> None:
    # An evaluation at the very step is done again too: it comes after the checkpoint.
    kept = [row for row in read_rows(path) if row["step"] < step or (row["step"] == step and row["event"] == "train")]
    disk.write_atomically(path, "".join(json.dumps(row) + "\n" for row in kept))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
