"""Traces: a span for each request, and one for each call to CouchDB. `otel` needs the extra of that name."""
