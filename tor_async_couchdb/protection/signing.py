"""Signs documents, so that a change that bypasses the services is detected.

An administrator of the database can change any document but does not have the key, which the services hold. A
signature covers a document's `_id`, its type and its properties. It does not cover `_rev` nor CouchDB's other
underscore members, attachments among them.
"""

from __future__ import annotations

import base64
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import rfc8785

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model.canonical import HALF_A_SURROGATE_PAIR, LARGEST_EXACT_INTEGER, is_plain
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection.private_file import create_private_file

_EXPONENT_FROM = 1e21  # ECMAScript writes smaller integral numbers as plain digits


class Signer(Protocol):
    """Signs documents: `TamperingSigner`, or one of the signers in `keyczar`."""

    def sign(self, doc: Mapping[str, Any]) -> str:
        """The signature of the document."""

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        """Whether the signature is the document's; ValueError or RecursionError if it can't have one."""


class TamperingSigner:
    """Signs by the primary key of a Tink key set, and verifies by any enabled key of the set."""

    def __init__(self, primitive: Any) -> None:
        self._mac = primitive

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> TamperingSigner:
        """Reads a cleartext JSON key set, as `key_set` or Google's `tinkey` writes it.

        Raises:
            OSError: the file can't be read.
            ValueError: the file holds no Tink key set for message authentication codes.
        """
        from tink import TinkError, json_proto_keyset_format, mac, secret_key_access

        mac.register()
        try:
            text = Path(path).read_text(encoding="utf-8")
            handle = json_proto_keyset_format.parse(text, secret_key_access.TOKEN)
            return cls(handle.primitive(mac.Mac))
        except (TinkError, UnicodeDecodeError):
            # Their messages may quote what could not be read, and that may be a key.
            raise ValueError(f"'{path}' holds no Tink key set for message authentication codes") from None

    def sign(self, doc: Mapping[str, Any]) -> str:
        """The signature as base64 text, which begins with the key's id."""
        return base64.b64encode(self._mac.compute_mac(signed_bytes(doc))).decode("ascii")

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        """Whether a key of the set made the signature for this document."""
        from tink import TinkError

        data = signed_bytes(doc)
        try:
            self._mac.verify_mac(base64.b64decode(signature, validate=True), data)
        except (TinkError, ValueError):
            return False
        return True


def new_key_set(path: str | os.PathLike[str]) -> None:
    """Writes a new key set of one HMAC-SHA-256 key that only the file's owner can read.

    Raises:
        FileExistsError: there is such a file already.
    """
    create_private_file(path, new_key_set_text().encode())


def new_key_set_text() -> str:
    """A new key set of one HMAC-SHA-256 key, as Tink's JSON."""
    import tink
    from tink import json_proto_keyset_format, mac, secret_key_access

    mac.register()
    handle = tink.new_keyset_handle(mac.mac_key_templates.HMAC_SHA256_256BITTAG)
    return str(json_proto_keyset_format.serialize(handle, secret_key_access.TOKEN))


def sign(signer: Signer, doc: dict[str, Any]) -> dict[str, Any]:
    """Sets the signature property of `doc` and returns the same `doc`.

    Raises:
        InvalidDocumentError: `_id` or `type` is missing, or CouchDB would return a property changed, so that
            the signature could not be verified.
    """
    for name in ("_id", "type"):
        if not isinstance(doc.get(name), str):
            raise _unsignable(doc, name, "the signature covers it, so it must be a string")
    try:
        covered = _covered(doc)
        for path, value in () if is_plain(covered) else _values(covered, ""):
            if reason := _why_unsignable(value):
                raise _unsignable(doc, path, reason)
        doc[SIGNATURE_PROPERTY_NAME] = signer.sign(doc)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise InvalidDocumentError(f"can't be signed: {error}", document_id=doc["_id"]) from error
    return doc


def verify(signer: Signer, doc: Mapping[str, Any]) -> bool:
    """Whether `doc` is as it was signed; False if the signature is missing or malformed."""
    signature = doc.get(SIGNATURE_PROPERTY_NAME)
    if not isinstance(signature, str):
        return False
    try:
        return signer.verify(doc, signature)
    except (ValueError, RecursionError):  # a document without a canonical form was never signed
        return False


def _covered(doc: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in doc.items()
        if name == "_id" or not (name.startswith("_") or name == SIGNATURE_PROPERTY_NAME)
    }


def signed_bytes(doc: Mapping[str, Any]) -> bytes:
    """The bytes that a signature covers; ValueError or RecursionError if RFC 8785 has no form for them."""
    return canonical_json(_covered(doc))


def canonical_json(value: Any) -> bytes:
    """The value's canonical JSON by RFC 8785.

    Raises:
        ValueError, RecursionError: RFC 8785 has no form for the value.
    """
    # If all names are ASCII, their order by code points is that of RFC 8785, and msgspec takes a twentieth of
    # the time.
    return msgspec.json.encode(value, order="sorted") if is_plain(value) else rfc8785.dumps(value)


def _values(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Each name, text, number and constant in `value`, with its path, such as `sizes[2].width`."""
    if isinstance(value, dict):
        for name, member in value.items():
            member_path = f"{path}.{name}" if path else f"{name}"
            yield member_path, name
            yield from _values(member, member_path)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            yield from _values(member, f"{path}[{index}]")
    else:
        yield path, value


def _why_unsignable(value: object) -> str | None:
    """Why CouchDB would return `value` changed; None if it would not.

    RFC 8785 restricts numbers in much the same way, but allows subnormals (CouchDB stores 0.0) and large
    integral floats (CouchDB returns integers).
    """
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return "holds half of a surrogate pair" if HALF_A_SURROGATE_PAIR.search(value) else None
    if not isinstance(value, int | float):
        return f"holds a {type(value).__name__}, which JSON has no form for"
    if not math.isfinite(value):
        return "holds a number that is not finite"
    if 0 < abs(value) < sys.float_info.min:
        return "holds a number so small that CouchDB stores 0.0"
    if abs(value) > LARGEST_EXACT_INTEGER and (isinstance(value, int) or abs(value) < _EXPONENT_FROM):
        return "holds an integer beyond ±(2**53 - 1)"
    return None


def _unsignable(doc: Mapping[str, Any], property_name: str, reason: str) -> InvalidDocumentError:
    document_id = doc.get("_id")
    return InvalidDocumentError(
        reason,
        document_id=document_id if isinstance(document_id, str) else None,
        property_name=property_name,
    )
