"""The page, opened in a real browser."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

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


def index_of(page: Any, header: str) -> int:
    headers = [text.replace("\N{NO-BREAK SPACE}", " ") for text in page.locator("th button").all_text_contents()]
    return headers.index(header)


def click(page: Any, header: str) -> None:
    page.locator("th button").nth(index_of(page, header)).click()


def column(page: Any, header: str) -> list[str]:
    return page.locator(f"tbody tr td:nth-child({index_of(page, header) + 1})").all_text_contents()


def test_the_baseline_is_on_top_until_a_header_is_clicked(page: Any) -> None:
    assert column(page, "point")[0] == "t6"
    assert sorted(column(page, "point")) == sorted(RUNS)  # of the others nothing was begun


@pytest.mark.parametrize("header", ["test accuracy, %", "multiply-adds", "parameters", "point"])
def test_a_click_on_a_header_sorts_and_another_turns_it_around(page: Any, header: str) -> None:
    click(page, header)
    up = [name for name in column(page, "point") if name in RUNS]
    click(page, header)
    assert [name for name in column(page, "point") if name in RUNS] == up[::-1]
    assert up == ["t2", "t3", "t6", "t10"]


@pytest.mark.parametrize("header", ["difference, points", "bootstrap 95 %", "validation loss, nats"])
def test_what_has_no_number_is_below_in_both_directions(page: Any, header: str) -> None:
    scored = ["t10", "t2", "t3"] + (["t6"] if "loss" in header else [])  # else it is "baseline"
    for _ in range(2):
        click(page, header)
        assert sorted(column(page, "point")[: len(scored)]) == scored


def test_figures_are_shown(page: Any) -> None:
    assert page.locator("figure svg").count() == 3
    for box in [figure.bounding_box() for figure in page.locator("figure svg").all()]:
        assert box["width"] > 300
        assert box["height"] > 200


@pytest.mark.parametrize(
    "shape, says",
    [
        ("#accuracy #point-t10", "t10: 71.00 ± 0.58 % (n = 3), 10,000,000 multiply-adds"),
        ("#accuracy_by_multiply_adds #point-t6", "t6: 61.00 ± 0.58 % (n = 3), 6,000,000 multiply-adds"),
    ],
)
def test_a_point_tells_its_value_while_the_pointer_is_on_it(page: Any, shape: str, says: str) -> None:
    tip = page.locator("#tip")
    assert tip.is_hidden()
    page.locator(shape).locator("use").hover()
    assert tip.inner_text() == says
    page.mouse.move(0, 0)
    assert tip.is_hidden()


def test_a_curve_tells_its_name_while_the_pointer_is_on_it(page: Any) -> None:
    path = page.locator("#learning_curves #curve-equal-width-t3 path")
    path.scroll_into_view_if_needed()
    page.evaluate("element => element.scrollIntoView({block: 'center'})", path.element_handle())
    x, y = path.evaluate(
        "path => { const p = path.getPointAtLength(path.getTotalLength() / 4).matrixTransform(path.getScreenCTM());"
        " return [p.x, p.y]; }"
    )
    page.mouse.move(x, y)
    assert page.locator("#tip").inner_text() == "t3: 50.00 % after step 300 (n = 3)"


def test_the_table_is_whole_on_a_screen_and_on_paper(page: Any, tmp_path: pathlib.Path) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 1030, "height": 1000})  # A4 across, less its margins, in CSS pixels
    wide = page.evaluate("document.querySelector('table').scrollWidth")
    page.emulate_media(media="screen")
    page.set_viewport_size({"width": 1200, "height": 1000})
    assert wide <= 1030


def test_the_page_can_be_looked_at(page: Any, tmp_path: pathlib.Path) -> None:
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 20_000
