"""A request to CouchDB in the words of OpenTelemetry's conventions, and what makes a span of it.

https://opentelemetry.io/docs/specs/semconv/db/couchdb/. Nothing here imports OpenTelemetry: a tracer that
does is given to the `Database`.
"""

import contextvars
import dataclasses
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import NamedTuple


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """A kind of request. `operation` is method and path template, as in `GET /{db}/{docid}`.

    It never has the path itself, so a service makes only a few kinds of requests. `database` is "" if the
    request is about none. `batch_size` is the number of documents that a `_bulk_docs` writes, and 1 for all
    other requests.
    """

    operation: str
    database: str
    server: str
    port: int
    batch_size: int = 1
    method: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "method", self.operation.partition(" ")[0])


class Outcome(NamedTuple):
    """How a request ended: CouchDB's HTTP status, None without an answer, and the type of the error.

    `error_type` is the status if that is none of success, else the name of the error's class; "" on success.
    """

    status: int | None
    error_type: str = ""


class CallSpan:
    """The span of one request. This one records nothing.

    `ids` are `trace_id` and `span_id`, as a metric's exemplar has them; None if the span is not recorded.
    """

    __slots__ = ()

    ids: Mapping[str, str] | None = None

    def end(self, outcome: Outcome) -> None:
        """The request has ended."""


class CallTracer:
    """Makes spans of requests to CouchDB. This one makes none. Its methods must not block or raise."""

    def start(self, call: Call) -> CallSpan:
        """The span of a request that starts now; it has to be ended in the same task."""
        return _NO_SPAN

    def headers(self) -> Mapping[str, str] | None:
        """The headers that tell CouchDB, or a proxy in front of it, which trace the request belongs to."""
        return None


_NO_SPAN = CallSpan()

# The contexts of those that a call to CouchDB is made for; () if it is made for the current context alone.
callers: ContextVar[Sequence[contextvars.Context]] = ContextVar("callers", default=())


def context_for(contexts: Sequence[contextvars.Context]) -> contextvars.Context:
    """The context for a call that is made for all of these.

    A call for one is made in its context, so log lines and spans belong to that. A call for several belongs
    to none of them: its context has nothing but `callers`.
    """
    if len(contexts) == 1:
        return contexts[0]
    shared = contextvars.Context()
    each = [caller for context in contexts for caller in context.get(callers) or [context]]
    shared.run(callers.set, each)
    return shared
