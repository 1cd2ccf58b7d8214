"""Spans by OpenTelemetry's SDK, which reads its settings from the standard variables (`OTEL_…`).

The sampler, the ids, the batches and the export are the SDK's. The spans are not: see `_RecordedSpan`.

The spans follow the conventions for HTTP servers and for CouchDB:
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
https://opentelemetry.io/docs/specs/semconv/db/couchdb/

A call to CouchDB may serve many requests. Its span is a child of one of them and is linked with all of them,
and each of the others has a link to it.
"""

import os
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Self

from opentelemetry.context import Context, attach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import get_global_textmap
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    NoOpTracer,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    format_span_id,
    format_trace_id,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.util.types import AnyValue, Attributes
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
_UNSET = Status()

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
        self._is_disabled = isinstance(provider.get_tracer(_SCOPE.name), NoOpTracer)  # by OTEL_SDK_DISABLED
        self._propagator = get_global_textmap()  # OTEL_PROPAGATORS; by default W3C's headers

    def begin(self, request: HTTPServerRequest, method: str, route: str) -> RequestSpan:
        """See `RequestTracer.begin`. The caller's `traceparent` is taken over, unless it is malformed."""
        parent = self._propagator.extract(request.headers)
        attributes: dict[str, AnyValue] = {
            "http.request.method": method,
            "url.scheme": request.protocol,
            "url.path": request.path,  # without the query string, which may have personal data
        }
        if method == OTHER_METHOD:
            attributes["http.request.method_original"] = str(request.method)
        if route:
            attributes["http.route"] = route
        name = "HTTP" if method == OTHER_METHOD else method
        span = self._start_span(f"{name} {route}".rstrip(), SpanKind.SERVER, parent, attributes)
        return _OpenTelemetryRequestSpan(span, parent)

    def start(self, call: Call) -> CallSpan:
        """See `CallTracer.start`."""
        spans = [context.run(get_current_span) for context in callers.get()] or [get_current_span()]
        spans = [span for span in spans if span.get_span_context().is_valid]
        parent = next((span for span in spans if _is_sampled(span)), spans[0] if spans else None)
        if parent is None:
            span = self._start_span(_name_of(call), SpanKind.CLIENT, Context(), _attributes_of(call))
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
        links = [Link(each.get_span_context()) for each in spans] if len(spans) > 1 else ()
        name, attributes = _name_of(call), _attributes_of(call)
        return _OpenTelemetryCallSpan(
            self._recorded(name, SpanKind.CLIENT, context, above, attributes, links)
        )

    def _start_span(
        self, name: str, kind: SpanKind, parent: Context, attributes: dict[str, AnyValue]
    ) -> Span:
        """A span under that of a context, or the first of a trace; recorded if the sampler decides so."""
        above = get_current_span(parent).get_span_context()
        if self._is_disabled:
            return NonRecordingSpan(above)
        ids = self._provider.id_generator
        trace_id, is_random = above.trace_id, above.trace_flags.random_trace_id
        if not above.is_valid:
            trace_id, is_random = ids.generate_trace_id(), ids.is_trace_id_random()
        result = self._provider.sampler.should_sample(parent, trace_id, name, kind, attributes, ())
        is_sampled = result.decision is Decision.RECORD_AND_SAMPLE
        flags = TraceFlags(is_sampled * TraceFlags.SAMPLED | is_random * TraceFlags.RANDOM_TRACE_ID)
        context = SpanContext(trace_id, ids.generate_span_id(), False, flags, result.trace_state)
        if not is_sampled:
            return NonRecordingSpan(context)
        return self._recorded(name, kind, context, above if above.is_valid else None, {**result.attributes})

    def _recorded(
        self,
        name: str,
        kind: SpanKind,
        context: SpanContext,
        parent: SpanContext | None,
        attributes: dict[str, AnyValue],
        links: Sequence[Link] = (),
    ) -> Span:
        return _RecordedSpan(
            self._processor,
            context,
            attributes,
            links,
            name=name,
            kind=kind,
            parent=parent,
            resource=self._provider.resource,
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


class _RecordedSpan(Span):
    """A span that is recorded once, at its end, in less than half of the time of the SDK's own.

    It has no limits (`OTEL_SPAN_…_LIMIT`, `OTEL_ATTRIBUTE_…_LIMIT`). What is added after the end is dropped.
    """

    def __init__(
        self,
        processor: SpanProcessor,
        context: SpanContext,
        attributes: dict[str, AnyValue],
        links: Sequence[Link],
        **record: Any,
    ) -> None:
        self._processor = processor
        self._context = context
        self._attributes = attributes
        self._links = [*links]
        self._events: list[Event] = []
        self._status = _UNSET
        self._record = record
        self._is_recording = True

    def get_span_context(self) -> SpanContext:
        return self._context

    def is_recording(self) -> bool:
        return self._is_recording

    def update_name(self, name: str) -> None:
        self._record["name"] = name

    def set_attribute(self, key: str, value: AnyValue) -> None:
        self._attributes[key] = value

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        self._attributes.update(attributes)

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        new = status if isinstance(status, Status) else Status(status, description)
        # OK is final, and UNSET changes nothing: https://opentelemetry.io/docs/specs/otel/trace/api/#set-status
        if self._status.status_code is not StatusCode.OK and new.status_code is not StatusCode.UNSET:
            self._status = new

    def add_event(self, name: str, attributes: Attributes = None, timestamp: int | None = None) -> None:
        self._events.append(Event(name, attributes, timestamp))

    def add_link(self, context: SpanContext, attributes: Attributes = None) -> None:
        self._links.append(Link(context, attributes))

    def record_exception(
        self,
        exception: BaseException,
        attributes: Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,
    ) -> None:
        described = {
            "exception.type": f"{type(exception).__module__}.{type(exception).__qualname__}",
            "exception.message": str(exception),
            "exception.stacktrace": "".join(traceback.format_exception(exception)),
        }
        self.add_event("exception", {**described, **(attributes or {})}, timestamp)

    def end(self, end_time: int | None = None) -> None:
        if not self._is_recording:
            return
        self._is_recording = False
        self._processor.on_end(
            ReadableSpan(
                context=self._context,
                attributes=self._attributes,
                links=self._links,
                events=self._events,
                status=self._status,
                end_time=end_time or time.time_ns(),
                **self._record,
            )
        )
        # What comes later must not reach those that the exporting thread reads.
        self._attributes, self._links, self._events = {}, [], []


def _set_error(span: Span, error_type: str) -> None:
    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(StatusCode.ERROR)


def _is_sampled(span: Span) -> bool:
    return span.get_span_context().trace_flags.sampled


def _ids(span: Span) -> Mapping[str, str] | None:
    context = span.get_span_context()
    if not context.trace_flags.sampled:
        return None
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
