"""How requests reach an endpoint: the interface of a transport, and the one that uses HTTP."""

from __future__ import annotations

import asyncio
import weakref
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from tor_async_etcd.errors import NotSentError, TransportError
from tor_async_etcd.wire.connection import Connection, LineStream, Reply

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

MAX_CONNECTIONS = 64
CONNECT_TIMEOUT_S = 2.0
BUFFER_BYTES = 1 << 16


class Stream(Protocol):
    """An answer that goes on: an HTTP status, then lines of JSON."""

    status: int

    async def line(self) -> bytes:
        """Return the next line. A cancelled wait loses nothing. Raises TransportError at the end."""

    def close(self) -> None:
        """Close the connection, which ends the request in etcd too."""


class Transport(Protocol):
    """How requests reach one endpoint. It raises TransportError, and no other error of this package."""

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """Return the answer. Raises NotSentError if the request was not sent."""

    async def open(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Stream:
        """Return an answer that goes on, once it has begun. Raises NotSentError as `post` does."""

    async def close(self) -> None:
        """Close all connections, also those in use."""


class Endpoint(NamedTuple):
    """The URL of a member, without credentials, and the user and the password that it had."""

    url: str
    credentials: tuple[str, str] | None

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Take a URL like http://127.0.0.1:2379 or https://user:password@host:2379.

        Raises:
            ValueError: it is not one that can be connected to. The error does not show a password.
        """
        before, at, after = text.rpartition("@")
        shown = f"{before.partition('://')[0]}://...@{after}" if at else text
        try:
            parts = urlsplit(text)
            is_complete = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError as error:
            raise ValueError(f"{shown!r} is not a URL like http://127.0.0.1:2379") from error
        if not is_complete:
            raise ValueError(f"{shown!r} is not a URL like http://127.0.0.1:2379")
        if parts.query or parts.fragment:
            raise ValueError(f"{shown!r} has more than the address of a member: remove what is behind it")
        credentials = None
        if at:
            if not parts.username or not parts.password:
                raise ValueError(f"{shown!r} needs a user and a password, or neither")
            credentials = (unquote(parts.username), unquote(parts.password))
        return cls(parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl(), credentials)


class HttpTransport:
    """Kept-alive connections to one endpoint such as http://127.0.0.1:2379."""

    def __init__(
        self, url: str, tls: ssl.SSLContext | None = None, *, max_connections: int = MAX_CONNECTIONS
    ) -> None:
        """Take the endpoint's URL, without credentials, as `Endpoint` has it.

        A request waits its turn while `max_connections` are in use; streams do not count.
        """
        parts = urlsplit(url)
        self.url = url
        self._address = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._tls = (tls or True) if parts.scheme == "https" else None
        self._before_path = f"POST {parts.path.rstrip('/')}/v3/"
        self._after_path = f" HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._turns = asyncio.Semaphore(max_connections)
        self._idle: list[Connection] = []
        self._all: weakref.WeakSet[Connection] = weakref.WeakSet()

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
        """Send one request and return its answer.

        Raises:
            NotSentError: there was no free connection in time, so the request was not sent.
            TransportError: the request was sent and got no complete answer in time.
        """
        connection = None
        try:
            async with asyncio.timeout(timeout_s), self._turns:
                connection = self._take_idle() or await self._connect()
                return await connection.exchange(self._request(path, headers, body))
        except TimeoutError as error:
            kind = NotSentError if connection is None else TransportError
            raise kind(f"{self.url} did not answer within {timeout_s:.3g} s") from error
        finally:
            if connection is not None:
                self._release(connection)

    async def open(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Stream:
        """Send one request and return the lines of its answer, once it has begun.

        Raises:
            NotSentError: there was no connection.
            TransportError: the answer has not begun in time, or is none of HTTP.
        """
        connection = await self._connect()
        stream = None
        try:
            async with asyncio.timeout(timeout_s):
                status, length = await connection.begin(self._request(path, headers, body))
                whole = None if length is None else await connection.body(length)
            stream = LineStream(connection, status, whole)
        except TimeoutError as error:
            raise TransportError(f"{self.url} did not answer within {timeout_s:.3g} s") from error
        finally:
            if stream is None:
                connection.close()
        return stream

    async def close(self) -> None:
        """Close all connections, also those in use."""
        for connection in list(self._all):
            connection.close()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the loop run the callbacks that close the sockets

    def _request(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"{self._before_path}{path}{self._after_path}{lines}Content-Length: {len(body)}\r\n\r\n"
        return head.encode("latin-1") + body

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        new = partial(Connection, self.url, self._buffer)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(new, *self._address, ssl=self._tls)
        except OSError as error:  # TimeoutError and ssl.SSLError are OSErrors
            raise NotSentError(f"cannot connect to {self.url}: {error or 'no answer'}") from error
        self._all.add(connection)
        return connection

    def _release(self, connection: Connection) -> None:
        if connection.reusable:
            self._idle.append(connection)
        else:
            connection.close()
