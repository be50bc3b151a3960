"""The page, opened in a real browser."""

import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mobilenet_v2.serving.demo.server import HOST, MOST_BYTES
from tests import browser
from tests.serving import demonstrated

pytestmark = browser.MARKS

PIXELS = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    path = demonstrated.weights(tmp_path_factory.mktemp("demo"))
    # The browser itself notes an answer that is an error.
    refused = r"status of 422"
    with demonstrated.served(path) as server, browser.opened(f"http://{HOST}:{server.port}/", refused) as page:
        yield page


def picture(folder: pathlib.Path) -> pathlib.Path:
    Image.fromarray(PIXELS).save(folder / "noise.png")
    return folder / "noise.png"


def choose(page: Any, chosen: Any) -> None:
    page.locator("#file").set_input_files(chosen)


def test_the_cost_of_every_block_is_there_before_any_picture(page: Any) -> None:
    page.locator("#blocks tr").first.wait_for()
    assert page.locator("#blocks tr td:first-child").all_text_contents() == [
        "stem", "block_00", "block_01", "block_02", "head", "classifier"
    ]  # fmt: skip
    assert page.locator("#name").text_content() == "a <small> network"
    assert page.locator("#totals td").first.text_content() == "total"


def test_a_picture_s_classes_and_activations_are_shown(page: Any, tmp_path: pathlib.Path) -> None:
    choose(page, picture(tmp_path))
    page.locator("#classes li").first.wait_for()
    assert sorted(page.locator("#classes li span:first-child").all_text_contents()) == sorted(demonstrated.CLASSES)
    percents = [float(text.split()[0]) for text in page.locator("#classes .percent").all_text_contents()]
    assert percents == sorted(percents, reverse=True)
    assert sum(percents) == pytest.approx(100, abs=0.3)
    widths = [box.bounding_box()["width"] for box in page.locator("#classes .bar div").all()]
    assert widths == sorted(widths, reverse=True)
    assert page.locator(".mean img").count() == 5
    assert page.locator(".channels img").count() == 5 * 6
    assert page.locator("img").evaluate_all("images => images.every(image => image.naturalWidth > 0)")
    page.screenshot(path=tmp_path / "page.png", full_page=True)
    assert (tmp_path / "page.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    "name, content, says",
    [
        (
            "document.jpg",
            b"%PDF-1.4 not a picture",
            "document.jpg can't be looked at: can't decode an image of 22 bytes that begins with b'%PDF-1.4'",
        ),
        ("nothing.png", b"", "nothing.png can't be looked at: the file is empty"),
        ("huge.png", bytes(MOST_BYTES + 1), "huge.png can't be looked at: the file has 20,000,001 bytes"),
    ],
)
def test_what_is_no_picture_is_told_and_takes_the_last_answer_away(
    name: str, content: bytes, says: str, page: Any, tmp_path: pathlib.Path
) -> None:
    choose(page, picture(tmp_path))
    page.locator("#result").wait_for()
    (tmp_path / name).write_bytes(content)
    choose(page, tmp_path / name)
    page.locator("#error").wait_for()
    assert says in page.locator("#error").text_content()
    assert page.locator("#result").is_hidden()
    assert page.locator(".mean img").count() == 0
    choose(page, picture(tmp_path))
    page.locator("#result").wait_for()
    assert page.locator("#error").is_hidden()


def test_a_picture_may_be_dropped(page: Any) -> None:
    page.evaluate(
        """async () => {
          const pixels = Object.assign(document.createElement("canvas"), {width: 40, height: 30});
          const blob = await new Promise(done => pixels.toBlob(done));
          const transfer = new DataTransfer();
          transfer.items.add(new File([blob], "dropped.png"));
          document.getElementById("drop").dispatchEvent(
            new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
        }"""
    )
    page.locator("#status", has_text="dropped.png in").wait_for()
