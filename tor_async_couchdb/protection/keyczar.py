"""Reads the key sets that python-keyczar wrote, so that documents signed with them can still be verified.

Keyczar is no longer maintained; its authors recommend Tink. A Keyczar signature covers neither a document's
`_id` nor its `_rev`, so a copy of a signed document under another id is accepted. Re-signing with a Tink key
set ends that. Until then a service accepts both:

    signer = TransitionalSigner(
        TamperingSigner.from_file("keys.json"), KeyczarSigner(KeyczarKeySet.from_folder("old_keys"))
    )

The format is that of python-keyczar 0.716 for purpose SIGN_AND_VERIFY and type HMAC_SHA1.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection.signing import Signer

_FORMAT_VERSION = b"\x00"
_KEY_HASH_SIZE_BYTES = 4
_HEADER_SIZE_BYTES = len(_FORMAT_VERSION) + _KEY_HASH_SIZE_BYTES


class KeyczarKeySet:
    """Signs bytes by the primary version of a Keyczar key set, and verifies by any version."""

    def __init__(self, keys: Mapping[bytes, bytes], primary: bytes | None) -> None:
        self._keys = keys
        self._primary = primary

    @classmethod
    def from_folder(cls, path: str | os.PathLike[str]) -> KeyczarKeySet:
        """Reads the folder that `keyczart create` and `addkey` made: `meta`, and a file for each version.

        Raises:
            OSError: a file can't be read.
            ValueError: the folder holds no such key set, or one that is itself encrypted.
        """
        folder = Path(path)
        try:
            meta = json.loads((folder / "meta").read_text(encoding="utf-8"))
            if (meta["purpose"], meta["type"], meta["encrypted"]) != ("SIGN_AND_VERIFY", "HMAC_SHA1", False):
                raise ValueError("of another kind")  # noqa: TRY301 - the handler below makes the message
            keys = {}
            primary = None
            for version in meta["versions"]:
                key = json.loads((folder / str(version["versionNumber"])).read_text(encoding="utf-8"))
                secret = _decode(key["hmacKeyString"])
                keys[_key_hash(secret)] = secret
                if version["status"] == "PRIMARY":
                    primary = _key_hash(secret)
        except (ValueError, KeyError, TypeError):
            # What could not be read is not quoted: it may be a key.
            raise ValueError(f"'{path}' holds no Keyczar key set of unencrypted HMAC_SHA1 keys") from None
        return cls(keys, primary)

    def sign(self, data: bytes) -> str:
        """The signature by the primary version, as URL-safe base64 text without padding.

        Raises:
            ValueError: no version is primary.
        """
        if self._primary is None:
            raise ValueError("the Keyczar key set has no primary key")
        signature = _FORMAT_VERSION + self._primary + _mac(self._keys[self._primary], data)
        return base64.urlsafe_b64encode(signature).rstrip(b"=").decode("ascii")

    def verify(self, data: bytes, signature: str) -> bool:
        """Whether a version of the key set made the signature for these bytes."""
        try:
            decoded = _decode(signature)
        except ValueError:
            return False
        secret = self._keys.get(decoded[len(_FORMAT_VERSION) : _HEADER_SIZE_BYTES])
        if secret is None or not decoded.startswith(_FORMAT_VERSION):
            return False
        return hmac.compare_digest(decoded[_HEADER_SIZE_BYTES:], _mac(secret, data))


class KeyczarSigner:
    """A `Signer` by a Keyczar key set. It verifies documents, and signs them only with `signs=True`."""

    def __init__(self, key_set: KeyczarKeySet, *, signs: bool = False) -> None:
        self._key_set = key_set
        self._signs = signs

    def sign(self, doc: Mapping[str, Any]) -> str:
        """The signature, which does not cover the document's id.

        Raises:
            TypeError: the signer was made without `signs=True`.
        """
        if not self._signs:
            raise TypeError("a Keyczar key set signs new documents only with signs=True")
        return self._key_set.sign(_signed_bytes(doc))

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        """Whether the signature is that of the document's body; the id does not matter."""
        return self._key_set.verify(_signed_bytes(doc), signature)


class TransitionalSigner:
    """A `Signer` for the time until all documents are re-signed: `new` signs, `new` or `old` verifies."""

    def __init__(self, new: Signer, old: Signer) -> None:
        self._new = new
        self._old = old

    def sign(self, doc: Mapping[str, Any]) -> str:
        """The signature of the new signer."""
        return self._new.sign(doc)

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        """Whether the signature is that of either signer."""
        return any(_verifies(signer, doc, signature) for signer in (self._new, self._old))


def _verifies(signer: Signer, doc: Mapping[str, Any], signature: str) -> bool:
    try:
        return signer.verify(doc, signature)
    except (ValueError, RecursionError):  # a document may have a canonical form for one signer only
        return False


def _signed_bytes(doc: Mapping[str, Any]) -> bytes:
    """The bytes that the original signed: Python's own JSON, with its spaces and escapes, names sorted."""
    covered = {
        name: value
        for name, value in doc.items()
        if not (name.startswith("_") or name == SIGNATURE_PROPERTY_NAME)
    }
    return json.dumps(covered, sort_keys=True).encode("ascii")


def _mac(secret: bytes, data: bytes) -> bytes:
    return hmac.digest(secret, data + _FORMAT_VERSION, "sha1")


def _key_hash(secret: bytes) -> bytes:
    return hashlib.sha1(secret, usedforsecurity=False).digest()[:_KEY_HASH_SIZE_BYTES]


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
