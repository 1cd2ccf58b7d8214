"""Trying again what may succeed the next time: how often, and how long to wait in between."""

import asyncio
import math
import random as random_module
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import ConflictError, CouchDBError
from tor_async_couchdb.retries.budget import RetryBudget

T = TypeVar("T")

# Seconds to wait before a retry, from its number (1 is the first retry) and the pause before.
Pause = Callable[[int, float], float]


def immediately(retry: int, previous_pause_s: float) -> float:
    """No pause at all."""
    return 0.0


def fixed(*, pause_s: float = 0.025) -> Pause:
    """The same pause each time."""

    def pause(retry: int, previous_pause_s: float) -> float:
        return pause_s

    return pause


def exponential(*, base_s: float = 0.025, cap_s: float = 2.0) -> Pause:
    """base, 2·base, 4·base, …, never more than the cap."""

    def pause(retry: int, previous_pause_s: float) -> float:
        return _doubled(base_s, cap_s, retry)

    return pause


def full_jitter(
    *, base_s: float = 0.025, cap_s: float = 2.0, random: Callable[[], float] = random_module.random
) -> Pause:
    """Anything between nothing and the exponential pause, so that those who collided don't again.

    "Exponential Backoff And Jitter", Marc Brooker, AWS Architecture Blog, 2015.
    """

    def pause(retry: int, previous_pause_s: float) -> float:
        return random() * _doubled(base_s, cap_s, retry)

    return pause


def equal_jitter(
    *, base_s: float = 0.025, cap_s: float = 2.0, random: Callable[[], float] = random_module.random
) -> Pause:
    """Half of the exponential pause, and anything up to the other half (same source as `full_jitter`)."""

    def pause(retry: int, previous_pause_s: float) -> float:
        return (0.5 + 0.5 * random()) * _doubled(base_s, cap_s, retry)

    return pause


def decorrelated_jitter(
    *, base_s: float = 0.025, cap_s: float = 2.0, random: Callable[[], float] = random_module.random
) -> Pause:
    """Anything from the base to three times the pause before (same source as `full_jitter`)."""

    def pause(retry: int, previous_pause_s: float) -> float:
        longest_s = 3.0 * max(base_s, previous_pause_s)
        return min(cap_s, base_s + random() * (longest_s - base_s))

    return pause


def _doubled(base_s: float, cap_s: float, retry: int) -> float:
    return min(cap_s, base_s * 2.0 ** min(retry - 1, 64))


def _is_conflict(error: CouchDBError) -> bool:
    return isinstance(error, ConflictError)


class RetryStrategy:
    """Runs an attempt again when it fails in a way that `retry_if` knows: loses its race for a document.

    It gives up after `max_retries` retries (None: no limit), when the `budget` is empty, and before a retry
    that could not end within the deadline of the request that is being handled (`request_context`). It waits
    at least as long as CouchDB asked for.
    """

    def __init__(
        self,
        pause: Pause = immediately,
        *,
        max_retries: int | None = 20,
        retry_if: Callable[[CouchDBError], bool] = _is_conflict,
        budget: RetryBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause
        self._max_retries = math.inf if max_retries is None else max_retries
        self._retry_if = retry_if
        self._budget = RetryBudget(max_tokens=math.inf) if budget is None else budget
        self._sleep = sleep
        self._now = now

    async def run(self, attempt: Callable[[], Awaitable[T]], *, deadline_s: float = math.inf) -> T:
        """What the first attempt that succeeds returns; `deadline_s` may be sooner than the request's.

        Raises:
            CouchDBError: that of the last attempt, when it gives up or `retry_if` does not know it.
        """
        context = deadline.current()
        retry, pause_s = 0, 0.0
        while True:
            started_s = self._now()
            try:
                result = await attempt()
            except CouchDBError as error:
                retry += 1
                if not self._retry_if(error) or retry > self._max_retries or self._budget.is_empty:
                    raise
                pause_s = max(self._pause(retry, pause_s), error.retry_after_s)
                attempt_took_s = self._now() - started_s
                if self._now() + pause_s + attempt_took_s > min(deadline_s, context.deadline_s):
                    raise
            else:
                self._budget.earn()
                return result
            self._budget.spend()
            context.retry_count += 1
            context.retry_wait_s += pause_s
            await self._sleep(pause_s)
