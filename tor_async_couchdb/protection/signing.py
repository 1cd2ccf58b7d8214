"""Signs documents, so that a change made behind the services' backs shows.

Whoever administers the database can change any document but has no key: the services hold it. A signature
covers a document's `_id`, its type and its body. It does not cover `_rev`, nor CouchDB's other
underscore members, which a read adds or leaves out as it was asked.
"""

from __future__ import annotations

import base64
import math
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import rfc8785

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model import canonical_json
from tor_async_couchdb.model.canonical_json import HALF_A_SURROGATE_PAIR, LARGEST_EXACT_INTEGER, is_plain

SIGNATURE_PROPERTY_NAME = "801dbe4659a641739cbe94fcf0baab03_tampering_v1.0_sig"

_EXPONENT_FROM = 1e21  # below it ECMAScript writes integral numbers as plain digits


class Signer(Protocol):
    """What signs documents: `TamperingSigner`, or those of `keyczar_key_set`."""

    def sign(self, doc: Mapping[str, Any]) -> str:
        """The signature of the document."""

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        """Whether the signature is that of the document; ValueError or RecursionError: it can't have one."""


class TamperingSigner:
    """Signs by the primary key of a Tink key set; any enabled key of the set verifies."""

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
        """The signature as base64 text; it begins with the key's id."""
        return base64.b64encode(self._mac.compute_mac(canonical(doc))).decode("ascii")

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        """Whether a key of the set made the signature for this document."""
        from tink import TinkError

        data = canonical(doc)
        try:
            self._mac.verify_mac(base64.b64decode(signature, validate=True), data)
        except (TinkError, ValueError):
            return False
        return True


def new_key_set(path: str | os.PathLike[str]) -> None:
    """Writes a new key set of one HMAC-SHA-256 key that only the file's owner can read.

    Raises:
        FileExistsError: never overwrites: a key that is gone can't verify what it signed.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(new_key_set_text())


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
        InvalidDocumentError: `_id` or `type` is missing, or a property holds what would come back from
            CouchDB as something else, so that the signature could never verify.
    """
    for name in ("_id", "type"):
        if not isinstance(doc.get(name), str):
            raise _unsignable(doc, name, "a document is signed with it, so it must be a string")
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
    """Whether `doc` is as it was signed. A missing or malformed signature is False, not an error."""
    signature = doc.get(SIGNATURE_PROPERTY_NAME)
    if not isinstance(signature, str):
        return False
    try:
        return signer.verify(doc, signature)
    except (ValueError, RecursionError):  # what can't be written canonically was never signed
        return False


def _covered(doc: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in doc.items()
        if name == "_id" or not (name.startswith("_") or name == SIGNATURE_PROPERTY_NAME)
    }


def canonical(doc: Mapping[str, Any]) -> bytes:
    """What a signature covers, by RFC 8785; ValueError or RecursionError where that has no form for it."""
    return canonical_json.encode(_covered(doc))


def _values(value: object, path: str) -> Iterator[tuple[str, object]]:
    """Each name, text, number and constant within `value` with its path, such as `sizes[2].width`."""
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
    """What CouchDB's JSON round trip would do to `value`; None: it comes back as it is.

    RFC 8785 is about the same numbers, but takes subnormals (CouchDB stores 0.0) and large integral floats,
    which come back as integers.
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
