import itertools

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from mobilenet_v2.ablation.labels import Labelled, label_points


def labelled(points: list[Labelled], line: list[tuple[float, float]]) -> dict[str, Annotation]:
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([x for x, *_ in points], [y for _, y, *_ in points], "o")
    axes.margins(0.3)
    label_points(figure, axes, points, line)
    figure.draw_without_rendering()
    return {text.get_text(): text for text in axes.texts if isinstance(text, Annotation)}


def boxes(texts: dict[str, Annotation]) -> dict[str, Bbox]:
    """Of the texts, without the lines to their points; a pixel less on each side, for rounding."""
    return {name: Text.get_window_extent(text).padded(-1) for name, text in texts.items()}


def test_a_lone_point_has_its_name_beside_it_without_a_line() -> None:
    texts = labelled([(0, 0, 0, "a"), (10, 10, 0, "b")], [])
    assert list(texts) == ["a", "b"]
    assert texts["a"].arrow_patch is None


def test_names_of_a_crowd_hide_neither_each_other_nor_points_nor_lines() -> None:
    crowd = [(5 + 0.1 * index, 5 + 0.2 * (index % 3), 0.3, f"point-{index}") for index in range(9)]
    points: list[Labelled] = [(0, 0, 0, "far"), *crowd, (10, 10, 0, "high")]
    line = [(0.0, 0.0), (5.0, 0.0), (5.0, 5.0)]
    texts = labelled(points, line)
    assert list(texts) == [name for *_, name in points]
    for (_, one), (_, other) in itertools.combinations(boxes(texts).items(), 2):
        assert not one.overlaps(other)
    axes = texts["far"].axes
    assert axes is not None
    corner = axes.transData.transform([(5, y) for y in np.linspace(0, 5, 40)])
    for (x, y), *_ in [*zip(corner, strict=True), *[(axes.transData.transform(point[:2]),) for point in points]]:
        for box in boxes(texts).values():
            assert not (box.x0 < x < box.x1 and box.y0 < y < box.y1)


def test_a_name_that_is_far_from_its_point_has_a_line_to_it() -> None:
    texts = labelled([(5, 5, 0, f"point-{index}") for index in range(9)], [])
    assert texts["point-0"].arrow_patch is None
    assert texts["point-8"].arrow_patch is not None
