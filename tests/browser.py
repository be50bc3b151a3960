"""A real browser, for pages: `make test-browser` installs one; without it these tests skip."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MARKS = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium; make test-browser installs it"),
]


@contextlib.contextmanager
def opened(address: str, allowed: str = "(?!)") -> Iterator[Any]:
    """The page in a browser, which must complain of nothing, and ask no other host.

    Args:
      allowed: complaints that are expected, a regular expression.
    """
    api = pytest.importorskip("playwright.sync_api")
    complaints: list[str] = []

    def ask(url: str) -> None:
        if url.startswith("http") and not url.startswith(address):
            complaints.append(url)

    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 1000})
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: ask(request.url))
        page.goto(address)
        yield page
        browser.close()
    assert [text for text in complaints if not re.search(allowed, text)] == []
