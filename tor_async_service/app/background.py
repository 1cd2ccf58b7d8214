"""Work that runs beside the requests, for as long as the service does."""

import asyncio
import logging

from tor_async_service.app.application import BackgroundWork
from tor_async_service.app.shutdown import Shutdown

_logger = logging.getLogger(__name__)


class BackgroundWorkError(Exception):
    """Background work has returned, although it should go on until it is cancelled."""


class Background:
    """Runs background work. If some ends before the service does, the service ends, too.

    A service that goes on without it looks well and is not, and whoever supervises the process starts it
    again. The log says why at once; `/readyz` and `/_health` name the work until the process ends.
    """

    def __init__(self, shutdown: Shutdown) -> None:
        self._shutdown = shutdown
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, work: BackgroundWork) -> None:
        """Runs the work until `end` cancels it."""
        self._tasks.append(asyncio.create_task(self._watched(work)))

    async def end(self) -> None:
        """Cancels all work, and raises the first error that any has ended with."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for outcome in outcomes:
            if outcome is not None and not isinstance(outcome, asyncio.CancelledError):
                raise outcome

    async def _watched(self, work: BackgroundWork) -> None:
        name = getattr(getattr(work, "func", work), "__qualname__", repr(work))  # `func`: that of a partial
        try:
            await work()
        except Exception as error:
            self._has_ended(name, f"failed: {error!r}")
            raise
        self._has_ended(name, "returned")
        raise BackgroundWorkError(f"{name} returned")

    def _has_ended(self, name: str, how: str) -> None:
        _logger.error("the service ends, as its background work %s %s", name, how)
        self._shutdown.begin(f"its background work {name} has ended")
