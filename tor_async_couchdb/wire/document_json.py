"""Documents as JSON, for CouchDB and from it."""

import contextlib
import math
from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire.json_parts import UNDECODABLE, members, reason_of
from tor_async_couchdb.wire.revision import Rev


class _History(msgspec.Struct, frozen=True):
    start: int
    ids: Annotated[list[str], msgspec.Meta(min_length=1)]


class _Stored(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="_id")
    rev: Rev = msgspec.field(name="_rev")
    conflicts: list[Rev] = msgspec.field(name="_conflicts", default=[])
    revisions: _History | None = msgspec.field(name="_revisions", default=None)


class UnreadableDocumentError(InvalidDocumentError):
    """A stored document can't be decoded, as one that is nested deeper than Python's stack.

    `document` has those of its members that can be.
    """

    def __init__(self, reason: str, document: Document) -> None:
        super().__init__(f"can't be decoded: {reason}", document_id=str(document.get("_id")))
        self.document = document


def decode(text: bytes | msgspec.Raw) -> Document:
    """The document in a JSON text.

    Raises:
        UnreadableDocumentError: it can't be decoded.
    """
    try:
        document: Document = msgspec.json.decode(text)
    except UNDECODABLE as error:
        raise UnreadableDocumentError(reason_of(error), _decodable(bytes(text))) from error
    return document


def decode_apart(text: bytes | msgspec.Raw) -> Document | UnreadableDocumentError:
    """The document in a JSON text, or the error for it."""
    try:
        return decode(text)
    except UnreadableDocumentError as error:
        return error


def check_is_stored(document: object, *, with_history: bool = False) -> None:
    """Checks that a document has what CouchDB adds to each that it returns, in its form.

    Raises:
        msgspec.ValidationError: something is missing or wrong, so it is not CouchDB that answered.
    """
    stored = msgspec.convert(document, _Stored)
    if with_history and stored.revisions is None:
        raise msgspec.ValidationError("Object missing required field `_revisions`")


def stored_apart(
    texts: Iterable[bytes | msgspec.Raw], *, with_history: bool = False
) -> list[Document | UnreadableDocumentError]:
    """The stored documents in JSON texts, or the error for each that can't be decoded.

    Raises:
        msgspec.ValidationError, ValueError: one is no stored document, so it is not CouchDB that answered.
    """
    outcomes = [decode_apart(text) for text in texts]
    for each in outcomes:
        document = each.document if isinstance(each, UnreadableDocumentError) else each
        check_is_stored(document, with_history=with_history)
    return outcomes


def refuse(text: bytes) -> Document:
    """Says what is wrong with a text that can't be decoded.

    Raises:
        UnreadableDocumentError: it is a stored document.
        ValueError: it is none.
    """
    document = _decodable(text)
    if "_id" not in document:
        raise ValueError("no document")
    return decode(text)


def _decodable(text: bytes) -> Document:
    document = {}
    for name, value in members(text).items():
        with contextlib.suppress(*UNDECODABLE):
            document[name] = msgspec.json.decode(value)
    return document


def encode(document: Document) -> bytes:
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
