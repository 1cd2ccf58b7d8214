"""Debian's Chromium, driven by Playwright; the tests that need it are skipped where there is none."""

import contextlib
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from watch import packages

_NAMES = ("chromium", "chromium-browser", "google-chrome")
AXE = packages.TESTS_FOLDER / "node_modules" / "axe-core" / "axe.min.js"


def chromium() -> str:
    """The path of a Chromium; without one the test is skipped."""
    found = next((path for path in map(shutil.which, _NAMES) if path is not None), None)
    if found is None:
        pytest.skip("there is no Chromium on this machine (Debian: apt-get install chromium)")
    return found


@contextlib.contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser without a window."""
    path = chromium()
    packages.install_packages()
    with sync_playwright() as playwright:
        # The sandbox needs rights that containers do not give; the browser loads nothing but our page.
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()
