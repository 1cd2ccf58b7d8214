"""Server-sent events: a stream that a browser reads with an EventSource (WHATWG HTML, section 9.2)."""

import asyncio
import math
from collections.abc import Awaitable, Callable

from tornado.iostream import StreamClosedError

from tor_async_service.http.handler import ServiceHandler

_HEARTBEAT = b": heartbeat\n\n"


def message(data: bytes, *, event: str | None = None) -> bytes:
    """A message whose data are one line, for instance of JSON."""
    name = b"" if event is None else b"event: %s\n" % event.encode()
    return b"%sdata: %s\n\n" % (name, data)


class ServerSentEventsHandler(ServiceHandler):
    """A handler of a stream. It has no deadline, but a heartbeat and a timeout for each write.

    A client that does not read is cut off after `write_timeout_s`.
    """

    heartbeat_s = 5.0
    write_timeout_s = 10.0

    async def stream(self, next_messages: Callable[[], Awaitable[bytes]]) -> None:
        """Sends what `next_messages` returns, until the client is gone or the service drains."""
        self._deadline.extend(math.inf)
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-store")
        draining = asyncio.ensure_future(self.service.drain.started.wait())
        waiting = asyncio.ensure_future(next_messages())
        try:
            await self._send(_HEARTBEAT)  # so that the client knows that it is connected
            while True:
                done, _ = await asyncio.wait(
                    {waiting, draining}, timeout=self.heartbeat_s, return_when=asyncio.FIRST_COMPLETED
                )
                if draining in done:
                    return
                if waiting in done:
                    messages = waiting.result()
                    waiting = asyncio.ensure_future(next_messages())
                    await self._send(messages)
                else:
                    await self._send(_HEARTBEAT)
        except (StreamClosedError, TimeoutError):
            self.request.connection.stream.close()  # type: ignore[union-attr]  # as Tornado does it
        finally:
            draining.cancel()
            waiting.cancel()

    async def _send(self, messages: bytes) -> None:
        self.write(messages)
        async with asyncio.timeout(self.write_timeout_s):
            await self.flush()
