"""One form for equal JSON values, so that all writers of a value write the same bytes."""

import re
from typing import Any

import msgspec

LARGEST_EXACT_INTEGER = 2**53 - 1  # RFC 8259, section 6
HALF_A_SURROGATE_PAIR = re.compile("[\ud800-\udfff]")


def canonical(value: Any) -> Any:
    """The value with the names of all its objects sorted, and with integers for integral numbers.

    To JSON 1 equals 1.0 and the order of names means nothing, but CouchDB makes different revisions of them.
    """
    match value:
        case dict():
            return {name: canonical(value[name]) for name in sorted(value)}
        case list() | tuple():
            return [canonical(item) for item in value]
        case float() if value.is_integer() and abs(value) <= LARGEST_EXACT_INTEGER:
            return int(value)
        case _:
            return value


def canonical_bytes(value: Any) -> bytes:
    """The canonical form as JSON: equal for equal values, and only for these."""
    return msgspec.json.encode(canonical(value))


def is_plain(value: Any) -> bool:
    """Whether the value holds only text, exact integers and constants, under ASCII names.

    Every JSON parser returns such a value unchanged; some change others.
    """
    kind = type(value)
    if kind is str:
        return bool(value.isascii()) or HALF_A_SURROGATE_PAIR.search(value) is None
    if kind is int:
        return bool(abs(value) <= LARGEST_EXACT_INTEGER)
    if kind is dict:
        for name, member in value.items():
            if not (type(name) is str and name.isascii() and is_plain(member)):
                return False
        return True
    if kind is list or kind is tuple:
        for item in value:  # noqa: SIM110 - a generator would double the depth of the recursion
            if not is_plain(item):
                return False
        return True
    return value is None or kind is bool
