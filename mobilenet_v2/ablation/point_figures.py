"""Accuracy of a sweep's points against what was varied, and against multiply-adds."""

import math
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from mobilenet_v2.ablation import statistics
from mobilenet_v2.ablation.figure_style import (
    COLOURS,
    LINES,
    MARKERS,
    OF_BASELINE,
    Point,
    Titles,
    finish,
    groups,
    mean_and_error,
    millions,
    new_figure,
    title,
)
from mobilenet_v2.ablation.labels import label_points
from mobilenet_v2.ablation.places import ALIKE, side_by_side
from mobilenet_v2.ablation.results import Results

_MOST_TICKS = 12
_MOST_NAMES = 24  # above which those on the front alone are named
_LOGARITHMIC = 8  # times the cheapest, above which costs are
_ASIDE = 0.02  # of the axis, from one group's points to the next one's, which would hide them
_SEEDS_ASIDE = 0.015  # of the axis, from a point to its seeds


def by_x(results: Results) -> tuple[Figure, Titles]:
    """A line a group against x, each a little beside the other; or, where the points have no order, a row a point."""
    if any(point["x"] is None for point in results.finished):
        return _by_name(results)
    figure = new_figure(3.9)
    axes, titles = figure.subplots(), {}
    xs = sorted({point["x"] for point in results.finished})
    by_group, span = groups(results), xs[-1] - xs[0]
    for index, (group, points) in enumerate(by_group.items()):
        aside = _ASIDE * span * (index - (len(by_group) - 1) / 2)
        places = [point["x"] + (0 if _is_shared(results, point) else aside) for point in points]
        found = [mean_and_error(results, point) for point in points]
        style = COLOURS[index % len(COLOURS)], LINES[index % len(LINES)]
        axes.plot(places, [mean for mean, _ in found], color=style[0], linestyle=style[1], linewidth=1.2)
        _draw_group(axes, results, points, places, index, group, titles, line=style[1])
        for x, point in zip(places, points, strict=True):
            if not _is_shared(results, point):
                _draw_seeds(axes, results, x, point, math.copysign(_SEEDS_ASIDE * span, aside), style[0])
    for point in filter(lambda point: _is_shared(results, point), results.finished):
        _draw_seeds(axes, results, point["x"], point, _SEEDS_ASIDE * span, "black")
    _draw_shared(axes, results, lambda point: point["x"], titles)
    axes.plot([], [], ".", color="0.3", markersize=3.5, label="a seed")
    axes.set_xlabel(results.sweep["x_label"])
    axes.set_ylabel(f"{results.split} accuracy (%)")
    if len(xs) <= _MOST_TICKS:
        axes.set_xticks(xs, [f"{x:g}" for x in xs])
    finish(figure, axes, results)
    return figure, titles


def by_cost(results: Results) -> tuple[Figure, Titles]:
    """Every point against its multiply-adds, and the line of those that no cheaper one surpasses."""
    figure = new_figure(4.2)
    axes, titles, scored = figure.subplots(), {}, results.finished
    costs = [millions(point) for point in scored]
    logarithmic = max(costs) > _LOGARITHMIC * min(costs)
    shown = side_by_side(costs, logarithmic)
    place_of = {point["name"]: place for point, place in zip(scored, shown, strict=True)}
    for index, (group, points) in enumerate(groups(results).items()):
        _draw_group(axes, results, points, [place_of[point["name"]] for point in points], index, group, titles)
    _draw_shared(axes, results, lambda point: place_of[point["name"]], titles)
    found = [mean_and_error(results, point) for point in scored]
    means = [mean for mean, _ in found]
    front = statistics.pareto(costs, means)
    places, heights = [shown[index] for index in front], [means[index] for index in front]
    label = "Pareto front of the means" if len(front) > 1 else None
    axes.step(places, heights, where="post", color="0.4", linewidth=1, zorder=2.5, label=label)
    apart = f"; those within {100 * ALIKE:g} % are spread apart" if shown != costs else ""
    axes.set_xlabel(f"multiply-adds of an image (millions{apart})")
    axes.set_ylabel(f"{results.split} accuracy (%)")
    axes.margins(0.08, 0.1)
    if logarithmic:
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    finish(figure, axes, results)
    others = [index for index in range(len(scored)) if index not in front]
    order = [*front, *others] if len(scored) <= _MOST_NAMES else front
    stairs = [(x, y) for x, y in zip(places[1:], heights[:-1], strict=True)]
    corners = sorted([*zip(places, heights, strict=True), *stairs])
    label_points(figure, axes, [(shown[i], *found[i], scored[i]["name"]) for i in order], corners)
    return figure, titles


