"""Runs health checks: all at the same time, each within a time limit, and not for every request."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from tor_async_couchdb import errors
from tor_async_service.http.service import HealthCheck

# More than Kubernetes waits by default: a probe's timeoutSeconds should be larger than this.
CHECK_TIMEOUT_S = 2.0
_FRESH_S = 1.0

_REASONS: tuple[tuple[type[BaseException], str], ...] = (
    (errors.NotFoundError, "database gone"),
    (errors.UnauthorizedError, "credentials refused"),
    (errors.ForbiddenError, "credentials refused"),
    (errors.TransportError, "unreachable"),
    (errors.NoMajorityError, "most nodes of the cluster are down, so no write can be acknowledged"),
    (errors.CouchDBError, "not working"),
    (TimeoutError, "too slow"),
)

_logger = logging.getLogger(__name__)


class UnhealthyError(Exception):
    """A check of a service's own failed; `/_health` and `/readyz` show the text as the reason."""


async def failures(checks: Mapping[str, HealthCheck], timeout_s: float) -> dict[str, str]:
    """The reasons of the checks that fail or take longer than `timeout_s` seconds, by their names."""
    results = await asyncio.gather(
        *(_in_time(check, timeout_s) for check in checks.values()), return_exceptions=True
    )
    return {
        name: _reason(name, error)
        for name, error in zip(checks, results, strict=True)
        if isinstance(error, BaseException)
    }


async def _in_time(check: HealthCheck, timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        await check()


def _reason(name: str, error: BaseException) -> str:
    if isinstance(error, UnhealthyError):
        return str(error)
    for error_class, reason in _REASONS:
        if isinstance(error, error_class):
            return reason
    _logger.error("check %s has an error of its own", name, exc_info=error)
    return "the check failed"


class CachedChecks:
    """Health checks that run at most once a second, however many ask.

    They go on if the request that asks is cancelled.
    """

    def __init__(
        self,
        checks: Mapping[str, HealthCheck],
        *,
        timeout_s: float = CHECK_TIMEOUT_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._checks = checks
        self._timeout_s = timeout_s
        self._clock = clock
        self._run: asyncio.Task[dict[str, str]] | None = None
        self._fresh_until_s = 0.0

    async def failures(self) -> Mapping[str, str]:
        """The reasons of the checks that fail by their names, at most a second old."""
        if self._run is None or (self._run.done() and self._clock() >= self._fresh_until_s):
            self._run = asyncio.create_task(self._run_all())
        return await asyncio.shield(self._run)

    async def _run_all(self) -> dict[str, str]:
        failed = await failures(self._checks, self._timeout_s)
        self._fresh_until_s = self._clock() + _FRESH_S
        return failed
