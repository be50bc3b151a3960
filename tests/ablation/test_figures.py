import json
import pathlib

import numpy as np
import pytest
from matplotlib.figure import Figure

from mobilenet_v2.ablation import figures, results
from tests.ablation import sweeps

RUNS = {point["name"]: [0.5, 0.52, 0.55] for point in sweeps.expansion_points()}


def drawn(workdir: pathlib.Path, runs: dict[str, list[float]], **more: str) -> dict[str, Figure]:
    found = results.read(sweeps.write(workdir, sweeps.expansion_points(), runs, **more))
    return {name: figure for name, (figure, _) in figures.draw(found).items()}


@pytest.mark.parametrize(
    "runs, says",
    [
        (RUNS, "3 seeds a point, ± 1 standard error"),
        ({**RUNS, "t1": [0.5, 0.6]}, "2 to 3 seeds a point, ± 1 standard error"),
        ({"t6": [0.5], "t1": [0.4]}, "one seed a point, so no error can be told"),
    ],
)
def test_every_figure_says_how_many_seeds_it_shows(
    runs: dict[str, list[float]], says: str, tmp_path: pathlib.Path
) -> None:
    made = drawn(tmp_path, runs)
    assert list(made) == ["accuracy", "accuracy_by_multiply_adds", "learning_curves"]
    for figure in made.values():
        assert figure.get_suptitle().split("\n")[1] == f"digits: {says}"


def test_axes_have_names_and_units(tmp_path: pathlib.Path) -> None:
    made = drawn(tmp_path, RUNS)
    names = {name: (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) for name, figure in made.items()}
    assert names == {
        "accuracy": ("expansion factor t", "test accuracy (%)"),
        "accuracy_by_multiply_adds": (
            "multiply-adds of an image (millions; those within 2 % are spread apart)",
            "test accuracy (%)",
        ),
        "learning_curves": ("training step", "validation accuracy (%)"),
    }


def test_error_bars_are_standard_errors_and_bands_too(tmp_path: pathlib.Path) -> None:
    made = drawn(tmp_path, RUNS)
    error = 100 * np.std([0.5, 0.52, 0.55], ddof=1) / np.sqrt(3)
    bars = [line.get_segments() for line in made["accuracy"].axes[0].collections]
    heights = [abs(end[1] - begin[1]) for segments in bars for begin, end in segments]
    assert heights == [pytest.approx(2 * error)] * 9
    band = made["learning_curves"].axes[0].collections[0].get_paths()[0].vertices
    last = [y for x, y in band if x == 300]
    assert max(last) - min(last) == pytest.approx(2 * error)


def test_the_baseline_is_drawn_once_and_on_each_line_whose_other_points_hide_nothing(tmp_path: pathlib.Path) -> None:
    (axes,) = drawn(tmp_path, RUNS)["accuracy"].axes
    assert len([line for line in axes.lines if line.get_gid() == "point-t6"]) == 1
    lines = [line for line in axes.lines if len(np.atleast_1d(line.get_xdata())) > 1]
    one, other = (np.asarray(line.get_xdata()) for line in lines)
    np.testing.assert_allclose(one - [1, 2, 3, 6, 10], [-0.09, -0.09, -0.09, 0, -0.09])
    np.testing.assert_allclose(other - [1, 2, 3, 6, 10], [0.09, 0.09, 0.09, 0, 0.09])


def test_every_seed_is_seen_also_those_of_one_accuracy(tmp_path: pathlib.Path) -> None:
    (axes,) = drawn(tmp_path, {"t6": [0.5, 0.52, 0.5], "t1": [0.4, 0.5, 0.6]})["accuracy"].axes
    dots = [line.get_xydata()[0] for line in axes.lines if line.get_marker() == "." and len(line.get_xdata())]
    assert sorted(round(y) for _, y in dots) == [40, 50, 50, 50, 52, 60]
    assert len({tuple(dot) for dot in dots}) == 6


def test_what_costs_the_same_is_side_by_side(tmp_path: pathlib.Path) -> None:
    (axes,) = drawn(tmp_path, RUNS)["accuracy_by_multiply_adds"].axes
    places = {line.get_gid(): line.get_xdata()[0] for line in axes.lines if line.get_gid()}
    assert places["point-t1"] == 1.0
    crowd = sorted(place for name, place in places.items() if "equal-cost" in name or name == "point-t6")
    assert np.all(np.diff(crowd) > 0.1)


def test_points_and_curves_differ_also_in_black_and_white(tmp_path: pathlib.Path) -> None:
    made = drawn(tmp_path, RUNS)
    for panel in made["learning_curves"].axes:
        looks = [(line.get_linestyle(), line.get_marker()) for line in panel.lines if line.get_gid() is None]
        assert len(set(looks)) == len(looks) == 5
    assert "t6, baseline" in [text.get_text() for text in made["accuracy"].legends[0].get_texts()]


def test_a_point_without_a_finished_run_is_in_no_figure(tmp_path: pathlib.Path) -> None:
    made = drawn(tmp_path, {"t6": [0.5], "t3": [0.4]})
    assert [label.get_text() for label in made["accuracy"].axes[0].get_xticklabels()] == ["3", "6"]
    assert [text.get_text() for text in made["learning_curves"].axes[0].get_legend().get_texts()] == ["t3", "t6"]


def test_curves_are_means_over_the_steps_that_all_runs_have(tmp_path: pathlib.Path) -> None:
    found = sweeps.write(tmp_path, sweeps.expansion_points(), {"t6": [0.5, 0.6]})
    rows = [json.loads(line) for line in (found / "t6" / "seed_1" / "metrics.jsonl").read_text().splitlines()]
    (found / "t6" / "seed_1" / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[1:]))
    figure, titles = figures.draw(results.read(found))["learning_curves"]
    (curve,) = [line for line in figure.axes[0].lines if line.get_gid() is None]
    assert list(curve.get_xdata()) == [200, 300]
    assert list(curve.get_ydata()) == pytest.approx([65.0, 55.0])
    assert list(titles.values()) == ["t6: 55.00 % after step 300 (n = 2)"]
