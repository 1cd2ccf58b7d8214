"""crud/basic with OpenTelemetry's instrumentations of Tornado and aiohttp, and the same SDK."""

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.tornado import TornadoInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from samples.crud.basic.service import make_app
from tor_async_service import run

if __name__ == "__main__":
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    TornadoInstrumentor().instrument()
    AioHttpClientInstrumentor().instrument()
    run(make_app, "Fruits, with the stock instrumentation.")
