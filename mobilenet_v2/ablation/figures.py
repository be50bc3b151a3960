"""Figures of a sweep: accuracy against what was varied and against multiply-adds, and learning curves.

Colours are Okabe and Ito's, told apart by the colour-blind and, with a marker for each, in black and white. Each point
carries what it shows as an SVG title, which a browser shows when the pointer rests on it.
"""

import io
import math
import xml.etree.ElementTree as ElementTree
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mobilenet_v2.ablation import statistics
from mobilenet_v2.ablation.results import Results

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "font.size": 9,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "mobilenet-v2",
    "svg.fonttype": "none",
}
_MOST_CURVES = 8
_SVG = "{http://www.w3.org/2000/svg}"

Titles = dict[str, str]


def draw(results: Results) -> dict[str, tuple[Figure, Titles]]:
    """Each figure by name, and the titles of its points by their ids in SVG."""
    with mpl.rc_context(STYLE):
        figures = {"accuracy": _by_x(results)}
        if len({point["multiply_adds"] for point in results.points}) > 1:
            figures["accuracy_by_multiply_adds"] = _by_cost(results)
        figures["learning_curves"] = _curves(results), {}
    return figures


def save(figure: Figure, kind: str) -> bytes:
    """The bytes of a "png", "pdf" or "svg" file, the same each time."""
    dates = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    stream = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(stream, format=kind, dpi=200, metadata=dates[kind])
    return stream.getvalue()


def svg_with_titles(figure: Figure, titles: Titles) -> str:
    """The figure as an SVG element for a page."""
    ElementTree.register_namespace("", _SVG.strip("{}"))
    ElementTree.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ElementTree.fromstring(save(figure, "svg"))
    for element in root.iter():
        if (title := titles.get(element.get("id", ""))) is not None:
            child = ElementTree.Element(f"{_SVG}title")
            child.text = title
            element.insert(0, child)
    return ElementTree.tostring(root, encoding="unicode")


def _by_x(results: Results) -> tuple[Figure, Titles]:
    """A line a group against x; or, where the points have no order, a row a point."""
    numeric = all(point["x"] is not None for point in results.points)
    height = 3.6 if numeric else 1.4 + 0.35 * len(results.points)
    figure, axes = _figure(results, height)
    titles: Titles = {}
    if numeric:
        for index, (group, points) in enumerate(_groups(results).items()):
            points = sorted(points, key=lambda point: point["x"])
            _line(axes, [point["x"] for point in points], points, results, index, group, titles)
        axes.set_xlabel(results.sweep["x_label"])
        xs = sorted({point["x"] for point in results.points})
        if len(xs) <= 12:
            axes.set_xticks(xs, [f"{x:g}" for x in xs])
        _finish(figure, axes, results)
    else:
        _dots(figure, axes, results, titles)
    return figure, titles


def _by_cost(results: Results) -> tuple[Figure, Titles]:
    """Every point against its multiply-adds, and the line of those that no cheaper one surpasses."""
    figure, axes = _figure(results, 3.6)
    titles: Titles = {}
    for index, (group, points) in enumerate(_groups(results).items()):
        own = [point for point in points if point["name"] != results.sweep["baseline"] or index == 0]
        _line(axes, [_millions(point) for point in own], own, results, index, group, titles, joined=False)
    scored = [point for point in results.points if results.accuracies(point["name"])]
    means = [100 * statistics.mean(results.accuracies(point["name"])).mean for point in scored]
    front = statistics.pareto([point["multiply_adds"] for point in scored], means)
    costs = [_millions(scored[index]) for index in front]
    axes.step(costs, [means[index] for index in front], where="post", color="0.4", linewidth=1, label="Pareto front")
    for place, index in enumerate(front):
        # Above and below in turn, because neighbours may be of nearly the same cost.
        offset, at = (4, -9 if place % 2 else 5), (_millions(scored[index]), means[index])
        axes.annotate(scored[index]["name"], at, offset, textcoords="offset points", size=7)
    axes.margins(y=0.08)
    axes.set_xlabel("multiply-adds of an image (millions)")
    if costs and max(map(_millions, scored)) > 8 * min(map(_millions, scored)):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    _finish(figure, axes, results)
    return figure, titles


def _curves(results: Results) -> Figure:
    """Mean validation accuracy against the step, with a band of one standard error; a panel a group."""
    groups = {name: points for name, points in _groups(results).items() if points}
    names = list(groups)
    figure = Figure(figsize=(3.6 * len(names) + 0.4, 3.6), layout="constrained")
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=True):
        points = groups[name]
        if len(names) == 1 and len(points) <= _MOST_CURVES:
            colours: Any = [COLOURS[index % len(COLOURS)] for index in range(len(points))]
        else:
            colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(points)))
        styles = ("-", "--", "-.", ":")
        for index, point in enumerate(points):
            _curve(panel, results, point["name"], colours[index], styles[index % len(styles)])
        panel.set_title(name or None, size=9)
        panel.set_xlabel("step")
        panel.legend(fontsize=6, ncols=2, loc="lower right")
    panels[0].set_ylabel("validation accuracy (%)")
    figure.suptitle(
        f"{results.sweep['question']}: learning curves, {_seeds(results)}, bands ± 1 standard error", size=9
    )
    return figure


