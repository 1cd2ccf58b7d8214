"""Encrypts the properties that a model declares as encrypted, by the data key of the document's subject.

A ciphertext is bound to the document's type and id and to the property's name: moved to another place it does
not decrypt. What is stored for a value is `{"encrypted": TEXT}`, which no model takes for the value.
"""

from __future__ import annotations

import asyncio
import binascii
import collections
import dataclasses
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from tor_async_couchdb.errors import ForgottenError, InvalidDocumentError, TamperedError
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.protection.aead_key_set import AeadKeySet, key_id_of
from tor_async_couchdb.protection.data_keys import DataKeys

_ENCRYPTED = "encrypted"

# How long a process may go on with a data key that another one has deleted or rotated, and how many it keeps
# (some 4 kB each).
MAX_AGE_S = 10.0
_MAX_KEPT = 10_000

# Makes of a document as it is stored one with the values that its model has.
Decrypt = Callable[[Document], Document]


@dataclasses.dataclass(frozen=True, slots=True)
class _Kept:
    key: AeadKeySet | None = dataclasses.field(repr=False)
    until_s: float

    def has(self, key_ids: Collection[int]) -> bool:
        """Whether it is recent, and, unless the subject was forgotten, has all of these keys."""
        is_recent = time.monotonic() < self.until_s
        return is_recent and (self.key is None or self.key.key_ids.issuperset(key_ids))


class Encryption:
    """Encrypts what a service writes and decrypts what it reads; keeps the data keys of the last subjects.

    Without data keys it does for models that have nothing to encrypt; others are a TypeError.
    """

    def __init__(self, data_keys: DataKeys | None = None) -> None:
        self._given_data_keys = data_keys
        self._kept: collections.OrderedDict[str, _Kept] = collections.OrderedDict()

    @property
    def _data_keys(self) -> DataKeys:
        if self._given_data_keys is None:
            raise TypeError("a model has encrypted properties: set the encryption of its database")
        return self._given_data_keys

    async def encrypted(self, model_class: type[Model], document: Document) -> Document:
        """The document as it is to be stored, made of one with the values that its model has.

        Raises:
            ForgottenError: the document's subject has been forgotten.
            DataKeyError: the data keys can't be had.
        """
        if all(document.get(name) is None for name in model_class.encrypted_names):
            return document
        subject_id = subject_of(model_class, document)
        kept = self._kept.get(subject_id)
        if kept is None or not kept.has(()):
            key = await asyncio.to_thread(self._data_keys.fetch_or_make, subject_id)
            kept = self._keep(subject_id, key)
        if kept.key is None:
            raise ForgottenError(document["_id"])
        return encrypted(model_class, document, kept.key)

    async def decrypter(self, model_class: type[Model], documents: Iterable[Document]) -> Decrypt:
        """Fetches the keys of these documents; what decrypts each of them then needs nobody any more.

        Raises:
            DataKeyError: the data keys can't be had.
        """
        if not model_class.encrypted_names:
            return dict
        keys: dict[str, AeadKeySet | None] = {}
        missing = []
        for subject_id, key_ids in needed_keys(model_class, documents).items():
            kept = self._kept.get(subject_id)
            if kept is not None and kept.has(key_ids):
                self._kept.move_to_end(subject_id)
                keys[subject_id] = kept.key
            else:
                missing.append(subject_id)
        if missing:
            found = await asyncio.to_thread(self._data_keys.fetch, missing)
            for subject_id, key in found.items():
                self._keep(subject_id, key)
            keys |= found
        return lambda document: decrypted(model_class, document, keys)

    async def forget(self, subject_id: str) -> None:
        """Deletes the subject's data key for good: what it encrypted reads as None from now on.

        Other processes may go on with it for `MAX_AGE_S` seconds.

        Raises:
            DataKeyError: the data keys can't be had; nobody was forgotten.
        """
        await asyncio.to_thread(self._data_keys.forget, subject_id)
        self._keep(subject_id, None)

    def _keep(self, subject_id: str, key: AeadKeySet | None) -> _Kept:
        kept = self._kept[subject_id] = _Kept(key, time.monotonic() + MAX_AGE_S)
        self._kept.move_to_end(subject_id)
        if len(self._kept) > _MAX_KEPT:
            self._kept.popitem(last=False)
        return kept


