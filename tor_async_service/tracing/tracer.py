"""What the chassis asks of a tracer. The one here makes no spans, and imports nothing for that."""

from collections.abc import Mapping

from tornado.httputil import HTTPServerRequest

from tor_async_couchdb.calls import CallTracer


class RequestSpan:
    """The span of one request. This one records nothing.

    `ids` are `trace_id` and `span_id`, as a metric's exemplar has them; None if the span is not recorded.
    """

    __slots__ = ()

    ids: Mapping[str, str] | None = None

    def enter(self) -> None:
        """Makes it the current span of the current task, until that task ends."""

    def add_event(self, name: str, attributes: Mapping[str, float] | None = None) -> None:
        """Something has happened during the request."""

    def end(self, status: int, error_type: str) -> None:
        """The request was answered; `error_type` is "" unless the service failed."""


class RequestTracer(CallTracer):
    """Makes spans of a service's requests, and of its calls to CouchDB. This one makes none.

    Its methods must not block or raise, except `close`.
    """

    def begin(self, request: HTTPServerRequest, method: str, route: str) -> RequestSpan:
        """The span of a request that has just arrived.

        `method` and `route` are those of `tor_async_service.conventions`.
        """
        return _NO_SPAN

    def close(self) -> None:
        """Sends what is left. It blocks for a bounded time; what can't be sent by then is lost."""


_NO_SPAN = RequestSpan()
