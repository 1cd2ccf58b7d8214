"""Ending a service without cutting off a request: no new ones, and time for those in flight."""

import asyncio

import tornado.web


class Drain:
    """The requests in flight, and whether the service is about to end."""

    def __init__(self) -> None:
        self.is_draining = False
        self._in_flight: set[tornado.web.RequestHandler] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def begin(self, handler: tornado.web.RequestHandler) -> None:
        """A request has come."""
        self._in_flight.add(handler)
        self._is_idle.clear()

    def end(self, handler: tornado.web.RequestHandler) -> None:
        """A request has been answered."""
        self._in_flight.discard(handler)
        if not self._in_flight:
            self._is_idle.set()

    async def wait(self, timeout_s: float) -> int:
        """Waits until nothing is in flight; how many requests still are after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            pass
        return len(self._in_flight)
