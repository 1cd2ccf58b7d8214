"""Spans in the process of the test; test_sending.py has those that a service sends."""

import asyncio
import dataclasses
import logging
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    format_span_id,
    format_trace_id,
    get_current_span,
)
from tornado.web import HTTPError

from tor_async_couchdb import AsyncPersister, Database, retry
from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter
from tor_async_couchdb.errors import NotFoundError
from tor_async_couchdb.testing.fault_proxy import FaultProxy, changed_first, cut_before
from tor_async_couchdb.tests.things import Documents, Thing, ThingRetriever
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.correlation import TRACE_ID
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.tests.serving import serving
from tor_async_service.tracing.otel import OpenTelemetryTracer, tracer_from_environment

_TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
_CALLER = "b7ad6b7169203331"
_SAMPLED = f"00-{_TRACE_ID}-{_CALLER}-01"
_NOT_SAMPLED = f"00-{_TRACE_ID}-{_CALLER}-00"


class Spans:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.processor = SimpleSpanProcessor(self._exporter)

    def all(self) -> list[ReadableSpan]:
        return [*self._exporter.get_finished_spans()]

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.named(name)
        return span

    def forget(self) -> None:
        self._exporter.clear()


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    yield spans
    spans.provider.shutdown()


@pytest.fixture
def tracer(spans: Spans) -> OpenTelemetryTracer:
    return OpenTelemetryTracer(spans.provider, spans.processor)


def ids(span: ReadableSpan) -> tuple[str, str]:
    """The ids of a span's trace and of itself."""
    return format_trace_id(span.context.trace_id), format_span_id(span.context.span_id)


def parent_of(span: ReadableSpan) -> str | None:
    return None if span.parent is None else format_span_id(span.parent.span_id)


def links_of(span: ReadableSpan) -> set[tuple[str, str]]:
    return {
        (format_trace_id(link.context.trace_id), format_span_id(link.context.span_id)) for link in span.links
    }


@pytest.fixture
def look_up(database: Database) -> str:
    """The name of the span of the call that finds a thing."""
    return f"GET /{{db}}/_design/{{ddoc}}/_view/{{view}} {database.name}"


async def test_request_and_its_calls_have_spans_by_the_conventions(
    client: aiohttp.ClientSession, spans: Spans, documents: Documents, database: Database, look_up: str
) -> None:
    documents.put_thing("a")
    async with client.get("/things/a") as response:
        assert response.status == 200
    server = spans.one("GET /things/{key}")
    assert server.kind is SpanKind.SERVER
    assert server.attributes == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/things/a",
        "http.route": "/things/{key}",
        "http.response.status_code": 200,
    }
    call = spans.one(look_up)
    assert call.kind is SpanKind.CLIENT
    assert call.attributes is not None
    assert call.attributes == {
        "db.system.name": "couchdb",
        "db.operation.name": "GET /{db}/_design/{ddoc}/_view/{view}",
        "db.namespace": database.name,
        "db.response.status_code": "200",
        "server.address": "127.0.0.1",
        "server.port": call.attributes["server.port"],
    }
    assert parent_of(call) == ids(server)[1]
    assert ids(call)[0] == ids(server)[0]
    assert server.parent is None
    assert server.status.status_code is call.status.status_code is StatusCode.UNSET


async def test_trace_of_the_caller_goes_on_to_couchdb(
    client: aiohttp.ClientSession, spans: Spans, documents: Documents, proxy: FaultProxy, look_up: str
) -> None:
    documents.put_thing("a")
    proxy.requests.clear()
    headers = {"traceparent": _SAMPLED, "tracestate": "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"}
    async with client.get("/things/a", headers=headers):
        pass
    server, call = spans.one("GET /things/{key}"), spans.one(look_up)
    assert ids(server)[0] == ids(call)[0] == _TRACE_ID
    assert parent_of(server) == _CALLER
    sent = proxy.requests[-1].incoming.headers
    assert sent["traceparent"] == f"00-{_TRACE_ID}-{ids(call)[1]}-01"
    assert sent["tracestate"] == headers["tracestate"]


