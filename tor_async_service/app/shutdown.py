"""How a service ends: what the signals ask for, and in which order its parts stop."""

import asyncio
import contextlib
import dataclasses
import logging
import signal
import time

from tor_async_service.app.server import Server
from tor_async_service.http.drain import Drain

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT)

_logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, slots=True)
class ShutdownTimes:
    """For `delay_s` seconds load balancers can learn that the service ends, before it stops to listen.

    After that, requests in flight get `drain_timeout_s` seconds until the last byte of their answers is sent.
    """

    delay_s: float = 0.0
    drain_timeout_s: float = 10.0


class Shutdown:
    """The end of a service, which signals ask for.

    SIGTERM comes from a supervisor: nothing that was begun is cut off, however often it comes. The second one
    only ends the delay. SIGINT comes from a person at a terminal: there is no delay, and the second one cuts
    off what is in flight.
    """

    def __init__(self, drain: Drain, times: ShutdownTimes) -> None:
        self._drain = drain
        self._times = times
        self._is_wanted = asyncio.Event()
        self._is_urgent = asyncio.Event()
        self._was_interrupted = False
        self._reason = ""

    async def wanted(self) -> None:
        """Returns once the service shall end."""
        await self._is_wanted.wait()

    def receive(self, number: signal.Signals) -> None:
        """One of `ENDING_SIGNALS` has come."""
        if number == signal.SIGINT:
            if self._was_interrupted:
                self._drain.give_up()
            self._was_interrupted = True
            self._is_urgent.set()
        elif self._is_wanted.is_set():
            self._is_urgent.set()
        self._is_wanted.set()

    def begin(self, reason: str) -> None:
        """The service shall end, as after the first SIGTERM; health checks show the reason."""
        self._reason = self._reason or reason
        self._is_wanted.set()

    async def run(self, server: Server) -> None:
        """Ends the service: after the delay the server stops to listen, and then the drain waits."""
        self._drain.announce(self._reason)
        await self._let_others_know()
        server.stop()
        _logger.info("Shutting down ...")
        started_s = time.monotonic()
        cut_off = await self._drain.wait(self._times.drain_timeout_s)
        server.close_now()
        if cut_off:
            _logger.warning(
                "%d requests were still in flight after %.1f s", cut_off, time.monotonic() - started_s
            )
        await server.close_all_connections()

    async def _let_others_know(self) -> None:
        if self._is_urgent.is_set() or not self._times.delay_s:
            return
        _logger.info("not ready any more; accepting connections for another %g s", self._times.delay_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._times.delay_s):
                await self._is_urgent.wait()
