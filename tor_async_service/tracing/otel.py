"""Spans by OpenTelemetry's SDK, which reads its settings from the standard variables (`OTEL_…`).

The spans follow the conventions for HTTP servers and for CouchDB:
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
https://opentelemetry.io/docs/specs/semconv/db/couchdb/

A call to CouchDB may serve many requests. Its span is a child of one of them and is linked with all of them,
and each of the others has a link to it.
"""

import os
import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Self

from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AnyValue
from tornado.httputil import HTTPServerRequest

from tor_async_couchdb.calls import Call, CallSpan, Outcome, callers
from tor_async_service.conventions import OTHER_METHOD
from tor_async_service.correlation import TRACE_ID
from tor_async_service.tracing.tracer import RequestSpan, RequestTracer

# A service that ends waits no longer than this for the receiver.
_CLOSE_TIMEOUT_S = 2.0

# What this module can send, by the variable that may ask for something else.
_SUPPORTED = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
}

_SCOPE = InstrumentationScope("tor_async_service")
_OK, _ERROR = Status(), Status(StatusCode.ERROR)

# The context of the call to CouchDB that is being sent.
_sending: ContextVar[Context | None] = ContextVar("sending", default=None)


def tracer_from_environment(environment: Mapping[str, str] = os.environ) -> RequestTracer:
    """A tracer that sends spans by OTLP over HTTP, with the settings of the variables `OTEL_…`.

    Spans leave in batches, from a thread of their own. If the receiver is away or too slow, they are dropped.

    Raises:
        ValueError: a variable asks for another way to send them, or can't be read.
    """
    for name, supported in _SUPPORTED.items():
        if environment.get(name) not in (None, "", supported):
            raise ValueError(f"{name} is {environment[name]!r}; traces can only be sent by {supported!r}")
    resource = _HashedOnce.of(Resource.create())
    # The SDK's own shutdown may take half a minute.
    provider = TracerProvider(shutdown_on_exit=False, resource=resource)
    return OpenTelemetryTracer(provider, BatchSpanProcessor(OTLPSpanExporter()))


class _HashedOnce(Resource):
    """A resource that keeps its hash: exporters ask for it with each span, and the SDK makes it of JSON."""

    _hash: int

    @classmethod
    def of(cls, resource: Resource) -> Self:
        """The same resource."""
        hashed = cls(resource.attributes, resource.schema_url)
        hashed._hash = hash(resource)
        return hashed

    def __eq__(self, other: object) -> bool:
        return self is other or super().__eq__(other)

    def __hash__(self) -> int:
        return self._hash


class OpenTelemetryTracer(RequestTracer):
    """Makes spans with a provider of OpenTelemetry's SDK for a processor, and shuts both down in the end."""

    def __init__(self, provider: TracerProvider, processor: SpanProcessor) -> None:
        provider.add_span_processor(processor)
        self._provider = provider
        self._processor = processor
        self._tracer = provider.get_tracer(_SCOPE.name)
        self._propagator = get_global_textmap()  # OTEL_PROPAGATORS; by default W3C's headers

    def begin(self, request: HTTPServerRequest, method: str, route: str) -> RequestSpan:
        """See `RequestTracer.begin`. The caller's `traceparent` is taken over, unless it is malformed."""
        parent = self._propagator.extract(request.headers)
        attributes: dict[str, str | int] = {
            "http.request.method": method,
            "url.scheme": request.protocol,
            "url.path": request.path,  # without the query string, which may have personal data
        }
        if method == OTHER_METHOD:
            attributes["http.request.method_original"] = str(request.method)
        if route:
            attributes["http.route"] = route
        name = "HTTP" if method == OTHER_METHOD else method
        span = self._tracer.start_span(
            f"{name} {route}".rstrip(), context=parent, kind=SpanKind.SERVER, attributes=attributes
        )
        return _OpenTelemetryRequestSpan(span, parent)

    def start(self, call: Call) -> CallSpan:
        """See `CallTracer.start`."""
        spans = [context.run(get_current_span) for context in callers.get()] or [get_current_span()]
        spans = [span for span in spans if span.get_span_context().is_valid]
        parent = next((span for span in spans if _is_sampled(span)), spans[0] if spans else None)
        if parent is None:
            span = self._tracer.start_span(
                _name_of(call), kind=SpanKind.CLIENT, attributes=_attributes_of(call)
            )
            _sending.set(set_span_in_context(span))
            return _OpenTelemetryCallSpan(span)
        # As samplers decide by the trace, a call is sampled if its request is.
        above = parent.get_span_context()
        span_id = self._provider.id_generator.generate_span_id()
        context = SpanContext(above.trace_id, span_id, False, above.trace_flags, above.trace_state)
        _sending.set(set_span_in_context(NonRecordingSpan(context)))
        if not above.trace_flags.sampled:
            return CallSpan()
        for each in spans:
            if each is not parent:
                each.add_link(context)
        return _RecordedCallSpan(
            self._processor,
            name=_name_of(call),
            context=context,
            parent=above,
            resource=self._provider.resource,
            attributes=_attributes_of(call),
            links=[Link(each.get_span_context()) for each in spans] if len(spans) > 1 else (),
            kind=SpanKind.CLIENT,
            instrumentation_scope=_SCOPE,
            start_time=time.time_ns(),
        )

    def headers(self) -> Mapping[str, str]:
        """See `CallTracer.headers`."""
        headers: dict[str, str] = {}
        self._propagator.inject(headers, context=_sending.get())
        return headers

    def close(self) -> None:
        """See `RequestTracer.close`."""
        # The receiver may hang, and what waits for it can't be cancelled: that is left behind.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_TIMEOUT_S)


