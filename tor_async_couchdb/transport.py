"""One HTTP request to CouchDB, and the one place where foreign errors become our own."""

import asyncio
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import yarl

from tor_async_couchdb import request_context
from tor_async_couchdb.errors import ConnectError, ResponseError, TransportError
from tor_async_couchdb.observer import Observer

T = TypeVar("T")

_logger = logging.getLogger(__name__)

# More requests at a time only queue inside CouchDB; a waiting request still has its deadline.
_MAX_CONNECTIONS = 64
_CONNECT_TIMEOUT_S = 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """CouchDB's answer to `method` `path`, whatever its status."""

    status: int
    body: bytes
    method: str
    path: str

    def json(self) -> Any:
        """The body, decoded; raises as `decode` does."""
        return self.decode(Any)

    def decode(self, body_type: type[T]) -> T:
        """The body as a `body_type`.

        Raises:
            TransportError: the body is something else: whoever answered, it was not CouchDB.
        """
        try:
            return msgspec.json.decode(self.body, type=body_type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise TransportError(
                f"the answer to {self.method} {self.path} is not what CouchDB answers: {error}"
            ) from error

    def raise_for_status(self) -> Self:
        """The response itself when it is a success.

        Raises:
            ResponseError: the status is not 2xx. CouchDB's words are in the error.
        """
        if 200 <= self.status < 300:
            return self
        try:
            body = self.json()
        except TransportError:
            body = None
        words = body if isinstance(body, dict) else {}
        raise ResponseError.for_status(
            self.status,
            str(words.get("error", "error")),
            str(words.get("reason", "no reason given")),
            method=self.method,
            path=self.path,
        )


class Transport:
    """A pool of connections to one CouchDB, with its credentials. `timeout_s` bounds each request.

    Use it as an async context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        username: str | None,
        password: str | None,
        validate_cert: bool,
        timeout_s: float,
        observer: Observer,
    ) -> None:
        self._headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if username is not None or password is not None:
            self._headers["Authorization"] = aiohttp.encode_basic_auth(username or "", password or "")
        self._validate_cert = validate_cert
        self._timeout_s = timeout_s
        self.observer = observer
        self._free_connections = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Closes all connections. A later request opens them anew."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(
        self, operation: str, method: str, url: yarl.URL, *, body: bytes | None = None, is_read: bool = True
    ) -> Response:
        """CouchDB's answer. `operation` is the name that the observer knows this kind of request by.

        A read whose connection breaks is sent again (by aiohttp too), a write never.

        Raises:
            ConnectError: nothing was sent, as no connection could be had within the time left.
            TransportError: the request was sent, and no whole answer came within the time left.
        """
        started_s = time.monotonic()
        status = None
        try:
            async with self._connection():
                try:
                    response = await self._exchange(method, url, body)
                except _ConnectionBrokeError:
                    if not is_read:
                        raise
                    response = await self._exchange(method, url, body)
            status = response.status
            return response
        finally:
            took_s = time.monotonic() - started_s
            self.observer.request_finished(operation, status, took_s)
            # Without the query string: a view's keys may be personal data.
            _logger.info(
                "CouchDB took %.2f ms to respond with %s to '%s' against >>>%s<<<",
                took_s * 1000,
                status,
                method,
                url.raw_path,
            )

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._time_left_s()):
                await self._free_connections.acquire()
        except TimeoutError as error:
            raise ConnectError(f"all {_MAX_CONNECTIONS} connections to CouchDB stayed busy") from error
        try:
            yield
        finally:
            self._free_connections.release()

    async def _exchange(self, method: str, url: yarl.URL, body: bytes | None) -> Response:
        timeout = aiohttp.ClientTimeout(total=self._time_left_s(), sock_connect=_CONNECT_TIMEOUT_S)
        where = f"{method} {url.raw_path}"
        try:
            async with self._open_session().request(
                method, url, data=body, timeout=timeout, allow_redirects=False
            ) as response:
                return Response(response.status, await response.read(), method, url.raw_path)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ConnectError(f"CouchDB at {url.origin()} can't be reached: {error}") from error
        except TimeoutError as error:
            raise TransportError(f"CouchDB did not answer {where} within {timeout.total:.1f} s") from error
        except aiohttp.ClientError as error:
            raise _ConnectionBrokeError(f"the connection broke before {where} was answered") from error

    def _time_left_s(self) -> float:
        return max(0.001, min(self._timeout_s, request_context.current().remaining_s()))

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._validate_cert),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
            )
        return self._session


class _ConnectionBrokeError(TransportError):
    """The connection was closed or reset after the request, or a part of it, had been sent."""
