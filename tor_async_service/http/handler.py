"""The base of a service's request handlers: JSON in, JSON out, and problem documents for errors."""

import asyncio
import functools
import logging
import re
import time
from types import TracebackType
from typing import Any, TypeVar

import msgspec
import tornado.web
from tornado.httputil import HTTPServerRequest
from werkzeug.http import parse_options_header

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.retrieve import AsyncModelsRetriever, Cursor
from tor_async_couchdb.deadline import Deadline
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.model import Model
from tor_async_service.conventions import known_method
from tor_async_service.correlation import REQUEST_ID, request_id_of
from tor_async_service.http import pages, problems, trailers
from tor_async_service.http.followed_request import FollowedRequestObserver
from tor_async_service.http.request_observer import RequestObserver
from tor_async_service.http.service import Service
from tor_async_service.tracing.tracer import RequestSpan

T = TypeVar("T")
M = TypeVar("M", bound=Model)

MAX_BODY_SIZE_BYTES = 64 * 1024
_TAMPERED_COUNT = "Tampered-Count"
# Only logs and metrics show it, as no client reads it. nginx invented this status.
_CLIENT_CLOSED_REQUEST = 499
# A client can do nothing with a regular expression of the model.
_REGEX = re.compile(r" matching regex .*?(?=( - at `\$|$))", re.DOTALL)

_UTF_8 = ("utf-8", "utf8")

_logger = logging.getLogger(__name__)
_access_logger = logging.getLogger("tornado.access")