@pytest.mark.parametrize(
    "malformed",
    [
        "",
        "0",
        _SAMPLED.upper(),
        _SAMPLED.replace("00-", "ff-", 1),
        f"{_SAMPLED}-extra",
        f"00-{'0' * 32}-{_CALLER}-01",
        f"00-{_TRACE_ID}-{'0' * 16}-01",
        f"00-{_TRACE_ID[:-1]}-{_CALLER}-01",
        f"00-{_TRACE_ID}-{_CALLER}",
        f"{_SAMPLED}, {_SAMPLED}",
        "ü" * 55,
    ],
)
async def test_malformed_traceparent_is_ignored(
    lone_client: aiohttp.ClientSession, spans: Spans, malformed: str
) -> None:
    headers = {"traceparent": malformed, "tracestate": "a=1"}
    async with lone_client.get("/_noop", headers=headers) as response:
        assert response.status == 200
    server = spans.one("GET /_noop")
    assert server.parent is None
    assert ids(server)[0] != _TRACE_ID
    assert not server.context.trace_state


@pytest.mark.parametrize("state", ["=", "a=1,a=2", "x" * 5000, ",".join(f"k{i}=v" for i in range(100))])
async def test_malformed_tracestate_does_not_end_the_trace(
    lone_client: aiohttp.ClientSession, spans: Spans, state: str
) -> None:
    async with lone_client.get("/_noop", headers={"traceparent": _SAMPLED, "tracestate": state}) as response:
        assert response.status == 200
    assert ids(spans.one("GET /_noop"))[0] == _TRACE_ID


async def test_decision_of_the_caller_not_to_sample_is_kept_and_passed_on(
    client: aiohttp.ClientSession, spans: Spans, documents: Documents, proxy: FaultProxy
) -> None:
    documents.put_thing("a")
    async with client.get("/things/a", headers={"traceparent": _NOT_SAMPLED}):
        pass
    assert spans.all() == []
    version, trace, _, flags = proxy.requests[-1].incoming.headers["traceparent"].split("-")
    assert (version, trace, flags) == ("00", _TRACE_ID, "00")


async def test_next_request_of_a_connection_is_a_trace_of_its_own(
    lone_client: aiohttp.ClientSession, spans: Spans
) -> None:
    for headers in ({"traceparent": _SAMPLED}, {}):
        async with lone_client.get("/_noop", headers=headers):
            pass
    first, second = spans.named("GET /_noop")
    assert ids(first)[0] == _TRACE_ID
    assert second.parent is None
    assert ids(second)[0] != _TRACE_ID


async def test_unknown_path_and_method_make_no_names(
    lone_client: aiohttp.ClientSession, spans: Spans
) -> None:
    async with lone_client.request("BREW", "/pot/1", headers={"Connection": "close"}) as response:
        assert response.status == 405
    async with lone_client.get("/pot/2") as response:
        assert response.status == 404
    assert [span.name for span in spans.all()] == ["HTTP", "GET"]
    brew, get = (span.attributes or {} for span in spans.all())
    assert (brew["http.request.method"], brew["http.request.method_original"]) == ("_OTHER", "BREW")
    assert "http.route" not in brew
    assert "http.route" not in get
    assert all(span.status.status_code is StatusCode.UNSET for span in spans.all())  # the client's errors


async def test_call_that_fails_is_an_error_and_each_attempt_has_a_span(
    client: aiohttp.ClientSession, spans: Spans, proxy: FaultProxy, look_up: str
) -> None:
    proxy.inject(cut_before, times=3)
    async with client.get("/things/a") as response:
        assert response.status == 503
    server = spans.one("GET /things/{key}")
    assert server.status.status_code is StatusCode.ERROR
    assert (server.attributes or {})["error.type"] == "503"
    calls = spans.named(look_up)
    assert [parent_of(call) for call in calls] == [ids(server)[1]] * 3
    for call in calls:
        assert call.status.status_code is StatusCode.ERROR
        assert (call.attributes or {})["error.type"] == "ConnectionBrokeError"
        assert "db.response.status_code" not in (call.attributes or {})


async def test_document_that_is_missing_makes_an_error_of_the_call(
    database: Database, spans: Spans, documents: Documents
) -> None:
    with pytest.raises(NotFoundError):
        await database.fetch("absent")
    call = spans.one(f"GET /{{db}}/{{docid}} {database.name}")
    assert call.status.status_code is StatusCode.ERROR
    assert (
        (call.attributes or {})["error.type"] == (call.attributes or {})["db.response.status_code"] == "404"
    )


