"""Which request a line of the log belongs to: two ids that travel in context variables, for the log alone."""

import re
import secrets
from contextvars import ContextVar

# Empty outside of a request. What traces requests sets TRACE_ID while it handles one.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")

# The ids of common proxies fit: UUIDs, hexadecimal numbers, base64. None of these needs an escape anywhere.
_WELL_FORMED = re.compile(r"[A-Za-z0-9._~:+/=@-]{1,128}")


def request_id_of(header: str | None) -> str:
    """The id that a client or a proxy gave to its request if it is well-formed, else a new one."""
    if header is not None and _WELL_FORMED.fullmatch(header):
        return header
    return secrets.token_hex(16)
