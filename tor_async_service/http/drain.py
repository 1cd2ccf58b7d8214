"""The answers that have not reached their clients yet, so that a service ends without cutting one off."""

import asyncio
import contextlib
import socket
import ssl

import tornado.web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import IOStream, StreamClosedError

# How long a client may take to close its connection after its last answer. A socket that is closed while
# unread bytes are in it resets the connection, and the client may lose the end of the answer (RFC 9112,
# section 9.6).
_LINGER_S = 2.0
_CHUNK_SIZE_BYTES = 65_536


class Drain:
    """Counts the requests whose answers are not delivered.

    Once the end is announced, a connection takes no request after the one that is being answered. When
    `started` is set, answers that have no end of their own, such as server-sent events, have to end.
    """

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self._is_announced = False
        self.reason = ""
        self._in_flight: set[tornado.web.RequestHandler] = set()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def is_draining(self) -> bool:
        """Whether the service will end: it is not ready any more, and each answer closes its connection."""
        return self._is_announced

    def announce(self, reason: str = "") -> None:
        """The service will end: it goes on answering, and its streams go on, until `wait` is called.

        The `reason` is for those who ask for its health; it has none if it was asked to end.
        """
        self.reason = reason
        self._is_announced = True

    @property
    def in_flight_count(self) -> int:
        """How many requests have arrived and are not answered, down to the last byte."""
        return len(self._in_flight)

    def begin(self, handler: tornado.web.RequestHandler) -> None:
        """A request has arrived."""
        self._in_flight.add(handler)
        self._is_idle.clear()

    def deliver(self, handler: tornado.web.RequestHandler) -> None:
        """The answer is complete. The request ends when the last byte of it is sent."""
        connection = handler.request.connection
        if not isinstance(connection, HTTP1Connection) or connection.stream.closed():
            self.end(handler)
        elif connection.stream.writing():
            sent = connection.stream.write(b"")  # done when all bytes before it are sent
            sent.add_done_callback(lambda _: self._sent(handler, connection))
        else:
            self._sent(handler, connection)

    def _sent(self, handler: tornado.web.RequestHandler, connection: HTTP1Connection) -> None:
        if not self._is_announced or connection.stream.closed():
            self.end(handler)
            return
        # Detached, because Tornado would go on with the next request that the client has already sent.
        closing = asyncio.create_task(_close_after_client(connection.detach()))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
        closing.add_done_callback(lambda _: self.end(handler))

    def end(self, handler: tornado.web.RequestHandler) -> None:
        """Nothing of the answer is left to send."""
        self._in_flight.discard(handler)
        if not self._in_flight:
            self._is_idle.set()

    async def wait(self, timeout_s: float) -> int:
        """Lets streams end, and waits until no request is in flight, no longer than `timeout_s` seconds.

        Returns how many requests are still in flight.
        """
        self.started.set()
        try:
            async with asyncio.timeout(timeout_s):
                await self._is_idle.wait()
        except TimeoutError:
            pass
        return len(self._in_flight)

    def give_up(self) -> None:
        """Ends `wait` now, whatever is in flight."""
        self._is_idle.set()


async def _close_after_client(stream: IOStream) -> None:
    """Ends the answer, and closes the connection when the client does, or after `_LINGER_S`."""
    if stream.closed():
        return
    with contextlib.suppress(OSError, StreamClosedError):  # TimeoutError is an OSError
        _end_output(stream)
        async with asyncio.timeout(_LINGER_S):
            while True:
                await stream.read_bytes(_CHUNK_SIZE_BYTES, partial=True)
    stream.close()


def _end_output(stream: IOStream) -> None:
    """Says that nothing more will be sent; with TLS by its own message, too (RFC 8446, section 6.1)."""
    if isinstance(stream.socket, ssl.SSLSocket):
        with contextlib.suppress(ssl.SSLWantReadError):  # the client has not said the same yet
            stream.socket.unwrap()
    stream.socket.shutdown(socket.SHUT_WR)