@dataclasses.dataclass(frozen=True)
class _Counter:
    key: str
    database: Database

    @retry()
    async def count(self) -> Thing | None:
        """Changes the thing, in as many attempts as it takes."""
        thing = await ThingRetriever("thing_by_key", self.key, database=self.database).fetch()
        assert thing is not None
        logging.getLogger(__name__).info("counting in trace %s", TRACE_ID.get())
        return await AsyncPersister(thing.replace(count=thing.count + 1), database=self.database).persist()


class _CountingHandler(ServiceHandler):
    async def post(self, key: str) -> None:
        self.write_model(await _Counter(key, self.database).count())


@pytest.fixture
async def counting(
    database: Database, parts: Parts, documents: Documents
) -> AsyncIterator[aiohttp.ClientSession]:
    app = ServiceApplication(
        [("/things/([^/]+)/count", _CountingHandler)], database, version="1", parts=parts
    )
    async with serving(app) as client:
        yield client


async def test_conflicts_and_retries_are_events_of_the_request(
    counting: aiohttp.ClientSession, spans: Spans, documents: Documents, proxy: FaultProxy
) -> None:
    documents.put_thing("a")
    proxy.inject(changed_first(), "_bulk_docs", times=2)
    async with counting.post("/things/a/count") as response:
        assert response.status == 200
    server = spans.one("POST /things/{key}/count")
    assert [event.name for event in server.events] == ["couchdb.conflict", "couchdb.retry"] * 2
    assert server.events[1].attributes == {"pause_s": 0.0}


async def test_handler_can_add_to_the_span_of_its_request_until_that_ends(
    absent_database: Database, tracer: OpenTelemetryTracer, spans: Spans
) -> None:
    seen: list[Span] = []

    class Handler(ServiceHandler):
        async def get(self) -> None:
            span = get_current_span()
            seen.append(span)
            assert span.is_recording()
            span.update_name("GET /other")
            span.set_attribute("one", 1)
            span.set_attributes({"two": 2.0, "three": ["a", "b"]})
            span.add_event("step", {"number": 1})
            span.record_exception(KeyError("k"))
            span.set_status(StatusCode.ERROR, "why")
            span.set_status(StatusCode.UNSET)

    app = ServiceApplication([("/", Handler)], absent_database, version="1", parts=Parts(tracer=tracer))
    async with serving(app) as client, client.get("/") as response:
        assert response.status == 200
    late = seen[0]
    assert not late.is_recording()
    late.set_attribute("late", True)
    late.add_event("late")
    late.end()
    span = spans.one("GET /other")
    assert span.attributes is not None
    assert {name: span.attributes.get(name) for name in ("one", "two", "late")} == {
        "one": 1,
        "two": 2.0,
        "late": None,
    }
    step, exception = span.events
    assert (step.name, step.attributes) == ("step", {"number": 1})
    assert exception.attributes is not None
    assert exception.name == "exception"
    assert exception.attributes["exception.type"] == "builtins.KeyError"
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "why")


async def test_status_that_a_handler_calls_ok_stays(
    absent_database: Database, tracer: OpenTelemetryTracer, spans: Spans
) -> None:
    class Handler(ServiceHandler):
        async def get(self) -> None:
            get_current_span().set_status(StatusCode.OK)
            raise HTTPError(500)

    app = ServiceApplication([("/", Handler)], absent_database, version="1", parts=Parts(tracer=tracer))
    async with serving(app) as client, client.get("/") as response:
        assert response.status == 500
    assert spans.one("GET /").status.status_code is StatusCode.OK


