"""Which request a line of the log belongs to: an id that travels in a context variable, for the log alone."""

from contextvars import ContextVar

# Empty outside of a request. What traces requests sets TRACE_ID while it handles one.
TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")
