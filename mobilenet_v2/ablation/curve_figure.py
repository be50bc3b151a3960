"""Learning curves of a sweep: validation accuracy against the step."""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mobilenet_v2.ablation.figure_style import COLOURS, LINES, MARKERS, Point, Titles, groups, new_figure
from mobilenet_v2.ablation.notes import caption
from mobilenet_v2.ablation.results import Results

_PANEL = (3.6, 3.4)  # inches
_LETTERS = 44  # of names side by side under a panel
_MOST_MARKERS = 12  # on a curve


def learning_curves(results: Results) -> tuple[Figure, Titles]:
    """Means of the finished runs, with bands of one standard error; a panel a group, two beside each other."""
    panels_of = groups(results)
    columns = min(2, len(panels_of))
    lines = math.ceil(len(panels_of) / columns)
    figure = new_figure(_PANEL[1] * lines + 1.0, _PANEL[0] * columns + (2.0 if columns == 1 else 0.0))
    panels = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    styles, titles = _styles(results), {}
    for panel, (name, points) in zip(panels, panels_of.items(), strict=False):
        for point in points:
            _draw_curve(panel, results, point["name"], styles[point["name"]], titles, f"{name}-{point['name']}")
        panel.set_title(name or None, size=9)
        panel.set_xlabel("training step")
        panel.xaxis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 5, 10], integer=True))
        names = max(1, min(4, _LETTERS // (6 + max(len(point["name"]) for point in points))))
        panel.legend(
            fontsize=7, ncols=names, handlelength=3, loc="upper center", bbox_to_anchor=(0.5, -0.16), frameon=False
        )
    for panel in panels[len(panels_of) :]:
        panel.set_visible(False)
    for panel in panels[::columns]:
        panel.set_ylabel("validation accuracy (%)")
    figure.suptitle(f"{results.sweep['question']}: learning curves\n{caption(results)}", size=9)
    return figure, titles


def _styles(results: Results) -> dict[str, dict[str, Any]]:
    """How each point's curve looks: by x from dark to light, or in other colours; the baseline black."""
    points = results.finished
    ranks = _ranks(points)
    count = max(ranks.values()) + 1
    if count <= len(COLOURS) or any(point["x"] is None for point in points):
        colours: Any = [COLOURS[rank % len(COLOURS)] for rank in range(count)]
    else:
        colours = mpl.colormaps["viridis"](np.linspace(0, 0.75, count))
    styles = {
        name: {"color": colours[rank], "linestyle": LINES[rank % len(LINES)], "marker": MARKERS[rank % len(MARKERS)]}
        for name, rank in ranks.items()
    }
    baseline = {"color": "black", "linestyle": "-", "marker": "*", "linewidth": 1.8, "markersize": 6}
    return styles | {results.sweep["baseline"]: baseline}


def _ranks(points: Sequence[Point]) -> dict[str, int]:
    """A number a point, of several groups the same for the same x."""
    if any(point["x"] is None for point in points):
        return {point["name"]: index for index, point in enumerate(points)}
    xs = sorted({point["x"] for point in points})
    return {point["name"]: xs.index(point["x"]) for point in points}


def _draw_curve(
    panel: Axes, results: Results, point: str, style: dict[str, Any], titles: Titles, identity: str
) -> None:
    curves = [dict(row.curve) for row in results.of_point(point) if row.scores]
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    if not steps:
        return
    values = 100 * np.array([[curve[step] for step in steps] for curve in curves])
    middle = values.mean(axis=0)
    every = math.ceil(len(steps) / _MOST_MARKERS)
    shown: dict[str, Any] = {"linewidth": 1.1, "markersize": 3.5, "markevery": every, **style}
    panel.plot(steps, middle, label=point, **shown)
    if len(curves) > 1:
        error = values.std(axis=0, ddof=1) / math.sqrt(len(curves))
        panel.fill_between(steps, middle - error, middle + error, color=style["color"], alpha=0.2, linewidth=0)
    # Wide and not seen: what a pointer hits.
    gid = f"curve-{identity}".replace(" ", "-")
    panel.plot(steps, middle, color=(0, 0, 0, 0), linewidth=9, gid=gid)
    titles[gid] = f"{point}: {middle[-1]:.2f} % after step {steps[-1]:,} (n = {len(curves)})"
