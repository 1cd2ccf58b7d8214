"""One form for equal JSON values, so that whoever writes the same value writes the same bytes."""

from typing import Any

import msgspec

from tor_async_couchdb.model.canonical_json import LARGEST_EXACT_INTEGER


def canonical(value: Any) -> Any:
    """The value with the names of all its objects in order, and with integers for integral numbers.

    CouchDB tells 1 from 1.0, and one order of names from another, where JSON does not.
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
    """The value as JSON; equal for equal values, and only for these."""
    return msgspec.json.encode(canonical(value))