def _draw_group(
    axes: Axes,
    results: Results,
    points: Sequence[Point],
    places: Sequence[float],
    index: int,
    group: str,
    titles: Titles,
    line: str = "none",
) -> None:
    """Markers and errors of what is in this group alone; the second group's markers are hollow, and so on."""
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    fill = "white" if index % 2 else colour
    style: dict[str, Any] = {"marker": marker, "color": colour, "markerfacecolor": fill}
    if group:
        axes.plot([], [], linestyle=line, label=group, **style)
    for x, point in zip(places, points, strict=True):
        if not _is_shared(results, point):
            _draw_point(axes, results, x, point, titles, style)


def _draw_shared(axes: Axes, results: Results, place: Any, titles: Titles) -> None:
    """The baseline, and points of all groups: once, in black."""
    for point in filter(lambda point: _is_shared(results, point), results.finished):
        baseline = point["name"] == results.sweep["baseline"]
        style: dict[str, Any] = OF_BASELINE if baseline else {"color": "black", "marker": "X"}
        _draw_point(axes, results, place(point), point, titles, style)
        axes.plot([], [], linestyle="none", label=f"{point['name']}, baseline" if baseline else point["name"], **style)


def _draw_seeds(axes: Axes, results: Results, x: float, point: Point, outwards: float, colour: str) -> None:
    """A dot for each beside the point's bar; those of one accuracy beside each other."""
    accuracies = [100 * accuracy for accuracy in results.accuracies(point["name"])]
    for index, accuracy in enumerate(accuracies):
        beside = x + outwards * (1 + 0.6 * accuracies[:index].count(accuracy))
        axes.plot([beside], [accuracy], ".", color=colour, markersize=3.5, zorder=2)


def _is_shared(results: Results, point: Point) -> bool:
    grouped = any(other["group"] for other in results.finished)
    return point["name"] == results.sweep["baseline"] or (grouped and not point["group"])


def _draw_point(axes: Axes, results: Results, x: float, point: Point, titles: Titles, style: dict[str, Any]) -> None:
    mean, error = mean_and_error(results, point)
    gid = f"point-{point['name']}"
    axes.errorbar([x], [mean], yerr=[error] if error else None, fmt="none", ecolor=style["color"], capsize=3)
    axes.plot([x], [mean], linestyle="none", gid=gid, zorder=3, **style)
    titles[gid] = title(results, point)


def _by_name(results: Results) -> tuple[Figure, Titles]:
    points = results.finished
    figure = new_figure(1.6 + 0.35 * len(points))
    axes, titles = figure.subplots(), {}
    for row, point in enumerate(points):
        mean, error = mean_and_error(results, point)
        baseline = point["name"] == results.sweep["baseline"]
        style: dict[str, Any] = OF_BASELINE if baseline else {"color": COLOURS[0], "marker": "o"}
        axes.errorbar([mean], [row], xerr=[error] if error else None, fmt="none", ecolor=style["color"], capsize=3)
        seeds = [100 * value for value in results.accuracies(point["name"])]
        heights = [row + 0.2 + 0.19 * seeds[:index].count(seed) for index, seed in enumerate(seeds)]
        axes.plot(seeds, heights, "|", color="0.3", zorder=0, markersize=4)
        axes.plot([mean], [row], linestyle="none", gid=f"point-{point['name']}", zorder=3, **style)
        titles[f"point-{point['name']}"] = title(results, point)
    if any(point["name"] == results.sweep["baseline"] for point in points):
        axes.plot([], [], linestyle="none", label="baseline", **OF_BASELINE)
    axes.plot([], [], "|", color="0.3", label="a seed")
    axes.set_yticks(range(len(points)), [point["name"] for point in points])
    axes.set_ylim(len(points) - 0.5, -0.5)
    axes.set_xlabel(f"{results.split} accuracy (%)")
    finish(figure, axes, results)
    return figure, titles
