"""The page, opened in a real browser."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from mobilenet_v2.ablation import table
from mobilenet_v2.commands import report
from tests import browser
from tests.ablation import sweeps

RUNS = {"t6": [0.60, 0.62, 0.61], "t3": [0.50, 0.51, 0.49], "t10": [0.71, 0.70, 0.72], "t2": [0.3, 0.31, 0.3]}

pytestmark = browser.MARKS


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    workdir = sweeps.write(tmp_path_factory.mktemp("sweep"), sweeps.expansion_points(), RUNS)
    report.main(["report", f"--workdir={workdir}"])
    with browser.opened((workdir / "report.html").as_uri()) as page:
        yield page


def click(page: Any, header: str) -> None:
    page.locator("th button").nth(table.HEADERS.index(header)).click()


def column(page: Any, header: str) -> list[str]:
    index = table.HEADERS.index(header) + 1
    return page.locator(f"tbody tr td:nth-child({index})").all_text_contents()


def test_the_baseline_is_on_top_until_a_header_is_clicked(page: Any) -> None:
    assert column(page, "point")[0] == "t6"
    assert len(column(page, "point")) == len(RUNS)


@pytest.mark.parametrize("header", ["accuracy, %", "multiply-adds", "parameters", "point"])
def test_a_click_on_a_header_sorts_and_another_turns_it_around(page: Any, header: str) -> None:
    click(page, header)
    up = column(page, "point")
    click(page, header)
    assert column(page, "point") == up[::-1]
    assert up == ["t2", "t3", "t6", "t10"]


def test_what_has_no_number_is_below_in_both_directions(page: Any) -> None:
    for _ in range(2):
        click(page, "difference")
        assert column(page, "point")[-1] == "t6"  # "baseline"


def test_figures_are_shown_and_points_tell_their_values(page: Any) -> None:
    assert page.locator("figure svg").count() == 3
    for box in [figure.bounding_box() for figure in page.locator("figure svg").all()]:
        assert box["width"] > 300
        assert box["height"] > 200
    assert page.locator("svg title", has_text="t10: 71.00").count() >= 1


def test_the_page_can_be_looked_at(page: Any, tmp_path: pathlib.Path) -> None:
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 20_000
