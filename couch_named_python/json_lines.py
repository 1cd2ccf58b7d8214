"""JSON for CouchDB's lines: msgspec's speed, without the types that msgspec takes and JSON doesn't have.

msgspec writes sets in hash order, which differs from process to process, NaN as null, and bytes, dates,
Decimal, UUID and dataclasses in forms of its own. CouchDB would store all of them. Here they are errors.
"""

from collections.abc import Callable, Iterable, Sequence
from types import NoneType
from typing import Any

import msgspec

from couch_named_python.errors import InvalidJSONError

_encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode

UNREADABLE = (RecursionError, msgspec.ValidationError)
"""Raised by ``decode`` for valid JSON that Python can't hold: nested too deeply, numbers too long."""

MALFORMED = (msgspec.DecodeError, UnicodeDecodeError)
"""Raised by ``decode`` for what isn't JSON."""

_SCALARS = frozenset({str, int, bool, NoneType})
_SHOWN_KEY_CHARACTERS = 40


def encode(value: Any, name: str = "value") -> bytes:
    """Return ``value`` as one line of JSON, without the line's end.

    Tuples are arrays. Instances of subclasses of str, int, float, list, tuple and dict count as what they
    are derived from, so a namedtuple is an array and a member of a StrEnum is a string.

    Raises:
        InvalidJSONError: JSON has no form for a part of it: any other type, NaN, infinity, a lone surrogate,
            a key that is no string, an integer of more than 4,300 digits, or it is nested too deeply. The
            message says which part, as seen from ``name``.
    """
    line = _encode_exact_types(value)
    return _encode_copy(lambda: _exact_copy(value, name)) if line is None else line


def encode_rows(rows: Sequence[tuple[Any, Any]]) -> bytes:
    """Return a map function's (key, value) pairs as one line of JSON, without the line's end.

    Raises:
        InvalidJSONError: JSON has no form for a key or value. The message says in which row, counted from 0.
    """
    line = _encode_exact_types(rows)
    if line is not None:
        return line
    return _encode_copy(
        lambda: [
            (_exact_copy(key, f"rows[{number}], key"), _exact_copy(value, f"rows[{number}], value"))
            for number, (key, value) in enumerate(rows)
        ]
    )


def encode_text_line(*texts: str) -> bytes:
    """Return an array of strings as one line of JSON; lone surrogates become question marks."""
    return _encode([text.encode("utf-8", "replace").decode() for text in texts])


def number(value: Any, default: float) -> float:
    """Return ``value`` if it is a number, else ``default``: for settings that a server may not send."""
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _encode_exact_types(value: Any) -> bytes | None:
    """Return ``value`` as JSON; None if a part of it isn't exactly of a type that JSON knows."""
    try:
        line: bytes = _encode(value)
    except Exception:  # noqa: BLE001 -- objects of other types raise what they like; a copy finds the reason
        return None
    # Only what msgspec has encoded is known to have an end: a list may contain itself.
    return line if _has_exact_types(value) else None


def _has_exact_types(value: Any) -> bool:
    """Return True if all parts have JSON's types, not subclasses, and all floats are finite.

    Every result passes through here, so this is a loop without calls.
    """
    containers: list[Iterable[Any]] = [(value,)]
    for container in containers:
        for member in container:
            kind = type(member)
            if kind in _SCALARS:
                continue
            if kind is list or kind is tuple:
                containers.append(member)
            elif kind is dict:
                for key in member:
                    if type(key) is not str:
                        return False
                containers.append(member.values())
            elif kind is not float or member - member != 0.0:
                return False
    return True


def _encode_copy(copy: Callable[[], Any]) -> bytes:
    try:
        line: bytes = _encode(copy())
    except RecursionError as error:
        raise InvalidJSONError("nested too deeply") from error
    return line


def _exact_copy(value: Any, where: str) -> Any:
    """Return a copy in JSON's exact types, made with their own methods, whatever a subclass overrides."""
    kind = type(value)  # not isinstance(), which believes an object that claims to be another
    if kind is bool or value is None:
        return value
    if issubclass(kind, str):
        return _exact_text(value, where)
    if issubclass(kind, int):
        return _exact_integer(value, where)
    if issubclass(kind, float):
        return _exact_float(value, where)
    if issubclass(kind, list):
        return [_exact_copy(member, f"{where}[{i}]") for i, member in enumerate(list.__iter__(value))]
    if issubclass(kind, tuple):
        return [_exact_copy(member, f"{where}[{i}]") for i, member in enumerate(tuple.__iter__(value))]
    if issubclass(kind, dict):
        return {
            _exact_key(key, where): _exact_copy(member, f"{where}[{_shown(key)}]")
            for key, member in dict.items(value)
        }
    raise InvalidJSONError(f"{where}: JSON has no form for type {kind.__name__}")


def _exact_text(value: str, where: str) -> str:
    text = str.__str__(value)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidJSONError(f"{where}: the string has a lone surrogate at index {error.start}") from error
    return text


def _exact_integer(value: int, where: str) -> int:
    exact = int.__int__(value)
    try:
        str(exact)
    except ValueError as error:
        raise InvalidJSONError(f"{where}: the integer has too many digits") from error
    return exact


def _exact_float(value: float, where: str) -> float:
    exact = float.__float__(value)
    if exact - exact != 0.0:
        raise InvalidJSONError(f"{where}: {exact} has no JSON form")
    return exact


def _exact_key(key: Any, where: str) -> str:
    if not issubclass(type(key), str):
        raise InvalidJSONError(
            f"{where}: a key is a string, but {_shown(key)} is of type {type(key).__name__}"
        )
    return _exact_text(key, f"{where}, key {_shown(key)}")


def _shown(key: Any) -> str:
    try:
        shown = repr(key)
    except Exception:  # noqa: BLE001 -- the key's own code; the message goes without it
        return "…"
    return shown if len(shown) <= _SHOWN_KEY_CHARACTERS else f"{shown[:_SHOWN_KEY_CHARACTERS]}…"
