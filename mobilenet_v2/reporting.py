"""Tables that a person reads: a network's cost, a run's result."""

import pathlib
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from mobilenet_v2.models.cost import Cost

COST_COLUMNS = ("block", "output", "expanded", "parameters", "multiply-adds", "output kB", "peak kB")


def cost_rows(cost: Cost) -> list[tuple[str, ...]]:
    """The cells below `COST_COLUMNS`: a row a block, and the totals."""
    rows = [
        (
            block.name,
            "×".join(map(str, block.output_shape)),
            str(block.expanded_channels or ""),
            f"{block.parameters:,}",
            f"{block.multiply_adds:,}",
            f"{block.output_bytes / 1000:,.1f}",
            f"{block.peak_bytes / 1000:,.1f}",
        )
        for block in cost.blocks
    ]
    totals = f"{cost.parameters:,}", f"{cost.multiply_adds:,}", "", f"{cost.peak_bytes / 1000:,.1f}"
    return [*rows, ("total", "", "", *totals)]


def print_cost(cost: Cost, console: Console | None = None) -> None:
    """A row a block, and the totals."""
    table = Table(*COST_COLUMNS)
    for column in table.columns[1:]:
        column.justify = "right"
    *blocks, totals = cost_rows(cost)
    for row in blocks:
        table.add_row(*row)
    table.add_section()
    table.add_row(*totals)
    console = console or wide_console()
    console.print(table)
    console.print(
        f"and {cost.batch_stats:,} batch statistics. For one image; peak: activations held at once in inference.",
        highlight=False,
    )


def print_result(result: dict[str, Any], workdir: pathlib.Path, console: Console | None = None) -> None:
    """What a run came to, and where it lies."""
    table = Table(show_header=False)
    table.add_row("parameters", f"{result['parameters']:,}")
    table.add_row("multiply-adds", f"{result['multiply_adds']:,}")
    diverged = [one.get("diverged") for one in result.get("replicas", [{}])]
    for use in ("validation", "test"):
        if use in result:
            table.add_row(
                f"{use} accuracy", format_scores(result[use], result["examples"][use]) + of_replicas(diverged)
            )
    minutes, seconds = divmod(round(result["seconds"]), 60)
    time = f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
    table.add_row("time", f"{time} for {result['steps']:,} steps")
    for what, name in (
        ("result", "result.json"),
        ("metrics", "metrics.jsonl"),
        ("checkpoints", "checkpoints"),
    ):
        table.add_row(what, str(workdir / name))
    (console or wide_console()).print(table)


def format_scores(scores: dict[str, float], examples: int) -> str:
    """Accuracy of the trained variables, and of their moving averages where there are any."""
    averaged = f", moving average {scores['ema_accuracy']:.2%}" if "ema_accuracy" in scores else ""
    return f"{scores['accuracy']:.2%}{averaged}  (of {examples:,} images)"


def of_replicas(diverged: Sequence[int | None]) -> str:
    """What is said after numbers that are means over replicas; nothing where there is one."""
    if len(diverged) == 1:
        return ""
    left = diverged.count(None)
    return f"  (mean of {left} replicas" + (")" if left == len(diverged) else f"; {len(diverged) - left} diverged)")


def wide_console(width: int = 120) -> Console:
    """The terminal; where the output is a file, so wide that no column is cut."""
    console = Console()
    return console if console.is_terminal else Console(width=width)