def _name_of(call: Call) -> str:
    return f"{call.operation} {call.database}".rstrip()


def _attributes_of(call: Call) -> dict[str, AnyValue]:
    attributes: dict[str, AnyValue] = {
        "db.system.name": "couchdb",
        "db.operation.name": call.operation,
        "server.address": call.server,
        "server.port": call.port,
    }
    if call.database:
        attributes["db.namespace"] = call.database
    if call.batch_size > 1:
        attributes["db.operation.batch.size"] = call.batch_size
    return attributes


class _OpenTelemetryRequestSpan(RequestSpan):
    __slots__ = ("_parent", "_span", "ids")

    def __init__(self, span: Span, parent: Context) -> None:
        self._span = span
        self._parent = parent
        self.ids = _ids(span)

    def enter(self) -> None:
        # Nothing detaches it: the context ends with the task.
        attach(set_span_in_context(self._span, self._parent))
        context = self._span.get_span_context()
        if context.is_valid:  # else the SDK is disabled
            TRACE_ID.set(format_trace_id(context.trace_id))

    def add_event(self, name: str, attributes: Mapping[str, float] | None = None) -> None:
        self._span.add_event(name, attributes)

    def end(self, status: int, error_type: str) -> None:
        self._span.set_attribute("http.response.status_code", status)
        _set_error(self._span, error_type)
        self._span.end()


class _OpenTelemetryCallSpan(CallSpan):
    __slots__ = ("_span", "ids")

    def __init__(self, span: Span) -> None:
        self._span = span
        self.ids = _ids(span)

    def end(self, outcome: Outcome) -> None:
        if outcome.status is not None:
            self._span.set_attribute("db.response.status_code", str(outcome.status))
        _set_error(self._span, outcome.error_type)
        self._span.end()


class _RecordedCallSpan(CallSpan):
    """The span of a call that is made for requests. Nobody adds to it, so it is recorded once, at its end.

    That takes a third of the time that the SDK needs for a span that can be changed.
    """

    __slots__ = ("_attributes", "_processor", "_record", "ids")

    def __init__(self, processor: SpanProcessor, attributes: dict[str, AnyValue], **record: Any) -> None:
        self._processor = processor
        self._attributes = attributes
        self._record = record
        self.ids = _ids_of(record["context"])

    def end(self, outcome: Outcome) -> None:
        if outcome.status is not None:
            self._attributes["db.response.status_code"] = str(outcome.status)
        status = _OK
        if outcome.error_type:
            self._attributes["error.type"] = outcome.error_type
            status = _ERROR
        self._processor.on_end(
            ReadableSpan(attributes=self._attributes, status=status, end_time=time.time_ns(), **self._record)
        )


def _set_error(span: Span, error_type: str) -> None:
    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)


def _is_sampled(span: Span) -> bool:
    return span.get_span_context().trace_flags.sampled


def _ids(span: Span) -> Mapping[str, str] | None:
    return _ids_of(span.get_span_context())


def _ids_of(context: SpanContext) -> Mapping[str, str] | None:
    if not context.trace_flags.sampled:
        return None
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
