"""A Chromium without a window, for what watching costs."""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, sync_playwright

from suite.errors import SuiteError

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """The browser, until the block ends.

    Raises:
        SuiteError: there is none on this machine.
    """
    path = next((path for path in map(shutil.which, _NAMES) if path is not None), None)
    if path is None:
        raise SuiteError("The page needs a Chromium: install it (Debian: apt install chromium).")
    with sync_playwright() as playwright:
        # The sandbox needs rights that containers do not give; the browser loads nothing but our page.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
