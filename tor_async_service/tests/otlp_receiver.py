"""A receiver of traces that speaks OTLP over HTTP, as a collector does."""

import http.server
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span


class OTLPReceiver:
    """Listens on a free port of this machine and keeps what it gets. With `hangs` it never answers.

    Use it as a context manager.
    """

    def __init__(self, *, hangs: bool = False) -> None:
        self._hangs = hangs
        self._end = threading.Event()
        self.asked = threading.Event()
        self._requests: list[ExportTraceServiceRequest] = []
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The value of OTEL_EXPORTER_OTLP_ENDPOINT."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def resources(self) -> Iterator[ResourceSpans]:
        """What it got, by the resource that sent it."""
        for request in [*self._requests]:
            yield from request.resource_spans

    @property
    def span_count(self) -> int:
        """How many spans it got."""
        return sum(len(scope.spans) for resource in self.resources() for scope in resource.scope_spans)

    def spans(self) -> list[Span]:
        """All spans that it got."""
        return [
            span for resource in self.resources() for scope in resource.scope_spans for span in scope.spans
        ]

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_understood = (
                    self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
                )
                if is_understood:
                    receiver._requests.append(ExportTraceServiceRequest.FromString(body))
                receiver.asked.set()
                if receiver._hangs:
                    receiver._end.wait()
                answer = ExportTraceServiceResponse().SerializeToString()
                self.send_response(200 if is_understood else 400)
                self.send_header("Content-Type", "application/x-protobuf")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *arguments: object) -> None:
                """Logs nothing."""

        return Handler
