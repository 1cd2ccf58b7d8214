"""One HTTP request to CouchDB, and the one place where the HTTP client's errors become our own."""

import asyncio
import contextlib
import dataclasses
import email.utils
import functools
import logging
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Self, TypeVar

import aiohttp
import msgspec
import yarl

from tor_async_couchdb import deadline
from tor_async_couchdb.calls import Call, CallTracer, Outcome
from tor_async_couchdb.deadline import acquired_before
from tor_async_couchdb.errors import (
    MAX_RETRY_AFTER_S,
    ConnectError,
    CouchDBError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.retries.pauses import full_jitter
from tor_async_couchdb.retries.strategy import RetryStrategy
from tor_async_couchdb.wire.json_parts import UNDECODABLE

T = TypeVar("T")

_logger = logging.getLogger(__name__)

# More requests at a time would only queue inside CouchDB, where they have no deadline.
_MAX_CONNECTIONS = 64
_ALL_BUSY = f"all {_MAX_CONNECTIONS} connections to CouchDB stayed busy"
_CONNECT_TIMEOUT_S = 2.0
# Enough for a hiccup; a caller learns within 0.2 s that the database is down.
_MAX_RETRIES = 2
_PAUSE = full_jitter(base_s=0.05, cap_s=1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Response:
    """CouchDB's answer to `method` `path`, whatever its status."""

    status: int
    body: bytes
    method: str
    path: str
    retry_after_s: float = 0.0
    set_cookies: tuple[str, ...] = dataclasses.field(default=(), repr=False)

    def json(self) -> Any:
        """The decoded body.

        Raises:
            TransportError: the body is not JSON, so it is not CouchDB that answered.
        """
        return self.decode(Any)

    def decode(self, body_type: type[T], apart: Callable[[bytes], T] | None = None) -> T:
        """The body as a `body_type`.

        If it can't be decoded as a whole, `apart` decodes what it can, or raises ValueError or KeyError.

        Raises:
            TransportError: the body is something else, so it is not CouchDB that answered.
        """
        try:
            return msgspec.json.decode(self.body, type=body_type)
        except UNDECODABLE as error:
            if apart is not None:
                with contextlib.suppress(*UNDECODABLE, ValueError, KeyError):
                    return apart(self.body)
            raise self.unusable(error) from error

    def unusable(self, reason: object) -> TransportError:
        """The error for an answer that is not what CouchDB answers."""
        return TransportError(
            f"the answer to {self.method} {self.path} is not what CouchDB answers: {reason}"
        )

    def raise_for_status(self, *, is_read: bool = False) -> Self:
        """The response itself if it is a success.

        Raises:
            ResponseError: the status is not 2xx.
        """
        if 200 <= self.status < 300:
            return self
        try:
            body = self.json()
        except TransportError:
            body = None
        words = body if isinstance(body, dict) else {}
        error = ResponseError.for_status(
            self.status,
            str(words.get("error", "error")),
            str(words.get("reason", "no reason given")),
            method=self.method,
            path=self.path,
            is_read=is_read,
        )
        error.retry_after_s = self.retry_after_s
        raise error


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """A request that is sent once, and answered before `deadline_s` on the clock of `time.monotonic`.

    `headers` are added to those that all requests have.
    """

    method: str
    url: yarl.URL
    body: bytes | None = dataclasses.field(repr=False)
    deadline_s: float
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict, repr=False)

    def with_header(self, name: str, value: str) -> Self:
        """The request with one more header."""
        return dataclasses.replace(self, headers={**self.headers, name: value})


# Sends a request once; see `Transport.exchange`.
Send = Callable[[Request], Awaitable[Response]]


class Authenticator:
    """Adds to requests what says who makes them; by itself nothing."""

    async def exchange(self, request: Request, send: Send) -> Response:
        """CouchDB's answer, whatever its status.

        A request that CouchDB refused with 401 was not applied. It is sent again, once, if there are other
        credentials by then.
        """
        return await send(request)

    async def close(self) -> None:
        """Ends what runs in the background."""


class HeaderAuthenticator(Authenticator):
    """Adds the header `Authorization`, with the value that `authorization()` gives at the time."""

    def __init__(self, authorization: Callable[[], str]) -> None:
        self._authorization = authorization

    async def exchange(self, request: Request, send: Send) -> Response:
        """See `Authenticator.exchange`."""
        authorization = self._authorization()
        response = await send(request.with_header("Authorization", authorization))
        if response.status != 401 or time.monotonic() >= request.deadline_s:
            return response
        changed = self._authorization()
        return (
            response
            if changed == authorization
            else await send(request.with_header("Authorization", changed))
        )


class Transport:
    """A pool of connections to CouchDB. `timeout_s` bounds each request.

    The `authenticator` says to CouchDB who makes the requests.

    Use it as an async context manager, or call `close`.
    """

    def __init__(
        self,
        *,
        validate_cert: bool,
        timeout_s: float,
        observer: Observer,
        retry_budget: RetryBudget,
        tracer: CallTracer | None = None,
        authenticator: Authenticator | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._authenticator = authenticator or Authenticator()
        self._validate_cert = validate_cert
        self._timeout_s = timeout_s
        self._observer = observer
        self._tracer = tracer or CallTracer()
        self._read_retries = RetryStrategy(
            _PAUSE, max_retries=_MAX_RETRIES, retry_if=_is_transient, budget=retry_budget, sleep=sleep
        )
        self._write_retries = RetryStrategy(
            _PAUSE, max_retries=_MAX_RETRIES, retry_if=_was_not_handled, budget=retry_budget, sleep=sleep
        )
        self._later_retries = RetryStrategy(
            _PAUSE, max_retries=_MAX_RETRIES, retry_if=_is_put_off, budget=retry_budget, sleep=sleep
        )
        self._free_connections = asyncio.Semaphore(_MAX_CONNECTIONS)
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False
        self._exchanges: set[asyncio.Future[None]] = set()

    async def close(self) -> None:
        """Ends all requests and closes all connections.

        Requests that are under way fail, and so do later ones: there is no connection after this.
        """
        self._is_closed = True
        await self._authenticator.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._exchanges:
            await asyncio.wait(self._exchanges)

    def deadline_s(self) -> float:
        """When a request that is made now has to end, on the clock of `time.monotonic`."""
        return _no_later_than_asked(time.monotonic() + self._timeout_s)

    async def send(
        self,
        call: Call,
        url: yarl.URL,
        *,
        body: bytes | None = None,
        is_read: bool = True,
        deadline_s: float = math.inf,
        patience_s: float = math.inf,
        is_last_node: bool = True,
    ) -> Response:
        """CouchDB's answer, which is a success. `call` has the method, and names the request to observer
        and tracer.

        A request that had no effect is sent again, a few times and within the budget: one that was not sent,
        or that CouchDB refused with 429; a read also after a broken connection or a 5xx. Unless this is the
        last node that can be asked, it is sent again only after a 429.

        The request ends before `deadline_s`, and CouchDB has `patience_s` seconds to answer each time.

        Raises:
            ConnectError: nothing was sent: there was no connection in time, or `close` was called.
            TransportError: the request was sent, and no complete answer came in time.
            ResponseError: CouchDB refused the request.
        """
        deadline_s = min(deadline_s, self.deadline_s())
        attempt = functools.partial(self._try, call, url, body, deadline_s, patience_s, is_read)
        retries = self._read_retries if is_read else self._write_retries
        if not is_last_node:
            retries = self._later_retries
        return await retries.run(attempt, deadline_s=deadline_s)

    async def _try(
        self,
        call: Call,
        url: yarl.URL,
        body: bytes | None,
        deadline_s: float,
        patience_s: float,
        is_read: bool,
    ) -> Response:
        _check_is_wanted(deadline_s)
        started_s = time.monotonic()
        method = call.method
        span = self._tracer.start(call)
        status, error_type = None, ""
        try:
            async with acquired_before(deadline_s, self._free_connections, _ALL_BUSY):
                _check_is_wanted(deadline_s)
                self._check_is_open()
                answered_by_s = min(deadline_s, time.monotonic() + patience_s)
                response = await self.exchange(method, url, body, answered_by_s)
            status = response.status
            return response.raise_for_status(is_read=is_read and method != "PUT")
        except BaseException as error:
            error_type = type(error).__name__ if status is None else str(status)
            raise
        finally:
            took_s = time.monotonic() - started_s
            outcome = Outcome(status, error_type)
            span.end(outcome)
            self._observer.request_finished(call, outcome, took_s, span.ids)
            # Without the query string: a view's keys may be personal data.
            _logger.debug(
                "CouchDB took %.2f ms to respond with %s to '%s' against >>>%s<<<",
                took_s * 1000,
                status,
                method,
                url.raw_path,
            )

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        """CouchDB's answer to a request that has at most one effect, whatever its status.

        Tests override it to answer in CouchDB's place.

        Raises:
            UnreachableError: nothing was sent.
            ConnectionBrokeError: the connection broke after the request, or a part of it, was sent.
            UnansweredError: no complete answer came before the deadline.
        """
        return await self._authenticator.exchange(Request(method, url, body, deadline_s), self._send_once)

    async def _send_once(self, request: Request) -> Response:
        """CouchDB's answer, whatever its status. Raises as `exchange` does."""
        time_left_s = max(0.001, request.deadline_s - time.monotonic())  # to aiohttp 0 is no limit
        timeout = aiohttp.ClientTimeout(
            total=time_left_s,
            sock_connect=_CONNECT_TIMEOUT_S,
            ceil_threshold=math.inf,  # else aiohttp gives long timeouts up to a second more
        )
        method, url = request.method, request.url
        where = f"{method} {url.raw_path}"
        session = self._open_session()
        exchange = asyncio.get_running_loop().create_future()
        self._exchanges.add(exchange)
        try:
            async with session.request(
                method,
                url,
                data=request.body,
                headers={**request.headers, **(self._tracer.headers() or {})},
                timeout=timeout,
                allow_redirects=False,  # they would carry the credentials elsewhere
            ) as response:
                return Response(
                    response.status,
                    await response.read(),
                    method,
                    url.raw_path,
                    _retry_after_s(response.headers.get("Retry-After", "")),
                    tuple(response.headers.getall("Set-Cookie", ())),
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnreachableError(f"CouchDB at {url.origin()} can't be reached: {error}") from error
        except TimeoutError as error:
            raise UnansweredError(where, time_left_s) from error
        except (aiohttp.ClientError, ConnectionBrokeError) as error:
            raise ConnectionBrokeError(f"the connection broke before {where} was answered") from error
        finally:
            self._exchanges.remove(exchange)
            exchange.set_result(None)

    def _check_is_open(self) -> None:
        if self._is_closed:
            raise ClosedError

    def _open_session(self) -> aiohttp.ClientSession:
        self._check_is_open()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self._validate_cert),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept": "application/json", "Content-Type": "application/json"},
                middlewares=(_send_once,),
            )
        return self._session


def _no_later_than_asked(deadline_s: float) -> float:
    return min(deadline_s, deadline.current().at_s)


def _check_is_wanted(deadline_s: float) -> None:
    """Raises ConnectError if it is too late, or if no caller waits for the answer any more."""
    if time.monotonic() >= _no_later_than_asked(deadline_s):
        raise ConnectError("the deadline passed before CouchDB was asked")


class ClosedError(ConnectError):
    """The connections were closed by `close`, so nothing was sent, and nothing ever will be."""

    def __init__(self) -> None:
        super().__init__("the connections to CouchDB were closed")


class UnreachableError(ConnectError):
    """There is no connection to this server."""


class UnansweredError(TransportError):
    """A request was sent, and the complete answer did not come within `waited_s` seconds."""

    def __init__(self, where: str, waited_s: float) -> None:
        super().__init__(f"CouchDB did not answer {where} within {waited_s:.1f} s")
        self.waited_s = waited_s


class ConnectionBrokeError(TransportError):
    """The connection was closed or reset after the request, or a part of it, was sent."""


async def _send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request again: it only does so for errors that it knows."""
    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ConnectionBrokeError("the connection broke") from error


def _was_not_handled(error: CouchDBError) -> bool:
    """Whether a request that failed with this error had no effect and may succeed the next time."""
    may_connect_later = isinstance(error, ConnectError) and not isinstance(error, ClosedError)
    return may_connect_later or _is_put_off(error)


def _is_put_off(error: CouchDBError) -> bool:
    """Whether CouchDB, or a gateway, asks for the request to be made later."""
    return isinstance(error, ResponseError) and error.status == 429


def _is_transient(error: CouchDBError) -> bool:
    """Whether a read that failed with this error may succeed the next time.

    A slow one would be slow again.
    """
    is_server_error = isinstance(error, ResponseError) and error.status >= 500
    return is_server_error or isinstance(error, ConnectionBrokeError) or _was_not_handled(error)


def _retry_after_s(header: str) -> float:
    """The seconds that a Retry-After header asks for (RFC 9110, section 10.2.3), but no more than an hour.

    0 if it asks for none.
    """
    try:
        if header.isascii() and header.isdigit():
            asked_for_s = float(header)
        else:
            asked_for_s = email.utils.parsedate_to_datetime(header).timestamp() - time.time()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(0.0, asked_for_s), MAX_RETRY_AFTER_S)
