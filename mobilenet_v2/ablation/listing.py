"""What `ablate` tells a person: the points, the time, and each run as it ends."""

import datetime
import time
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mobilenet_v2 import reporting
from mobilenet_v2.ablation.sweep_directory import Run

_WIDTH = 160


def print_points(runs: Sequence[Run], console: Console | None = None) -> None:
    """A row a point: what varies, what it costs, how many of its runs are finished."""
    table = Table("point", "fields", "parameters", "multiply-adds", "finished")
    for column in table.columns[2:]:
        column.justify = "right"
    for planned in dict.fromkeys(id(run.planned) for run in runs):
        own = [run for run in runs if id(run.planned) == planned]
        one = own[0].planned
        fields = ", ".join(f"{name.rpartition('.')[2]}={value}" for name, value in one.point.overrides.items())
        finished = f"{sum(run.result is not None for run in own)}/{len(own)}"
        table.add_row(one.point.name, fields, f"{one.parameters:,}", f"{one.multiply_adds:,}", finished)
    (console or reporting.wide_console(_WIDTH)).print(table)


def print_plan(
    runs: Sequence[Run], left: Sequence[Run], seconds: float | str | None, console: Console | None = None
) -> None:
    """How much there is to do; `seconds`, or why they can't be told, are of what is left."""
    text = f"{len(runs)} runs, {len(runs) - len(left)} finished"
    if isinstance(seconds, str):
        text += f"; how long the others will take can't be told: {seconds}"
    elif seconds is not None:
        text += f"; the others will take about {duration(seconds)}"
    _say((console or reporting.wide_console(_WIDTH)), text)


def print_wait(text: str) -> None:
    """What takes a while before the first line: on standard error, apart from what a program may read."""
    _say(Console(stderr=True, width=_WIDTH), f"{text} …")


def reporter(runs: Sequence[Run], console: Console | None = None) -> Callable[[Run, bool], None]:
    """What prints a line for each run that ends."""
    console, begin = (console or reporting.wide_console(_WIDTH)), time.monotonic()
    before = sum(run.result is not None for run in runs)

    def report(run: Run, finished: bool) -> None:
        done = sum(run.result is not None for run in runs)
        left = (time.monotonic() - begin) / max(done - before, 1) * (len(runs) - done)
        what = (
            _scores(run.result)
            if finished and run.result
            else f"did not finish, see {run.error if run.error.exists() else run.log}"
        )
        _say(console, f"[{done}/{len(runs)}] {run.name}: {what}; about {duration(left)} left")

    return report


def duration(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))


def _scores(result: dict[str, Any]) -> str:
    use = "test" if "test" in result else "validation"
    scores = result[use]
    which = " of averaged weights" if "ema_accuracy" in scores else ""
    accuracy = scores.get("ema_accuracy", scores["accuracy"])
    return f"{use} accuracy{which} {accuracy:.2%} in {duration(result['seconds'])}"


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)
