"""Names beside the points of a figure, where they hide neither points, lines nor each other."""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

Labelled = tuple[float, float, float, str]  # x, y, the error's half length, all in data's units; and the name

_SIZE = 7
_MARKER = 5.0  # points, half of a marker's width
_GAPS = (_MARKER + 0.5, 10.0, 16.0, 24.0, 34.0, 46.0, 60.0)  # points between a name and its point
_STEP = 2.0  # points between the places of a line that are looked at


def label_points(
    figure: Figure, axes: Axes, points: Sequence[Labelled], line: Sequence[tuple[float, float]] = ()
) -> None:
    """Writes each point's name in the nearest free place, with a line to it where that is not beside the point.

    Args:
      points: the first have the first choice; a name for which there is no place is left out.
      line: corners, in data's units, of a line that is to stay free.
    """
    figure.draw_without_rendering()  # lays the axes out
    pixels = figure.dpi / 72  # a point
    to_pixels = axes.transData.transform
    centres = [to_pixels((x, y)) for x, y, _, _ in points]
    taken = [_around(centre, _MARKER * pixels) for centre in centres]
    lines = [line, *([(x, y - error), (x, y + error)] for x, y, error, _ in points if error)]
    for corners in filter(None, lines):
        taken += [_around(place, pixels) for place in _along(to_pixels(list(corners)), _STEP * pixels)]
    inside = axes.get_window_extent()
    for (x, y, _, name), centre in zip(points, centres, strict=True):
        text = axes.annotate(name, (x, y), (0, 0), textcoords="offset points", size=_SIZE)
        size = text.get_window_extent()
        text.remove()
        for offset in _offsets(size.width / pixels, size.height / pixels):
            left, bottom = centre + np.array(offset) * pixels
            box = Bbox.from_bounds(left, bottom, size.width, size.height)
            if _contains(inside, box) and not any(box.overlaps(other) for other in taken):
                _write(axes, name, (x, y), offset, size.width / pixels)
                taken.append(box)
                break


def _offsets(width: float, height: float) -> Iterator[tuple[float, float]]:
    """Of a text's lower left corner from its point, in points, the nearest first."""
    for gap in _GAPS:
        right, left, above, below = gap, -width - gap, gap, -height - gap
        yield from ((right, -height / 2), (left, -height / 2), (-width / 2, above), (-width / 2, below))
        near = 0.7 * gap
        yield from ((near, near), (-width - near, near), (near, -height - near), (-width - near, -height - near))


def _write(axes: Axes, name: str, point: tuple[float, float], offset: tuple[float, float], width: float) -> None:
    """The text at its place; far from its point with a thin line from its nearer end."""
    x, y = offset
    far = min(abs(x), abs(x + width)) > _GAPS[0] + 1 or abs(y) > 2 * _SIZE
    end = 0.0 if x > 0 else 1.0 if x + width < 0 else 0.5
    line = {"arrowstyle": "-", "linewidth": 0.5, "color": "0.4", "shrinkA": 0, "shrinkB": 0, "relpos": (end, 0.5)}
    axes.annotate(
        name,
        point,
        offset,
        textcoords="offset points",
        size=_SIZE,
        verticalalignment="bottom",
        arrowprops=line if far else None,
    )


def _around(centre: np.ndarray, half: float) -> Bbox:
    return Bbox.from_extents(*(centre - half), *(centre + half))


def _contains(outer: Bbox, inner: Bbox) -> bool:
    return outer.x0 <= inner.x0 and outer.y0 <= inner.y0 and inner.x1 <= outer.x1 and inner.y1 <= outer.y1


def _along(corners: np.ndarray, step: float) -> list[np.ndarray]:
    """Places on the line through `corners`, `step` apart."""
    places: list[np.ndarray] = []
    for begin, end in itertools.pairwise(corners):
        count = int(np.hypot(*(end - begin)) / step) + 1
        places.extend(begin + (end - begin) * share for share in np.linspace(0, 1, count))
    return places
