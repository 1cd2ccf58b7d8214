"""How long the request that is being handled may still take.

The deadline travels in a context variable, so that no signature carries it. The chassis enters it when a
request arrives; everything that waits for the network reads it.
"""

import asyncio
import contextlib
import dataclasses
import math
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextvars import ContextVar
from typing import TypeVar

from tor_async_couchdb.errors import ConnectError

T = TypeVar("T")


@dataclasses.dataclass(slots=True)
class Deadline:
    """`at_s` is a moment on the clock of `time.monotonic`; math.inf means that there is no deadline."""

    at_s: float = math.inf

    def remaining_s(self) -> float:
        """Seconds until the deadline; negative once it has passed."""
        return self.at_s - time.monotonic()

    def extend(self, timeout_s: float) -> None:
        """Moves the deadline to `timeout_s` seconds from now."""
        self.at_s = time.monotonic() + timeout_s


_current: ContextVar[Deadline | None] = ContextVar("deadline", default=None)


def current() -> Deadline:
    """The deadline of the request that is being handled; outside of a request one that never comes."""
    return _current.get() or Deadline()


def enter(timeout_s: float) -> Deadline:
    """Sets a deadline in `timeout_s` seconds, for as long as the current task runs."""
    deadline = Deadline(time.monotonic() + timeout_s)
    _current.set(deadline)
    return deadline


@contextlib.contextmanager
def within(timeout_s: float = math.inf) -> Iterator[Deadline]:
    """Sets a deadline in `timeout_s` seconds for the block."""
    token = _current.set(Deadline(time.monotonic() + timeout_s))
    try:
        yield current()
    finally:
        _current.reset(token)


async def met(awaitable: Awaitable[T]) -> T:
    """What the awaitable gives; it is cancelled at the deadline.

    Raises:
        TimeoutError: the deadline came first.
    """
    remaining_s = current().remaining_s()
    async with asyncio.timeout(None if remaining_s == math.inf else remaining_s):
        return await awaitable


@contextlib.asynccontextmanager
async def acquired_before(
    deadline_s: float, lock: asyncio.Lock | asyncio.Semaphore, complaint: str
) -> AsyncIterator[None]:
    """Holds the lock while the block runs. `deadline_s` is on the clock of `time.monotonic`.

    Raises:
        ConnectError: the lock was not free before the deadline; the message is `complaint`.
    """
    try:
        async with asyncio.timeout(None if deadline_s == math.inf else deadline_s - time.monotonic()):
            await lock.acquire()
    except TimeoutError as error:
        raise ConnectError(complaint) from error
    try:
        yield
    finally:
        lock.release()
