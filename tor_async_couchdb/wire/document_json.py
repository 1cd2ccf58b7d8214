"""Documents as JSON, for CouchDB and from it."""

import contextlib
import math
from collections.abc import Iterable
from types import NoneType
from typing import Annotated, Any

import msgspec

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire.json_parts import UNDECODABLE, members, reason_of
from tor_async_couchdb.wire.revision import Rev

_SCALARS = frozenset({str, int, bool, NoneType})


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

    A document may hold what JSON has a form for: None, bool, int, str, finite floats, and lists, tuples and
    dicts of these, whose keys are str. Instances of their subclasses, such as members of a StrEnum, count as
    what they are derived from. msgspec alone would take more, and CouchDB would store what it makes of it:
    sets in an order that differs from process to process, dates and bytes as texts, NaN as null.

    Raises:
        InvalidDocumentError: the document holds something else, or a lone surrogate, an integer of more than
            4,300 digits, or itself. For one such document CouchDB would refuse a whole `_bulk_docs`.
    """
    try:
        encoded: bytes = msgspec.json.encode(document)
    except Exception:  # noqa: BLE001 - objects of other types raise what they like; a copy finds the reason
        encoded = b""
    # Only what msgspec has encoded is known to have an end: a list may contain itself.
    return encoded if encoded and _is_plain(document) else _encoded_copy(document)


def _is_plain(document: Document) -> bool:
    """Whether all parts have JSON's types, and no subclasses, and all floats are finite.

    Every write passes through here, so this is a loop without calls.
    """
    containers: list[Iterable[Any]] = [(document,)]
    for container in containers:
        for member in container:
            kind = type(member)
            if kind in _SCALARS:
                continue
            if kind is list or kind is tuple:
                containers.append(member)
            elif kind is dict:
                for name in member:
                    if type(name) is not str:
                        return False
                containers.append(member.values())
            elif kind is not float or member - member != 0.0:
                return False
    return True


def _encoded_copy(document: Document) -> bytes:
    document_id = document.get("_id")
    copied = {}
    for name, value in dict.items(document):
        try:
            copied[_plain_name(name)] = _plain(value)
            msgspec.json.encode(copied[name])  # a lone surrogate, or an integer that is too long
        except (TypeError, ValueError, RecursionError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise InvalidDocumentError(
                f"is not JSON: {reason}", document_id=document_id, property_name=str(name)
            ) from error
    try:
        return msgspec.json.encode(copied)
    except ValueError as error:
        raise InvalidDocumentError(f"is not JSON: {error}", document_id=document_id) from error


def _plain(value: Any) -> Any:
    """A copy in JSON's own types, made with their own methods, whatever a subclass overrides."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, float):
        number = float.__float__(value)
        if not math.isfinite(number):
            raise ValueError(f"{number} is not a JSON number")
        return number
    if issubclass(kind, list | tuple):
        iterate = list.__iter__ if issubclass(kind, list) else tuple.__iter__
        return [_plain(member) for member in iterate(value)]
    if issubclass(kind, dict):
        return {_plain_name(name): _plain(member) for name, member in dict.items(value)}
    raise TypeError(f"JSON has no form for type {kind.__name__}")


def _plain_name(name: Any) -> str:
    if not issubclass(type(name), str):
        raise TypeError(f"the name of a property is a text, but one is of type {type(name).__name__}")
    return str.__str__(name)
