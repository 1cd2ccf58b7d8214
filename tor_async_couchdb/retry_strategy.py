"""Trying again after a lost race: how often, and how long to wait in between."""

import asyncio
import random as random_module
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tor_async_couchdb import request_context
from tor_async_couchdb.errors import ConflictError

T = TypeVar("T")

# Seconds to wait before a retry, from its number (1 is the first retry) and the pause before.
Pause = Callable[[int, float], float]


def immediately(retry: int, previous_pause_s: float) -> float:
    """No pause at all."""
    return 0.0


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


def _doubled(base_s: float, cap_s: float, retry: int) -> float:
    return min(cap_s, base_s * 2.0 ** min(retry - 1, 64))


class RetryStrategy:
    """Runs an attempt again while it loses its race against others for a document.

    It gives up after `max_retries` retries (None: no limit), and before a retry that could not end
    within the deadline of the request that is being handled (`request_context`).
    """

    def __init__(
        self,
        pause: Pause = immediately,
        *,
        max_retries: int | None = 20,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pause = pause
        self._max_retries = max_retries
        self._sleep = sleep
        self._now = now

    async def run(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What the first attempt that meets no conflict returns. Other errors end it at once.

        Raises:
            ConflictError: that of the last attempt, when it gives up.
        """
        context = request_context.current()
        retry, pause_s = 0, 0.0
        while True:
            started_s = self._now()
            try:
                return await attempt()
            except ConflictError:
                retry += 1
                if self._max_retries is not None and retry > self._max_retries:
                    raise
                pause_s = self._pause(retry, pause_s)
                attempt_took_s = self._now() - started_s
                if self._now() + pause_s + attempt_took_s > context.deadline_s:
                    raise
            context.retry_count += 1
            context.retry_wait_s += pause_s
            await self._sleep(pause_s)
