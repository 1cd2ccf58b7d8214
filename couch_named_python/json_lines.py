"""JSON as CouchDB reads it: msgspec's speed, without its tolerance for NaN."""

from typing import Any

import msgspec

from couch_named_python.errors import QueryServerError

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

UNREADABLE = (RecursionError, msgspec.ValidationError)
"""Raised by ``decode`` for valid JSON that Python can't hold: nested too deeply, numbers too long."""

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)
"""Raised by ``decode`` for what isn't JSON."""


def encode(value: Any) -> bytes:
    """Return ``value`` as one line of JSON, without the line's end.

    Raises:
        QueryServerError: it can't be JSON: NaN, infinity, a lone surrogate, nested too deeply, no JSON type.
    """
    try:
        line: bytes = _encode(value)
        # msgspec writes NaN and infinity as null, which only shows where a null is.
        if b"null" in line:
            _refuse_non_finite(value)
    except (ValueError, TypeError, RecursionError, OverflowError) as error:
        raise QueryServerError("invalid_json", f"not JSON: {error}") from error
    return line


def encode_text_line(*texts: str) -> bytes:
    """Return an array of strings as one line of JSON, whatever is in them."""
    return _encode([text.encode("utf-8", "replace").decode() for text in texts])


def number(value: Any, default: float) -> float:
    """Return ``value`` if it is a number, else ``default``: for settings that a server may not send."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _refuse_non_finite(value: Any) -> None:
    if isinstance(value, float):
        if value - value != 0.0:
            raise ValueError(f"{value} has no JSON form")
    elif isinstance(value, dict):
        for member in value.values():
            _refuse_non_finite(member)
    elif isinstance(value, list | tuple):
        for member in value:
            _refuse_non_finite(member)
