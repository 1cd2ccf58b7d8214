"""Server-sent events: answers without an end (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

import asyncio
import contextlib
import logging
import math
import random
from collections.abc import AsyncGenerator

from tor_async_service.http.answers import answers
from tor_async_service.http.handler import ServiceHandler

# Proxies close a connection on which nothing is sent, many of them after a minute.
_HEARTBEAT_S = 15.0
_HEARTBEAT = b":\n\n"
_WRITE_TIMEOUT_S = 10.0
# Clients whose connections were cut at one moment come back within this time, not all at once.
_RETRY_MS = 1000, 3000

_logger = logging.getLogger(__name__)


class EventStreamHandler(ServiceHandler):
    """A request handler whose GET answers with server-sent events, by `write_events`.

    An answer has no deadline. A comment every `heartbeat_s` seconds shows that it is alive, and a client that
    does not take what it is sent within `write_timeout_s` seconds is dropped. It comes back by itself.
    """

    heartbeat_s = _HEARTBEAT_S
    write_timeout_s = _WRITE_TIMEOUT_S

    @property
    def last_event_id(self) -> str | None:
        """The id of the last event that the client has; None if it has none yet."""
        return self.request.headers.get("Last-Event-ID") or None

    @answers(200, str, media_types=["text/event-stream"])
    async def write_events(self, events: AsyncGenerator[bytes, None]) -> None:
        """Sends events, each text as it comes, until there are no more, the client goes or the service ends.

        The next text is asked for when the client has taken the last one.
        """
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Accel-Buffering", "no")  # nginx would collect events
        async with contextlib.aclosing(events):
            if self.request.method == "HEAD":
                await self._send(b"")
                return
            self._deadline.at_s = math.inf
            await self._send(b"retry: %d\n\n" % random.randint(*_RETRY_MS))  # noqa: S311 - no secret
            await self._send_all(events)

    async def _send_all(self, events: AsyncGenerator[bytes, None]) -> None:
        draining = asyncio.create_task(self.service.drain.started.wait())
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while True:
                await asyncio.wait(
                    {coming, draining}, timeout=self.heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                if draining.done():
                    return
                if not coming.done():
                    await self._send(_HEARTBEAT)
                elif (text := coming.result()) is None:
                    return
                else:
                    await self._send(text)
                    coming = asyncio.ensure_future(anext(events, None))
        finally:
            draining.cancel()
            coming.cancel()
            await asyncio.wait({coming, draining})

    async def _send(self, text: bytes) -> None:
        self.write(text)
        try:
            async with asyncio.timeout(self.write_timeout_s):
                await self.flush()
        except TimeoutError:
            _logger.info("dropped a client that took no events for %g s", self.write_timeout_s)
            self.request.connection.stream.close()  # type: ignore[union-attr] # as in ServiceHandler
            self.on_connection_close()
            await asyncio.sleep(0)  # where the request is cancelled


def event(data: bytes) -> bytes:
    """An event with `data`, one line of JSON."""
    return b"data: " + data + b"\n\n"


def mark(event_id: str) -> bytes:
    """What makes `event_id` the id of the last event, without an event of its own."""
    return b"id: " + event_id.encode() + b"\n\n"
