"""Documents as JSON for CouchDB."""

import math
from typing import Any

import msgspec

from tor_async_couchdb.errors import InvalidDocumentError


def encode(document: dict[str, Any]) -> bytes:
    """The document's JSON.

    Raises:
        InvalidDocumentError: the document holds a value that JSON has no form for: a lone surrogate, NaN,
            infinity, an object. For one such document CouchDB would refuse a whole `_bulk_docs`.
    """
    try:
        for name, value in document.items():
            _refuse_non_finite(value, name, document)
        return msgspec.json.encode(document)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidDocumentError(f"is not JSON: {error}", document_id=document.get("_id")) from error


def _refuse_non_finite(value: Any, name: str, document: dict[str, Any]) -> None:
    if isinstance(value, float) and not math.isfinite(value):  # msgspec would write null
        raise InvalidDocumentError(
            f"{value} is not a JSON number", document_id=document.get("_id"), property_name=name
        )
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return
    for item in value:
        _refuse_non_finite(item, name, document)
