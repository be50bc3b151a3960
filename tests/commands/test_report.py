import pathlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from mobilenet_v2.ablation import figures, results
from mobilenet_v2.commands import report
from tests.ablation import sweeps

RUNS = {point["name"]: [0.5, 0.52, 0.55] for point in sweeps.expansion_points()}
WRITTEN = ("results.csv", "table.md", "report.html")
FIGURES = ("accuracy", "accuracy_by_multiply_adds", "learning_curves")


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    workdir = sweeps.write(tmp_path_factory.mktemp("sweep"), sweeps.expansion_points(), RUNS)
    report.main(["report", f"--workdir={workdir}"])
    return workdir


def test_it_writes_table_page_and_figures(workdir: pathlib.Path) -> None:
    for name in WRITTEN:
        assert (workdir / name).stat().st_size > 500
    for name in FIGURES:
        with Image.open(workdir / f"{name}.png") as picture:
            assert min(picture.size) > 600
            assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 50
        assert (workdir / f"{name}.pdf").read_bytes().startswith(b"%PDF")


def test_the_same_runs_make_the_same_bytes(workdir: pathlib.Path) -> None:
    names = [*WRITTEN, *(f"{name}.{kind}" for name in FIGURES for kind in ("png", "pdf"))]
    before = {name: (workdir / name).read_bytes() for name in names}
    report.main(["report", f"--workdir={workdir}"])
    assert [name for name in names if (workdir / name).read_bytes() != before[name]] == []


def test_points_without_an_order_are_a_row_each(tmp_path: pathlib.Path) -> None:
    points = [sweeps.point("paper"), sweeps.point("no-shortcut")]
    found = results.read(sweeps.write(tmp_path, points, {"paper": [0.5], "no-shortcut": [0.4]}, baseline="paper"))
    drawn = figures.draw(found)
    assert list(drawn) == ["accuracy", "learning_curves"]  # all cost the same
    (axes,) = drawn["accuracy"][0].axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["paper", "no-shortcut"]


def test_each_point_of_the_page_tells_its_value_to_the_pointer(workdir: pathlib.Path) -> None:
    figure, titles = figures.draw(results.read(workdir))["accuracy"]
    root = ElementTree.fromstring(figures.svg_with_titles(figure, titles))
    told = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    assert sorted(map(str, told)) == sorted(titles.values())
    assert "t3: 52.33 ± 1.45 % (n = 3), 3,000,000 multiply-adds" in told


def test_the_page_needs_nothing_else(workdir: pathlib.Path) -> None:
    text = (workdir / "report.html").read_text()
    assert "src=" not in text
    assert "@import" not in text
    assert text.count("<svg") == 3
