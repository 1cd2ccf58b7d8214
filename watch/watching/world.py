"""What is known of the run now and over the last minutes, and the browsers that are told of it."""

import asyncio
import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from tor_async_service.http.events import event

_MAX_MOMENTS = 240  # of half a second each
_MAX_BROWSERS = 16
_MAX_MESSAGES = 64


class TooManyBrowsersError(Exception):
    """So many pages are open that another one would cost too much."""


class Browser:
    """The messages that one page has not been sent yet. One that is too slow misses the oldest."""

    def __init__(self, first: bytes, max_messages: int) -> None:
        self._messages: collections.deque[bytes] = collections.deque([first], maxlen=max_messages)
        self._has_messages = asyncio.Event()
        self._has_messages.set()

    def add(self, text: bytes) -> None:
        """Adds a message."""
        self._messages.append(text)
        self._has_messages.set()

    async def take(self) -> bytes:
        """All messages that wait; at least one."""
        await self._has_messages.wait()
        self._has_messages.clear()
        messages = b"".join(self._messages)
        self._messages.clear()
        return messages


class World:
    """The parts of the page by their names, as JSON values, and their history.

    Parts whose names begin with an underscore, such as the databases' credentials, are not sent to pages.
    Nothing is asked of the run while no page is open: those that watch it wait for `is_watched`.
    """

    def __init__(self, *, max_browsers: int = _MAX_BROWSERS, max_messages: int = _MAX_MESSAGES) -> None:
        self._max_browsers = max_browsers
        self._max_messages = max_messages
        self.is_watched = asyncio.Event()
        self.is_unwatched = asyncio.Event()
        self._parts: dict[str, Any] = {}
        self._browsers: set[Browser] = set()
        self._history: collections.deque[bytes] = collections.deque(maxlen=_MAX_MOMENTS)

    @property
    def browser_count(self) -> int:
        """How many pages are open."""
        return len(self._browsers)

    def get(self, name: str) -> Any:
        """A part as it was set last; None if it was not."""
        return self._parts.get(name)

    def set(self, name: str, value: Any) -> None:
        """Sets a part."""
        self._parts[name] = value

    @contextlib.contextmanager
    def watched(self) -> Iterator[Browser]:
        """A browser for the block; its first message is the history.

        Raises:
            TooManyBrowsersError: there are enough.
        """
        if len(self._browsers) >= self._max_browsers:
            raise TooManyBrowsersError
        history = b"event: history\n" + event(b"[" + b",".join(self._history) + b"]")
        browser = Browser(history, self._max_messages)
        self._browsers.add(browser)
        self.is_watched.set()
        self.is_unwatched.clear()
        try:
            yield browser
        finally:
            self._browsers.discard(browser)
            if not self._browsers:
                self.is_watched.clear()
                self.is_unwatched.set()

    def publish(self, bars: dict[str, Any]) -> None:
        """Sends all parts, and the `bars` that have changed, to all pages, and keeps them as history."""
        shown = {name: part for name, part in self._parts.items() if not name.startswith("_")}
        moment = msgspec.json.encode({"at_s": time.time(), **shown, "bars": bars})
        self._history.append(moment)
        text = b"event: moment\n" + event(moment)
        for browser in self._browsers:
            browser.add(text)
