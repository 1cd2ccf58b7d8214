"""The requests in flight, so that a service ends without cutting one off."""

import asyncio

import tornado.web


class Drain:
    """Counts the requests in flight; `is_draining` says that the service is about to end."""

    def __init__(self) -> None:
        self.is_draining = False
        self._in_flight: set[tornado.web.RequestHandler] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    def begin(self, handler: tornado.web.RequestHandler) -> None:
        """A request has arrived."""
        self._in_flight.add(handler)
        self._is_idle.clear()

    def end(self, handler: tornado.web.RequestHandler) -> None:
        """A request was answered."""
        self._in_flight.discard(handler)
        if not self._in_flight:
            self._is_idle.set()

    async def wait(self, timeout_s: float) -> int:
        """Waits until no request is in flight; returns how many still are after `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            pass
        return len(self._in_flight)