async def test_log_lines_of_a_request_have_the_id_of_its_trace(
    counting: aiohttp.ClientSession, documents: Documents, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    documents.put_thing("a")
    async with counting.post("/things/a/count", headers={"traceparent": _SAMPLED}):
        pass
    assert f"counting in trace {_TRACE_ID}" in caplog.text
    assert TRACE_ID.get() == ""


async def test_sdk_that_is_disabled_traces_nothing(
    absent_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    class Handler(ServiceHandler):
        async def get(self) -> None:
            seen.append(TRACE_ID.get())

    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    spans = Spans()
    parts = Parts(tracer=OpenTelemetryTracer(spans.provider, spans.processor))
    app = ServiceApplication([("/", Handler)], absent_database, version="1", parts=parts)
    async with serving(app) as client, client.get("/") as response:
        assert response.status == 200
    assert seen == [""]
    assert spans.all() == []


async def test_exemplars_have_the_ids_of_the_spans(
    client: aiohttp.ClientSession, spans: Spans, documents: Documents, look_up: str
) -> None:
    documents.put_thing("a")
    async with client.get("/things/a"):
        pass
    accept = {"Accept": "application/openmetrics-text; version=1.0.0", "traceparent": _NOT_SAMPLED}
    async with client.get("/_metrics", headers=accept) as response:
        text = await response.text()
    for name in ("GET /things/{key}", look_up):
        trace, span = ids(spans.one(name))
        assert f'# {{span_id="{span}",trace_id="{trace}"}}' in text
    assert _TRACE_ID not in text


class _TogetherHandler(ServiceHandler):
    """Waits for the others before it reads its document, so that all are read by one call."""

    async def get(self, document_id: str) -> None:
        async with asyncio.timeout(20):
            await self.settings["barrier"].wait()
        document = await self.database.fetch(document_id)
        self.write_json({"id": document["_id"]})


async def test_call_is_linked_with_all_requests_that_travel_in_it_and_they_with_it(
    database: Database, parts: Parts, spans: Spans, documents: Documents
) -> None:
    for key in "abcd":
        documents.put(_id=key)
    app = ServiceApplication(
        [("/documents/(.)", _TogetherHandler)],
        database,
        version="1",
        parts=parts,
        settings={"barrier": asyncio.Barrier(4)},
    )
    async with serving(app) as client:

        async def get(key: str) -> None:
            # The parent of the call has to be one that is sampled: a is not.
            headers = {"traceparent": _NOT_SAMPLED} if key == "a" else {}
            async with client.get(f"/documents/{key}", headers=headers) as response:
                assert await response.json() == {"id": key}

        await asyncio.gather(*map(get, "abcd"))
    shared = spans.one(f"POST /{{db}}/_bulk_get {database.name}")
    requests = {ids(span): span for span in spans.named("GET /documents/{document_id}")}
    travellers = links_of(shared)
    assert len(travellers) == 4
    assert {trace for trace, _ in travellers - set(requests)} == {_TRACE_ID}
    (parent,) = (request for request in requests if request[1] == parent_of(shared))
    assert ids(shared)[0] == parent[0]
    assert {request: links_of(span) for request, span in requests.items()} == {
        request: set() if request == parent else {ids(shared)} for request in requests
    }


async def test_write_of_several_documents_has_its_size(
    database: Database, spans: Spans, documents: Documents
) -> None:
    await database.save({"_id": "first"})  # before it the database is asked how it is to be written to
    spans.forget()
    await asyncio.gather(*(database.save({"_id": key}) for key in "abc"))
    (write,) = spans.named(f"POST /{{db}}/_bulk_docs {database.name}")
    assert (write.attributes or {})["db.operation.batch.size"] == 3
    assert write.parent is None  # nobody asked for it
    assert not write.links


async def test_group_commit_is_linked_with_all_whose_changes_it_writes(
    database: Database, spans: Spans, documents: Documents
) -> None:
    documents.put_thing("a")
    tracer = spans.provider.get_tracer(__name__)

    async def count() -> None:
        with tracer.start_as_current_span("caller"):
            retriever = ThingRetriever("thing_by_key", "a", database=database)
            await AsyncGroupCommitter(retriever).commit(lambda thing: thing.replace(count=thing.count + 1))

    await asyncio.gather(*(count() for _ in range(3)))
    write = spans.one(f"POST /{{db}}/_bulk_docs {database.name}")
    callers = spans.named("caller")
    assert links_of(write) == {ids(caller) for caller in callers}
    assert parent_of(write) == ids(callers[0])[1]
    assert "db.operation.batch.size" not in (write.attributes or {})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
    ],
)
def test_way_to_send_traces_that_is_not_supported_is_named(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is '{value}'"):
        tracer_from_environment({name: value})
