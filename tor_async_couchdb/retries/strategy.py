"""Retries: which attempts are repeated, how often, and within which limits."""

import asyncio
import functools
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar, cast

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import MAX_RETRY_AFTER_S, ConflictError, CouchDBError
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.retries.pauses import Pause, immediately

T = TypeVar("T")
P = ParamSpec("P")


def _is_conflict(error: CouchDBError) -> bool:
    return isinstance(error, ConflictError)


class RetryStrategy:
    """Repeats an attempt that fails with an error for which `retry_if` is true; by default a ConflictError.

    It gives up after `max_retries` retries (None: no limit), when the `budget` is empty, and before a retry
    that could not end within the deadline. It waits at least as long as CouchDB asks for.
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

    async def run(
        self,
        attempt: Callable[[], Awaitable[T]],
        *,
        deadline_s: float = math.inf,
        observer: Observer | None = None,
    ) -> T:
        """The result of the first attempt that succeeds.

        `deadline_s`, on the clock of `time.monotonic`, may be earlier than the request's own deadline. The
        `observer` learns of each retry.

        Raises:
            CouchDBError: the error of the last attempt, when the strategy gives up or does not retry it.
        """
        limit = deadline.current()
        retry, pause_s = 0, 0.0
        while True:
            started_s = self._now()
            try:
                result = await attempt()
            except CouchDBError as error:
                retry += 1
                if not self._retry_if(error) or retry > self._max_retries or self._budget.is_empty:
                    raise
                pause_s = max(self._pause(retry, pause_s), min(error.retry_after_s, MAX_RETRY_AFTER_S))
                attempt_took_s = self._now() - started_s
                # The limit is read now, because it may have been moved meanwhile.
                if self._now() + pause_s + attempt_took_s > min(deadline_s, limit.at_s):
                    raise
            else:
                self._budget.earn()
                return result
            self._budget.spend()
            if observer is not None:
                observer.retried(pause_s)
            await self._sleep(pause_s)


class _Observed(Protocol):
    @property
    def observer(self) -> Observer: ...


class _Action(Protocol):
    @property
    def database(self) -> _Observed: ...


A = TypeVar("A", bound=_Action)


def retry(
    pause: Pause = immediately, *, max_retries: int | None = 20
) -> Callable[
    [Callable[Concatenate[A, P], Awaitable[T]]], Callable[Concatenate[A, P], Coroutine[Any, Any, T]]
]:
    """Repeats an action's method when it raises ConflictError, as `RetryStrategy` does.

    The action needs a `database`, whose observer learns of each retry. Tests that need another pause replace
    the attribute `strategy` of the decorated function.
    """

    def decorate(
        method: Callable[Concatenate[A, P], Awaitable[T]],
    ) -> Callable[Concatenate[A, P], Coroutine[Any, Any, T]]:
        @functools.wraps(method)
        async def wrapper(action: A, /, *arguments: P.args, **options: P.kwargs) -> T:
            strategy: RetryStrategy = wrapper.strategy  # type: ignore[attr-defined]
            return await strategy.run(
                lambda: method(action, *arguments, **options), observer=action.database.observer
            )

        wrapper.strategy = RetryStrategy(pause, max_retries=max_retries)  # type: ignore[attr-defined]
        return cast("Callable[Concatenate[A, P], Coroutine[Any, Any, T]]", wrapper)

    return decorate