def subject_of(model_class: type[Model], document: Document) -> str:
    """Whose data key encrypts what is encrypted in a document; InvalidDocumentError if nothing says it."""
    name = model_class.subject_name
    subject_id = document.get("_id" if name is None else name)
    if not isinstance(subject_id, str):
        raise _invalid(document, name, "says whom the document is about, so it has to be a string")
    return subject_id


def encrypted(model_class: type[Model], document: Document, key: AeadKeySet) -> Document:
    """The document as it is to be stored, made of one with the values that its model has."""
    ciphertexts = {
        name: key.encrypt(msgspec.json.encode(document[name]), _associated_data(document, name))
        for name in model_class.encrypted_names
        if document[name] is not None
    }
    return document | {
        name: {_ENCRYPTED: binascii.b2a_base64(ciphertext, newline=False).decode("ascii")}
        for name, ciphertext in ciphertexts.items()
    }


def decrypted(
    model_class: type[Model], document: Document, keys: Mapping[str, AeadKeySet | None]
) -> Document:
    """The document with the values that its model has; those of a forgotten subject are None.

    Raises:
        TamperedError: a ciphertext was changed, or belongs to another property or document.
        InvalidDocumentError: a value is not encrypted, or its key is not among the subject's.
    """
    ciphertexts = dict(_ciphertexts(model_class, document))
    if not ciphertexts:
        return document
    subject_id = subject_of(model_class, document)
    if subject_id not in keys:
        raise _invalid(document, next(iter(ciphertexts)), f"there is no data key of subject {subject_id!r}")
    key = keys[subject_id]
    return document | {
        name: None if key is None else _decrypted(document, name, ciphertext, key)
        for name, ciphertext in ciphertexts.items()
    }


def _decrypted(document: Document, name: str, ciphertext: bytes, key: AeadKeySet) -> Any:
    if key_id_of(ciphertext) not in key.key_ids:
        raise _invalid(document, name, "is encrypted by a key that its subject does not have")
    try:
        return msgspec.json.decode(key.decrypt(ciphertext, _associated_data(document, name)))
    except ValueError:
        raise TamperedError(str(document.get("_id"))) from None


def is_outdated(model_class: type[Model], document: Document, key: AeadKeySet) -> bool:
    """Whether a document has something that another than the primary key has encrypted."""
    return any(
        key_id_of(ciphertext) != key.primary_id for _, ciphertext in _ciphertexts(model_class, document)
    )


def needed_keys(model_class: type[Model], documents: Iterable[Document]) -> dict[str, set[int]]:
    """The ids of the keys that decrypt these documents, by subject; what can't be read needs none."""
    needed: dict[str, set[int]] = {}
    for document in documents:
        try:
            key_ids = {key_id_of(ciphertext) for _, ciphertext in _ciphertexts(model_class, document)}
            if key_ids:
                needed.setdefault(subject_of(model_class, document), set()).update(key_ids)
        except InvalidDocumentError:  # which who reads it will meet
            continue
    return needed


def _ciphertexts(model_class: type[Model], document: Document) -> Iterator[tuple[str, bytes]]:
    for name in model_class.encrypted_names:
        stored = document.get(name)
        if stored is None:
            continue
        text = stored.get(_ENCRYPTED) if isinstance(stored, dict) else None
        if not isinstance(text, str):
            raise _invalid(document, name, "is not encrypted")
        try:
            yield name, binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise _invalid(document, name, "is no ciphertext") from None


def _associated_data(document: Document, name: str) -> bytes:
    return msgspec.json.encode([document["type"], document["_id"], name])


def _invalid(document: Document, name: str | None, reason: str) -> InvalidDocumentError:
    return InvalidDocumentError(reason, document_id=document.get("_id"), property_name=name)
