"""What figures have in common: colours, groups of points, titles, legends.

Colours are Okabe and Ito's, told apart by the colour-blind; in black and white markers and dashes tell them apart.
"""

import math
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mobilenet_v2.ablation import statistics
from mobilenet_v2.ablation.notes import caption
from mobilenet_v2.ablation.results import Results

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P")
LINES = ("-", "--", "-.", ":")
OF_BASELINE: dict[str, Any] = {
    "color": "black",
    "marker": "*",
    "markersize": 10,
    "markeredgecolor": "white",
    "markeredgewidth": 0.5,
}
STYLE = {"font.size": 9, "axes.grid": True, "grid.alpha": 0.3, "svg.hashsalt": "mobilenet-v2", "svg.fonttype": "none"}
WIDTH = 5.6  # inches: of a column of text, at which the letters are as large as said

Titles = dict[str, str]
Point = dict[str, Any]


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """An empty one, in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def finish(figure: Figure, axes: Axes, results: Results) -> None:
    """Title, number of seeds, and a legend below, where it hides nothing."""
    figure.suptitle(f"{results.sweep['question']}\n{caption(results)}", size=9)
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8, frameon=False)


def groups(results: Results) -> dict[str, list[Point]]:
    """Points with a finished run by line, by x; those of group "" are on every line."""
    points = results.finished
    names = [name for name in dict.fromkeys(point["group"] for point in points) if name] or [""]
    return {
        name: sorted(
            (point for point in points if point["group"] in ("", name)),
            key=lambda point: 0 if point["x"] is None else point["x"],
        )
        for name in names
    }


def mean_and_error(results: Results, point: Point) -> tuple[float, float]:
    """Accuracy in per cent and its standard error, 0 where one seed has none."""
    one = statistics.mean(results.accuracies(point["name"]))
    return 100 * one.mean, 0.0 if math.isnan(one.standard_error) else 100 * one.standard_error


def title(results: Results, point: Point) -> str:
    """What the page says of a point."""
    one = statistics.mean(results.accuracies(point["name"]))
    error = "" if math.isnan(one.standard_error) else f" ± {100 * one.standard_error:.2f}"
    return f"{point['name']}: {100 * one.mean:.2f}{error} % (n = {one.n}), {point['multiply_adds']:,} multiply-adds"


def millions(point: Point) -> float:
    """Multiply-adds of an image."""
    return point["multiply_adds"] / 1e6
