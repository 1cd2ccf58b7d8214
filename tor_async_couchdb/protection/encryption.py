"""Encrypts the properties that a model declares as encrypted, by the data key of the document's subject.

A ciphertext is bound to the document's type and id and to the property's name: elsewhere it does not decrypt.
It is stored as `{"encrypted": TEXT}`, which no model takes for the value itself.
"""

from __future__ import annotations

import asyncio
import binascii
import collections
import concurrent.futures
import contextvars
import dataclasses
import functools
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import DataKeyError, InvalidDocumentError, SubjectErasedError, TamperedError
from tor_async_couchdb.guard import Open
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.protection.aead_key_set import AeadKeySet, key_id_of
from tor_async_couchdb.protection.data_keys import DataKeys

T = TypeVar("T")

_ENCRYPTED = "encrypted"

# How long a process may use a data key that another process has deleted or rotated.
MAX_AGE_S = 10.0
_MAX_CACHED = 10_000  # some 4 kB each
# Threads of their own: a store that hangs must not stop what else runs in threads, such as name resolution.
_MAX_THREADS = 16


@dataclasses.dataclass(frozen=True, slots=True)
class _Cached:
    key: AeadKeySet | None = dataclasses.field(repr=False)
    until_s: float

    def has(self, key_ids: Collection[int], now_s: float) -> bool:
        """Whether it is recent and, unless the subject was erased, has all of these keys."""
        return now_s < self.until_s and (self.key is None or self.key.key_ids.issuperset(key_ids))


class Encryption:
    """Encrypts what a service writes and decrypts what it reads.

    It caches the data keys of the `max_cached` subjects that were used last, for `MAX_AGE_S` seconds on the
    clock of `now`. A store of data keys that hangs is waited for until the deadline.
    """

    def __init__(
        self,
        data_keys: DataKeys,
        *,
        max_cached: int = _MAX_CACHED,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._data_keys = data_keys
        self._max_cached = max_cached
        self._now = now
        self._threads = concurrent.futures.ThreadPoolExecutor(_MAX_THREADS, "data-keys")
        self._cached: collections.OrderedDict[str, _Cached] = collections.OrderedDict()

    async def encrypted(self, model_class: type[Model], document: Document) -> Document:
        """The document as it is stored, made of one with the values of its model.

        Raises:
            SubjectErasedError: the data key of the document's subject was deleted.
            DataKeyError: the data keys can't be used.
        """
        if all(document.get(name) is None for name in model_class.encrypted_names):
            return document
        subject_id = subject_of(model_class, document)
        cached = self._cached.get(subject_id)
        if cached is None or not cached.has((), self._now()):
            key = await self._in_time(self._data_keys.fetch_or_make, subject_id)
            cached = self._cache(subject_id, key)
        if cached.key is None:
            raise SubjectErasedError(document["_id"])
        return encrypted(model_class, document, cached.key)

    async def decrypter(self, model_class: type[Model], documents: Iterable[Document]) -> Open:
        """Fetches the keys of these documents, and returns what decrypts each of them without I/O.

        Raises:
            DataKeyError: the data keys can't be used.
        """
        if not model_class.decrypted_names:
            return dict
        keys: dict[str, AeadKeySet | None] = {}
        missing = []
        for subject_id, key_ids in needed_keys(model_class, documents).items():
            cached = self._cached.get(subject_id)
            if cached is not None and cached.has(key_ids, self._now()):
                self._cached.move_to_end(subject_id)
                keys[subject_id] = cached.key
            else:
                missing.append(subject_id)
        if missing:
            found = await self._in_time(self._data_keys.fetch, missing)
            for subject_id, key in found.items():
                self._cache(subject_id, key)
            keys |= found
        return lambda document: decrypted(model_class, document, keys)

    async def erase(self, subject_id: str) -> None:
        """Deletes the subject's data key for good: what it encrypted reads as None from now on.

        Other processes may use the key for another `MAX_AGE_S` seconds.

        Raises:
            DataKeyError: the data keys can't be used, or did not answer in time; erase the subject again.
        """
        await self._in_time(self._data_keys.erase, subject_id)
        self._cache(subject_id, None)

    def _cache(self, subject_id: str, key: AeadKeySet | None) -> _Cached:
        cached = self._cached[subject_id] = _Cached(key, self._now() + MAX_AGE_S)
        self._cached.move_to_end(subject_id)
        if len(self._cached) > self._max_cached:
            self._cached.popitem(last=False)
        return cached

    async def _in_time(self, function: Callable[..., T], *arguments: Any) -> T:
        """The result of a function that blocks, run in a thread; DataKeyError at the deadline.

        The thread has the caller's context, so that a store can ask for the deadline.
        """
        run = functools.partial(contextvars.copy_context().run, function, *arguments)
        try:
            return await deadline.met(asyncio.get_running_loop().run_in_executor(self._threads, run))
        except TimeoutError as error:
            raise DataKeyError("the store of the data keys did not answer before the deadline") from error


def subject_of(model_class: type[Model], document: Document) -> str:
    """The subject whose data key encrypts the document; InvalidDocumentError if the document names none."""
    name = model_class.subject_name
    subject_id = document.get("_id" if name is None else name)
    if not isinstance(subject_id, str):
        raise _invalid(document, name, "names the subject of the document, so it has to be a string")
    return subject_id


def encrypted(model_class: type[Model], document: Document, key: AeadKeySet) -> Document:
    """The document as it is stored, made of one with the values of its model."""
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
    """The document with the values that its model reads; those of an erased subject are None.

    Raises:
        TamperedError: a ciphertext was changed, or belongs to another property or document.
        InvalidDocumentError: a value is not encrypted, or the subject has no such key.
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
    except RecursionError:
        raise _invalid(document, name, "is nested too deeply") from None


def is_outdated(model_class: type[Model], document: Document, key: AeadKeySet) -> bool:
    """Whether a key other than the primary one has encrypted a property of the document."""
    return any(
        key_id_of(ciphertext) != key.primary_id for _, ciphertext in _ciphertexts(model_class, document)
    )


def needed_keys(model_class: type[Model], documents: Iterable[Document]) -> dict[str, set[int]]:
    """The ids of the keys that decrypt these documents, by subject; malformed ciphertexts are left out."""
    needed: dict[str, set[int]] = {}
    for document in documents:
        try:
            key_ids = {key_id_of(ciphertext) for _, ciphertext in _ciphertexts(model_class, document)}
            if key_ids:
                needed.setdefault(subject_of(model_class, document), set()).update(key_ids)
        except InvalidDocumentError:  # decrypting the document raises it again
            continue
    return needed


def _ciphertexts(model_class: type[Model], document: Document) -> Iterator[tuple[str, bytes]]:
    for name in model_class.decrypted_names:
        stored = document.get(name)
        if stored is None:
            continue
        text = stored.get(_ENCRYPTED) if isinstance(stored, dict) else None
        if not isinstance(text, str):
            raise _invalid(document, name, "is not encrypted")
        try:
            yield name, binascii.a2b_base64(text, strict_mode=True)
        except ValueError:
            raise _invalid(document, name, "is not a ciphertext") from None


def _associated_data(document: Document, name: str) -> bytes:
    return msgspec.json.encode([document["type"], document["_id"], name])


def _invalid(document: Document, name: str | None, reason: str) -> InvalidDocumentError:
    return InvalidDocumentError(reason, document_id=document.get("_id"), property_name=name)