def _curve(panel: Axes, results: Results, point: str, colour: Any, style: str) -> None:
    curves = [dict(row.curve) for row in results.of_point(point) if row.scores]
    if not curves:
        return
    steps = sorted(set.intersection(*(set(curve) for curve in curves)))
    values = 100 * np.array([[curve[step] for step in steps] for curve in curves])
    middle = values.mean(axis=0)
    panel.plot(steps, middle, color=colour, linestyle=style, linewidth=1.2, label=point)
    if len(curves) > 1:
        error = values.std(axis=0, ddof=1) / math.sqrt(len(curves))
        panel.fill_between(steps, middle - error, middle + error, color=colour, alpha=0.2, linewidth=0)


def _groups(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Points by line, by x; those of group "" are on every line."""
    names = [name for name in dict.fromkeys(point["group"] for point in results.points) if name] or [""]
    return {
        name: sorted(
            (point for point in results.points if point["group"] in ("", name)),
            key=lambda point: 0 if point["x"] is None else point["x"],
        )
        for name in names
    }


def _line(
    axes: Axes,
    xs: list[float],
    points: list[dict[str, Any]],
    results: Results,
    index: int,
    label: str,
    titles: Titles,
    joined: bool = True,
) -> None:
    shown = [(x, point) for x, point in zip(xs, points, strict=True) if results.accuracies(point["name"])]
    found = [statistics.mean(results.accuracies(point["name"])) for _, point in shown]
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    middle = [100 * one.mean for one in found]
    errors = [0.0 if math.isnan(one.standard_error) else 100 * one.standard_error for one in found]
    places = [x for x, _ in shown]
    axes.errorbar(places, middle, errors, fmt="-" if joined else "none", color=colour, capsize=3, linewidth=1.2)
    axes.plot([], [], marker=marker, color=colour, linestyle="-" if joined else "none", label=label or None)
    for (x, point), one in zip(shown, found, strict=True):
        gid = f"{label or 'all'}-{point['name']}".replace(" ", "-")
        axes.plot([x], [100 * one.mean], marker=marker, color=colour, linestyle="none", gid=gid)
        titles[gid] = _title(point, one)


def _dots(figure: Figure, axes: Axes, results: Results, titles: Titles) -> None:
    points = [point for point in results.points if results.accuracies(point["name"])]
    for row, point in enumerate(points):
        one = statistics.mean(results.accuracies(point["name"]))
        error = 0.0 if math.isnan(one.standard_error) else 100 * one.standard_error
        colour = COLOURS[0] if point["name"] == results.sweep["baseline"] else COLOURS[1]
        axes.errorbar([100 * one.mean], [row], xerr=[error], fmt="none", color=colour, capsize=3)
        axes.plot([100 * one.mean], [row], marker="o", color=colour, linestyle="none", gid=f"dot-{point['name']}")
        axes.plot(
            [100 * v for v in results.accuracies(point["name"])],
            [row + 0.25] * one.n,
            "|",
            color="0.3",
            zorder=0,
            markersize=11,
        )
        titles[f"dot-{point['name']}"] = _title(point, one)
    axes.set_yticks(range(len(points)), [point["name"] for point in points])
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.set_xlabel(f"{results.split} accuracy (%)")
    figure.suptitle(f"{results.sweep['question']}: {_seeds(results)}, ± 1 standard error, a stroke a seed", size=9)


def _title(point: dict[str, Any], one: statistics.Mean) -> str:
    error = "" if math.isnan(one.standard_error) else f" ± {100 * one.standard_error:.2f}"
    return f"{point['name']}: {100 * one.mean:.2f}{error} % (n = {one.n}), {point['multiply_adds']:,} multiply-adds"


def _figure(results: Results, height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.6, height), layout="constrained")
    return figure, figure.subplots()


def _finish(figure: Figure, axes: Axes, results: Results) -> None:
    axes.set_ylabel(f"{results.split} accuracy (%)")
    figure.suptitle(f"{results.sweep['question']}: {_seeds(results)}, ± 1 standard error", size=9)
    if axes.get_legend_handles_labels()[1]:
        axes.legend(fontsize=8)


def _seeds(results: Results) -> str:
    counts = sorted({len(results.accuracies(point["name"])) for point in results.points} - {0})
    span = str(counts[0]) if len(counts) == 1 else f"{counts[0]} … {counts[-1]}"
    return f"{span} seed" if span == "1" else f"{span} seeds a point"


def _millions(point: dict[str, Any]) -> float:
    return point["multiply_adds"] / 1e6
