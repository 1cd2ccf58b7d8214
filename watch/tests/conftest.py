"""Fixtures of the tests in a browser: the browser, a run, the page's service, and visits of its page."""

import contextlib
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser

from watch.tests.browser import running_browser
from watch.tests.fake_run import FakeRun
from watch.tests.visit import Visit, visited
from watch.tests.watching import watching

Open = Callable[..., Visit]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def page_run(browser: Browser) -> Iterator[FakeRun]:
    with FakeRun() as run:
        yield run


@pytest.fixture(scope="module")
def url(page_run: FakeRun, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with watching(page_run, tmp_path_factory.mktemp("watch") / "watch.log") as url:
        yield url


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Open]:
    """Opens the page in a browser window of its own; all of them are closed after the test."""
    with contextlib.ExitStack() as stack:
        yield lambda *size, **options: stack.enter_context(visited(browser, url, *size, **options))
