"""What the requests of a service do, as events for those that listen: sampled, bounded, off by default."""

import asyncio
import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Literal

import msgspec

_MAX_REQUESTS_PER_S = 60.0
_MAX_LISTENERS = 8
_MAX_EVENTS_WAITING = 4096

What = Literal["begin", "read", "write", "conflict", "wait", "tampered", "merged", "end"]


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step of a request. `request` is its number in this process, `at_s` the Unix time in seconds.

    "begin" has `method` and `path`. "read", "write" and "conflict" (a write that lost a race) come at their
    end, with `duration_s`. "wait" comes before the pause of `duration_s` that a retry makes. "end" has the
    `status` and the duration of the whole request. `attempt` counts from 1.
    """

    request: int
    at_s: float
    what: What
    attempt: int = 1
    method: str = ""
    path: str = ""
    document_id: str | None = None
    duration_s: float = 0.0
    status: int = 0


class TooManyListenersError(Exception):
    """So many listen already that another one would cost the service too much."""


class Listener:
    """The events that one listener has not taken yet; the oldest are dropped when there are too many."""

    def __init__(self, max_events: int) -> None:
        self._events: collections.deque[Event] = collections.deque(maxlen=max_events)
        self._has_events = asyncio.Event()
        self.dropped_count = 0

    def add(self, event: Event) -> None:
        """Adds an event."""
        self.dropped_count += len(self._events) == self._events.maxlen
        self._events.append(event)
        self._has_events.set()

    async def take(self) -> list[Event]:
        """All events that wait; at least one."""
        await self._has_events.wait()
        self._has_events.clear()
        events = [*self._events]
        self._events.clear()
        return events


class EventLog:
    """Hands the events of requests to listeners. While nobody listens, no request is followed.

    At most `max_requests_per_s` requests a second are followed, each from its begin to its end.
    """

    def __init__(
        self,
        *,
        max_requests_per_s: float = _MAX_REQUESTS_PER_S,
        max_listeners: int = _MAX_LISTENERS,
        max_events: int = _MAX_EVENTS_WAITING,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_requests_per_s = self._tokens = max_requests_per_s
        self._max_listeners = max_listeners
        self._max_events = max_events
        self._now = now
        self._filled_at_s = now()
        self._listeners: set[Listener] = set()
        self._count = 0

    @property
    def listener_count(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def next_request(self) -> int | None:
        """The number of a request that is followed; None if the next one is not."""
        if not self._listeners:
            return None
        now_s = self._now()
        self._tokens += (now_s - self._filled_at_s) * self._max_requests_per_s
        self._tokens = min(self._tokens, self._max_requests_per_s)
        self._filled_at_s = now_s
        if self._tokens < 1.0:
            return None
        self._tokens -= 1.0
        self._count += 1
        return self._count

    def add(self, event: Event) -> None:
        """Hands an event to all that listen."""
        for listener in self._listeners:
            listener.add(event)

    @contextlib.contextmanager
    def listening(self) -> Iterator[Listener]:
        """A listener for the block.

        Raises:
            TooManyListenersError: there are enough.
        """
        if len(self._listeners) >= self._max_listeners:
            raise TooManyListenersError
        listener = Listener(self._max_events)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
