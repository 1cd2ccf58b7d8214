"""The base of a service's request handlers: JSON in, JSON out, and problems instead of bare errors."""

import asyncio
import logging
import re
import urllib.parse
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, cast

import msgspec
import tornado.web

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.retrieve import Page
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.model.model import Model
from tor_async_service.http import problems, trailers

if TYPE_CHECKING:
    from tor_async_service.app.application import ServiceApplication

T = TypeVar("T")
M = TypeVar("M", bound=Model)

MAX_BODY_SIZE_BYTES = 64 * 1024
MAX_PAGE_SIZE = 1000
_STREAMED_PAGE_SIZE = 500
_TAMPERED_COUNT = "Tampered-Count"
# For logs and metrics only, as nobody is there to read it (nginx, which made it up).
_CLIENT_CLOSED_REQUEST = 499
_JSON_MEDIA_TYPE = re.compile(r'application/json\s*(;\s*charset="?utf-?8"?\s*)?', re.IGNORECASE)

_logger = logging.getLogger(__name__)


@tornado.web.stream_request_body  # so that a body that is too large is answered, and not cut off
class ServiceHandler(tornado.web.RequestHandler):
    """A request handler with a database, a deadline and metrics: those of its ServiceApplication."""

    def initialize(self) -> None:
        """Called by Tornado for each request."""
        self._context = deadline.RequestContext()
        self._body = bytearray()
        self._body_size_bytes = 0
        self._task: asyncio.Task[Any] | None = None
        self._is_client_gone = False

    @property
    def service(self) -> "ServiceApplication":
        """The application that the handler belongs to."""
        return cast("ServiceApplication", self.application)

    @property
    def database(self) -> Database:
        """The service's database."""
        return self.service.database

    def set_default_headers(self) -> None:
        """Called by Tornado for each answer."""
        self.clear_header("Server")
        self.set_header("Content-Type", "application/json")

    def prepare(self) -> None:
        """Starts the request's clock. A class that overrides it calls this one."""
        self._context = deadline.enter(self.service.deadline_s)
        self._task = asyncio.current_task()
        self.service.drain.begin(self)
        if self.service.drain.is_draining:
            self.set_header("Connection", "close")

    def data_received(self, chunk: bytes) -> None:
        """Called by Tornado for each piece of the body."""
        self._body_size_bytes += len(chunk)
        if self._body_size_bytes <= MAX_BODY_SIZE_BYTES:
            self._body += chunk

    def json_body(self, body_type: type[T]) -> T:
        """The request's body as a `body_type`; 400, 413 or 415 if it isn't one."""
        if self._body_size_bytes > MAX_BODY_SIZE_BYTES:
            raise tornado.web.HTTPError(413, f"The body is larger than {MAX_BODY_SIZE_BYTES} bytes.")
        if not _JSON_MEDIA_TYPE.fullmatch(self.request.headers.get("Content-Type", "").strip()):
            raise tornado.web.HTTPError(415, "The body has to be application/json, in UTF-8.")
        try:
            return msgspec.json.decode(bytes(self._body), type=body_type)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise tornado.web.HTTPError(400, f"The body is not what it has to be: {error}.") from error

    def found(self, value: T | None) -> T:
        """The value; 404 if there is none."""
        if value is None:
            raise tornado.web.HTTPError(404, f"There is nothing at {self.request.path}.")
        return value

    def write_json(self, value: Any) -> None:
        """Answers with anything that msgspec can encode, as one line of JSON."""
        self.write(msgspec.json.encode(value) + b"\n")

    async def write_pages(
        self,
        fetch_page: Callable[[str | None, int], Awaitable[Page[M]]],
        representation: Callable[[M], Any],
    ) -> None:
        """Answers with a JSON array of models: all of them as a stream, or with `?limit=N` a page.

        `fetch_page` is given the first key, None for the very first, and the size of a page.
        """
        start, limit = self.get_query_argument("start", None), self._limit()
        if limit is None:
            await self._stream(fetch_page, representation, start)
            return
        page = await fetch_page(start, limit)
        if page.next_key is not None:
            query = urllib.parse.urlencode({"limit": limit, "start": page.next_key})
            self.set_header("Link", f'<{self.request.path}?{query}>; rel="next"')
        self.write_json([representation(model) for model in page.models])

    async def _stream(
        self,
        fetch_page: Callable[[str | None, int], Awaitable[Page[M]]],
        representation: Callable[[M], Any],
        start: str | None,
    ) -> None:
        page = await fetch_page(start, _STREAMED_PAGE_SIZE)
        # The head of a long answer can't wait for its end.
        has_trailer = page.next_key is not None and trailers.are_taken(self.request)
        if has_trailer:
            self.set_header("Trailer", _TAMPERED_COUNT)
        else:
            self._set_counts()
        self.write(b"[")
        separator = b""
        while True:
            for model in page.models:
                self.write(separator + msgspec.json.encode(representation(model)))
                separator = b","
            if page.next_key is None:
                break
            await self._flush_in_time()
            # A list may be long: the deadline is for the next page of it, not for the whole.
            self._context.extend(self.service.deadline_s)
            page = await fetch_page(page.next_key, _STREAMED_PAGE_SIZE)
        self.write(b"]\n")
        if has_trailer:
            await self._flush_in_time()
            await trailers.write(self.request, {_TAMPERED_COUNT: str(self._context.tampered_count)})

    async def _flush_in_time(self) -> None:
        async with asyncio.timeout(self.service.deadline_s):
            await self.flush()

    def _limit(self) -> int | None:
        text = self.get_query_argument("limit", None)
        if text is None:
            return None
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_PAGE_SIZE):
            raise tornado.web.HTTPError(400, f"limit has to be a number from 1 to {MAX_PAGE_SIZE}.")
        return int(text)

    def set_etag_header(self) -> None:
        """Called by Tornado; an answer has no ETag, as no request here is conditional."""

    def check_etag_header(self) -> bool:
        """Called by Tornado; see `set_etag_header`."""
        return False

    def on_connection_close(self) -> None:
        """Called by Tornado when the client has gone: nothing more is done for it."""
        super().on_connection_close()
        if self._task is not None and not self._finished:
            self._is_client_gone = True
            self._task.cancel()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answers with a problem, or cuts the connection where a part of another answer is already out."""
        if self._is_client_gone:
            self.set_status(_CLIENT_CLOSED_REQUEST, "Client Closed Request")
            self.finish()
            return
        if self._headers_written and not self._finished:
            # A chunked answer that ended here in good order would pass for a whole one.
            self.request.connection.stream.close()  # type: ignore[union-attr]
        super().send_error(status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by Tornado with the error that ended the request."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else tornado.web.HTTPError(status_code)
        if status_code == 405:
            allowed = ", ".join(self._allowed_methods())
            self.set_header("Allow", allowed)
            error = tornado.web.HTTPError(405, f"{self.request.path} takes only {allowed}.")
        problem = problems.problem_of(error, self.service.problems)
        self.set_status(problem.status)
        self.set_header("Content-Type", problems.CONTENT_TYPE)
        for name, value in problem.headers().items():
            self.set_header(name, value)
        self.write_json(problem.body())

    def _allowed_methods(self) -> list[str]:
        unimplemented = tornado.web.RequestHandler.get
        return [
            method
            for method in self.SUPPORTED_METHODS
            if getattr(type(self), method.lower()) is not unimplemented
        ]

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        """Called by Tornado; what CouchDB may do at any time is worth a line, not a traceback."""
        if isinstance(value, (CouchDBError, *self.service.problems)):
            _logger.warning("%s: %s", self._request_summary(), value)
        else:
            super().log_exception(typ, value, tb)

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Ends the answer, and says what the request met."""
        if not self._headers_written:
            self._set_counts()
            if chunk is None and not self._write_buffer:
                self.clear_header("Content-Type")
        return super().finish(chunk)

    def _set_counts(self) -> None:
        counts = {
            "Conflict-Count": self._context.conflict_count,
            _TAMPERED_COUNT: self._context.tampered_count,
        }
        for name, count in counts.items():
            if count:
                self.set_header(name, str(count))

    def on_finish(self) -> None:
        """Called by Tornado once the answer is out."""
        self.service.drain.end(self)
        self.service.metrics.answered(self, self._context)


class UnknownPathHandler(ServiceHandler):
    """Answers requests for what the service does not have, whatever their method."""

    def get(self) -> None:
        """404, always; not in `prepare`, as an answer before the request's body has come cuts it off."""
        self.found(None)

    head = post = put = patch = delete = options = get
