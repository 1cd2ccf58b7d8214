"""A page in a browser, what it loaded, and what went wrong in it."""

import contextlib
from collections.abc import Iterator
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, expect

TIMEOUT_MS = 15_000
TALL = (1280, 6000)
"""So that all panels are on the screen: others are not drawn."""

expect.set_options(timeout=TIMEOUT_MS)


class Visit:
    """A page, what it loaded and what went wrong."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.set_default_timeout(TIMEOUT_MS)
        self.hosts: set[str] = set()
        self.errors: list[str] = []
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self._note(message.type, message.text))

    def _note(self, kind: str, text: str) -> None:
        if kind == "error":
            self.errors.append(text)


@contextlib.contextmanager
def visited(
    browser: Browser,
    url: str,
    width: int = 1280,
    height: int = 900,
    scheme: Literal["light", "dark"] = "light",
) -> Iterator[Visit]:
    """A visit of the page in a window of this size."""
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    try:
        visit = Visit(context.new_page())
        visit.page.goto(url)
        yield visit
    finally:
        context.close()