# A body that is too large is answered, not cut off.
@tornado.web.stream_request_body
class ServiceHandler(tornado.web.RequestHandler):
    """A request handler of a ServiceApplication.

    `database` is the service's database, with an observer for this request alone.
    """

    database: Database
    _deadline: Deadline
    _prefix: str

    def initialize(self, route: str = "") -> None:
        """Called by Tornado for each request. `route` is the template that its path matches, "" if none."""
        self.service: Service = self.settings["service"]
        self._method, self._route = known_method(self.request.method), route
        self._span = self.service.tracer.begin(self.request, self._method, route)
        self._observer = _observer_of(self.service, self.request, self._span)
        self._started_s = time.monotonic()
        self._body = bytearray()
        self._body_size_bytes = 0
        self._task: asyncio.Task[Any] | None = None
        self._is_client_gone = False
        self._prefix = self.service.trusted_proxies.apply(self.request)

    @functools.cached_property
    def request_id(self) -> str:
        """The id of this request in its answer, in problem documents and in the log: X-Request-Id, or new."""
        return request_id_of(self.request.headers.get("X-Request-Id"))

    @property
    def duration_s(self) -> float:
        """How long ago the request arrived, in seconds."""
        return time.monotonic() - self._started_s

    def set_default_headers(self) -> None:
        """Called by Tornado for each answer."""
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")
        self.set_header("X-Request-Id", self.request_id)

    def outer_path(self, path: str) -> str:
        """The path for a client of a proxy that takes a prefix away, where this service has `path`."""
        return self._prefix + path

    def outer_url(self) -> str:
        """The URL that the client asked for, which a trusted proxy may have changed."""
        request = self.request
        return f"{request.protocol}://{request.host}{self.outer_path(str(request.uri))}"

    def prepare(self) -> None:
        """Starts the request's clock. A class that overrides it must call it."""
        REQUEST_ID.set(self.request_id)
        self._span.enter()
        self.database = self.service.database.observed_by(self._observer)
        self._deadline = deadline.enter(self.service.deadline_s)
        self._task = asyncio.current_task()
        self.service.drain.begin(self)

    def data_received(self, chunk: bytes) -> None:
        """Called by Tornado for each piece of the body."""
        self._body_size_bytes += len(chunk)
        if self._body_size_bytes <= MAX_BODY_SIZE_BYTES:
            self._body += chunk

    def json_body(self, body_type: type[T]) -> T:
        """The request's body as a `body_type`; 400, 413 or 415 if it isn't one."""
        if self._body_size_bytes > MAX_BODY_SIZE_BYTES:
            raise tornado.web.HTTPError(413, f"The body is larger than {MAX_BODY_SIZE_BYTES} bytes.")
        if not _is_json(self.request.headers.get("Content-Type", "")):
            raise tornado.web.HTTPError(415, "The body must be application/json, in UTF-8.")
        try:
            return msgspec.json.decode(bytes(self._body), type=body_type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            reason = _REGEX.sub(" of another form", str(error))
            raise tornado.web.HTTPError(400, f"The body is invalid: {reason}.") from error

    def found(self, value: T | None) -> T:
        """The value; 404 if it is None."""
        if value is None:
            raise tornado.web.HTTPError(404, f"There is nothing at {self.outer_path(self.request.path)}.")
        return value

    def write_json(self, value: Any) -> None:
        """Answers with a value that msgspec can encode, as one line of JSON."""
        self.write(msgspec.json.encode(value) + b"\n")

    def write_model(self, model: Model | None, *, created_at: str | None = None) -> None:
        """Answers with a model's representation; 404 if it is None.

        The answer to a request that created the model is 201, with the path `created_at` as its Location.
        """
        if created_at is not None:
            self.set_status(201)
            self.set_header("Location", self.outer_path(created_at))
        self.write_json(self.found(model).representation())

    async def write_models(self, retriever: AsyncModelsRetriever[M]) -> None:
        """Answers with a JSON array of models: all of them as a stream, or a page if the client asks for one.

        `?limit=N` asks for a page of N models. The answer has a link to the next page (RFC 8288).
        """
        limit = self.get_query_argument("limit", None)
        start = self.get_query_argument("start", None)
        cursor = None if start is None else pages.cursor_of(start)
        if limit is None:
            await self._stream(retriever, cursor)
            return
        size = pages.page_size_of(limit)
        page = await retriever.fetch_page(size, cursor)
        if page.next is not None:
            self.set_header("Link", pages.link_to_next(self.outer_path(self.request.path), size, page.next))
        self.write_json([model.representation() for model in page.models])

    async def _stream(self, retriever: AsyncModelsRetriever[M], cursor: Cursor | None) -> None:
        page = await retriever.fetch_page(pages.STREAMED_PAGE_SIZE, cursor)
        # A long answer begins before its end, and so its counts, are known.
        has_trailer = page.next is not None and trailers.are_accepted(self.request)
        if has_trailer:
            self.set_header("Trailer", _TAMPERED_COUNT)
        else:
            self._set_counts()
        self.write(b"[")
        separator = b""
        while True:
            for model in page.models:
                self.write(separator + msgspec.json.encode(model.representation()))
                separator = b","
            if page.next is None:
                break
            await self._flush_in_time()
            if self.request.method == "HEAD":
                return
            # A list may be long: each page of it has a deadline of its own.
            self._deadline.extend(self.service.deadline_s)
            page = await retriever.fetch_page(pages.STREAMED_PAGE_SIZE, page.next)
        self.write(b"]\n")
        if has_trailer:
            await self._flush_in_time()
            await trailers.write(self.request, {_TAMPERED_COUNT: str(self._observer.tampered_count)})

    async def _flush_in_time(self) -> None:
        async with asyncio.timeout(self.service.deadline_s):
            await self.flush()

    async def head(self, *path_arguments: str, **path_keywords: str) -> None:
        """Answers as GET does, without the body."""
        answering = self.get(*path_arguments, **path_keywords)
        if answering is not None:
            await answering

    def set_etag_header(self) -> None:
        """Called by Tornado; answers have no ETag, because no request here is conditional."""

    def check_etag_header(self) -> bool:
        """Called by Tornado; see `set_etag_header`."""
        return False

    def on_connection_close(self) -> None:
        """Called by Tornado when the client is gone: its request is cancelled."""
        super().on_connection_close()
        if self._task is not None and not self._finished:
            self._is_client_gone = True
            self._task.cancel()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answers with a problem document, or closes the connection if a part of another answer was sent."""
        if self._is_client_gone:
            self.set_status(_CLIENT_CLOSED_REQUEST, "Client Closed Request")
            self.finish()
            return
        if self._headers_written and not self._finished:
            # A chunked answer that ended normally here would look complete.
            self.request.connection.stream.close()  # type: ignore[union-attr]
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado with the error that ended the request."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else tornado.web.HTTPError(status_code)
        if status_code == 405:
            allowed = ", ".join(self._allowed_methods())
            self.set_header("Allow", allowed)
            error = tornado.web.HTTPError(405, f"{self.outer_path(self.request.path)} takes only {allowed}.")
        problem = problems.problem_of(error, self.service.problems)
        self.set_status(problem.status)
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        for name, value in problem.headers().items():
            self.set_header(name, value)
        self.write_json(problem.body() | {"request_id": self.request_id})

    def _allowed_methods(self) -> list[str]:
        unimplemented = tornado.web.RequestHandler.get
        is_readable = type(self).get is not unimplemented
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not unimplemented and (is_readable or method != "HEAD")
        ]

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Called by Tornado; an expected error is logged in one line, without a traceback."""
        if isinstance(value, (CouchDBError, *self.service.problems)):
            _logger.warning("%s: %s", self._request_summary(), value)
        else:
            super().log_exception(typ, value, tb)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Ends the answer; its headers say how many conflicts there were."""
        if not self._headers_written:
            self._set_counts()
            if chunk is None and not self._write_buffer:
                self.clear_header("Content-Type")
        finished = super().finish(chunk)
        self.service.drain.deliver(self)
        return finished

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        """Sends what was written. The first time, the header goes ahead of it."""
        if not self._headers_written and self.service.drain.is_draining:
            self.set_header("Connection", "close")
        return super().flush(include_footers)

    def _set_counts(self) -> None:
        if self._observer.conflict_count:
            self.set_header("Conflict-Count", str(self._observer.conflict_count))
        if self._observer.tampered_count:
            self.set_header(_TAMPERED_COUNT, str(self._observer.tampered_count))

    def on_finish(self) -> None:
        """Called by Tornado when the answer is complete, which may be before it is sent."""
        status, duration_s = self.get_status(), self.duration_s
        error_type = str(status) if status >= 500 else ""
        self._span.end(status, error_type)
        self._observer.answered(status, duration_s)
        self.service.metrics.request_answered(
            method=self._method,
            scheme=self.request.protocol,
            route=self._route,
            status=status,
            error_type=error_type,
            duration_s=duration_s,
            conflict_count=self._observer.conflict_count,
            retry_wait_s=self._observer.retry_wait_s if self._observer.retry_count else None,
            trace=self._span.ids,
        )


def _observer_of(service: Service, request: HTTPServerRequest, span: RequestSpan) -> RequestObserver:
    """The observer of a request: one that makes events of it if somebody listens."""
    # What operators ask (/_health and the like) is not what the events are about.
    if service.events is not None and "/_" not in request.path:
        number = service.events.next_request()
        if number is not None:
            method = str(request.method)
            return FollowedRequestObserver(
                service.metrics, span, service.events, number, method, request.path
            )
    return RequestObserver(service.metrics, span)


def _is_json(content_type: str) -> bool:
    media_type, parameters = parse_options_header(content_type)
    charset = parameters.pop("charset", "utf-8").lower()
    return media_type.lower() == "application/json" and charset in _UTF_8 and not parameters


def log_request(handler: tornado.web.RequestHandler) -> None:
    """Logs a request that was answered, in one line. Tornado's own measures by a clock that may be set."""
    request = handler.request
    status = handler.get_status()
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    duration_s = handler.duration_s if isinstance(handler, ServiceHandler) else 0.0
    fields = {
        "method": request.method,
        "path": request.path,
        "status": status,
        "duration_s": round(duration_s, 6),
        "client": request.remote_ip,
    }
    summary = handler._request_summary()
    _access_logger.log(level, "%d %s %.2fms", status, summary, 1000 * duration_s, extra={"fields": fields})


class UnknownPathHandler(ServiceHandler):
    """Answers 404 to requests for all other paths, with any method."""

    def get(self) -> None:
        """404; not from `prepare`, where an answer would come before the request's body and break it off."""
        self.found(None)

    post = put = patch = delete = options = get
