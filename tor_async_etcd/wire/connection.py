"""One HTTP/1.1 connection to etcd's JSON gateway, on asyncio alone.

The gateway needs little of HTTP: POST, a status, and a body of known length or in chunks (RFC 9112). A client
for just that takes less than half the processor time of a general one.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from typing import NamedTuple

from tor_async_etcd.errors import TransportError

HIGH_WATER_BYTES = 1 << 20  # with so much unread, the socket is not read any more


class Reply(NamedTuple):
    """An answer's HTTP status and body."""

    status: int
    body: bytes


class Connection(asyncio.BufferedProtocol):
    """One connection, for one exchange at a time.

    It reads into `buffer`, which all connections of an event loop share. To allocate a buffer for each read,
    as asyncio.Protocol does, takes longer than the read.
    """

    def __init__(self, url: str, buffer: memoryview) -> None:
        self.closed = False
        self.reusable = False
        self._url = url
        self._buffer = buffer
        self._received = bytearray()
        self._kept_alive = True
        self._socket: asyncio.Transport
        self._loop: asyncio.AbstractEventLoop
        self._poll = select.poll()
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep asyncio's transport."""
        self._loop = asyncio.get_running_loop()
        self._socket = transport  # type: ignore[assignment]  # asyncio gives stream protocols a Transport
        if (socket := transport.get_extra_info("socket")) is not None:
            self._poll.register(socket, select.POLLIN)

    def connection_lost(self, error: Exception | None) -> None:
        """Wake up the waiting reader, which then raises TransportError."""
        self.closed = True
        self._wake()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the buffer to read into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Keep what was read, and stop reading if too much is unread."""
        self._received += self._buffer[:nbytes]
        if len(self._received) > HIGH_WATER_BYTES:
            self._socket.pause_reading()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _more(self) -> asyncio.Future[None]:
        if self.closed:
            raise TransportError(f"{self._url} closed the connection before its answer was complete")
        self._waiter = self._loop.create_future()
        self._socket.resume_reading()
        return self._waiter

    def is_usable(self) -> bool:
        """Return whether a request can be sent, even if the event loop has not noticed yet that it can't."""
        return not self.closed and not self._poll.poll(0)

    def close(self) -> None:
        """Close the connection at once; etcd ends its request."""
        self._socket.abort()

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and return its whole answer."""
        status, length = await self.begin(request)
        if length is None:
            body = b""
            while chunk := await self.chunk():
                body += chunk
        else:
            body = await self.body(length)
        self.reusable = self._kept_alive and not self._received
        return Reply(status, body)

    async def begin(self, request: bytes) -> tuple[int, int | None]:
        """Send a request. Return its answer's status, and its body's length, None if it is in chunks."""
        self.reusable = False
        self._socket.write(request)
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            await self._more()
        head = bytes(self._received[: end + 2]).lower()
        del self._received[: end + 4]
        self._kept_alive = _header(head, b"\r\nconnection:") != b"close"
        try:
            status = int(head.split(b" ", 2)[1])
            chunked = _header(head, b"\r\ntransfer-encoding:") == b"chunked"
            return status, None if chunked else int(_header(head, b"\r\ncontent-length:"))
        except (IndexError, ValueError) as error:
            first = head.partition(b"\r\n")[0].decode("latin-1")
            raise TransportError(f"{self._url} does not answer as an etcd does: {first!r}") from error

    async def body(self, length: int) -> bytes:
        """Return a body of known length."""
        while len(self._received) < length:
            await self._more()
        body = bytes(self._received[:length])
        del self._received[:length]
        return body

    async def chunk(self) -> bytes:
        """Return the body's next chunk, b"" at its end. A wait that is cancelled loses nothing."""
        while True:
            if (start := self._received.find(b"\r\n") + 2) >= 2:
                try:
                    end = start + int(self._received[: start - 2], 16)
                except ValueError as error:
                    raise TransportError(f"{self._url} sent a broken chunk") from error
                if len(self._received) >= end + 2:
                    chunk = bytes(self._received[start:end])
                    del self._received[: end + 2]
                    return chunk
            await self._more()


def _header(head: bytes, name: bytes) -> bytes:
    """Return the value of a header, b"" if it is missing. `name` is in lower case, between CRLF and colon."""
    start = head.find(name) + len(name)
    return b"" if start < len(name) else head[start : head.index(b"\r\n", start)].strip()


class LineStream:
    """The lines of a chunked answer; a line may span chunks, a chunk may hold several lines."""

    def __init__(self, connection: Connection, status: int, whole: bytes | None) -> None:
        """Take a connection whose answer has begun; `whole` is all of an answer that is not in chunks."""
        self.status = status
        self._connection = connection
        self._ended = whole is not None
        self._lines: deque[bytes] = deque([] if whole is None else [whole])
        self._pieces: list[bytes] = []

    async def line(self) -> bytes:
        """Return the next line. A cancelled wait loses nothing. Raises TransportError at the end."""
        while not self._lines:
            chunk = b"" if self._ended else await self._connection.chunk()
            if not chunk:
                self._ended = True
                last, self._pieces = b"".join(self._pieces), []
                if not last:
                    raise TransportError("etcd ended the stream")
                return last  # etcd before 3.6 ends the line of an error with the stream
            first, *others = chunk.split(b"\n")
            self._pieces.append(first)
            for other in others:
                self._lines.append(b"".join(self._pieces))
                self._pieces = [other]
        return self._lines.popleft()

    def close(self) -> None:
        """Close the connection, which ends the request in etcd too."""
        self._connection.close()
