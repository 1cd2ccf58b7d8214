"""What the requests of a service do, as events for those that listen: sampled, bounded, off by default."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

import msgspec

from tor_async_service.listeners import Listener, Listeners

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
        self._now = now
        self._filled_at_s = now()
        self._listeners: Listeners[Event] = Listeners(max_listeners=max_listeners, max_items=max_events)
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
        self._listeners.add(event)

    def listening(self) -> AbstractContextManager[Listener[Event]]:
        """A listener for a block.

        Raises:
            TooManyListenersError: there are enough; when the block begins.
        """
        return self._listeners.joined()
