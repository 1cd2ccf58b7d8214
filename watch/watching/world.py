"""What is known of the run now and over the last minutes, and the browsers that are told of it."""

import asyncio
import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import msgspec

from tor_async_service.http.events import event
from tor_async_service.listeners import Listener, Listeners

_MAX_MOMENTS = 240  # of half a second each
_MAX_BROWSERS = 16
_MAX_MESSAGES = 64


class World:
    """The parts of the page by their names, as JSON values, and their history.

    Parts whose names begin with an underscore, such as the databases' credentials, are not sent to pages.
    Nothing is asked of the run while no page is open: those that watch it wait for `is_watched`.
    """

    def __init__(self, *, max_browsers: int = _MAX_BROWSERS, max_messages: int = _MAX_MESSAGES) -> None:
        self.is_watched = asyncio.Event()
        self.is_unwatched = asyncio.Event()
        self._parts: dict[str, Any] = {}
        self._browsers: Listeners[bytes] = Listeners(max_listeners=max_browsers, max_items=max_messages)
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
    def watched(self) -> Iterator[Listener[bytes]]:
        """The messages for one page, the history first, during the block. A slow page misses the oldest.

        Raises:
            TooManyListenersError: there are enough.
        """
        history = b"event: history\n" + event(b"[" + b",".join(self._history) + b"]")
        try:
            with self._browsers.joined(history) as browser:
                self.is_watched.set()
                self.is_unwatched.clear()
                yield browser
        finally:
            if not self._browsers:
                self.is_watched.clear()
                self.is_unwatched.set()

    def publish(self, bars: dict[str, Any]) -> None:
        """Sends all parts, and the `bars` that have changed, to all pages, and keeps them as history."""
        shown = {name: part for name, part in self._parts.items() if not name.startswith("_")}
        moment = msgspec.json.encode({"at_s": time.time(), **shown, "bars": bars})
        self._history.append(moment)
        self._browsers.add(b"event: moment\n" + event(moment))
