"""What one request of a service has met so far, and how long it may still take.

It travels in a context variable, so that no signature carries it: whoever handles a request
(the chassis) opens it, the library reads the deadline and counts conflicts and waits.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from contextvars import ContextVar


@dataclasses.dataclass(slots=True)
class RequestContext:
    """`deadline_s` is on the clock of `time.monotonic`; math.inf means that there is none."""

    deadline_s: float = math.inf
    conflict_count: int = 0
    retry_count: int = 0
    retry_wait_s: float = 0.0
    tampered_count: int = 0  # documents that lists went without

    def remaining_s(self) -> float:
        """Seconds until the deadline; negative once it has passed."""
        return self.deadline_s - time.monotonic()

    def extend(self, timeout_s: float) -> None:
        """Moves the deadline to `timeout_s` seconds from now."""
        self.deadline_s = time.monotonic() + timeout_s


_current: ContextVar[RequestContext | None] = ContextVar("request_context", default=None)


def current() -> RequestContext:
    """The context of the request that is being handled, or an unbounded one that nobody reads."""
    return _current.get() or RequestContext()


def enter(timeout_s: float) -> RequestContext:
    """Opens a context, for as long as the current task runs, that ends in `timeout_s` seconds."""
    context = RequestContext(deadline_s=time.monotonic() + timeout_s)
    _current.set(context)
    return context


@contextlib.contextmanager
def request(timeout_s: float = math.inf) -> Iterator[RequestContext]:
    """Opens a context that ends in `timeout_s` seconds, and with the block."""
    token = _current.set(RequestContext(deadline_s=time.monotonic() + timeout_s))
    try:
        yield current()
    finally:
        _current.reset(token)
