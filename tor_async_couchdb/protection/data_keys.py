"""Data keys: one key set for each subject, kept outside of CouchDB, wrapped (encrypted) by a master key.

Old revisions, replicas and backups of a database keep the ciphertexts of deleted data. Once a person's data
key is deleted, none of them can be decrypted any more (crypto-shredding). For a new master key only the data
keys are wrapped again; no document changes.

All methods block. `Encryption` calls them in threads.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Protocol

from tor_async_couchdb.errors import DataKeyError
from tor_async_couchdb.protection.aead_key_set import AeadKeySet, key_id_of

_PAGE_SIZE = 500
_MAX_UNWRAPPED = 10_000  # some 4 kB each


class DataKeyStore(Protocol):
    """Keeps wrapped data keys, for all processes that use a database. Its methods may block.

    They run in the context of the request, so `deadline.current()` says how long they may take.

    The store remembers which subjects were erased. So a key that is missing for another reason, such as the
    wrong store, is not taken for one that was deleted.

    Each method raises DataKeyError if the store can't be used.
    """

    def fetch(self, subject_ids: Collection[str]) -> Mapping[str, bytes | None]:
        """The wrapped keys of those subjects that have one; None for those that were erased."""

    def add(self, subject_id: str, wrapped: bytes) -> None:
        """Adds a subject's key, unless the subject has one or was erased."""

    def replace(self, subject_id: str, old: bytes, new: bytes) -> bool:
        """Replaces a subject's key if it still is `old`; returns whether it was."""

    def erase(self, subject_id: str) -> None:
        """Deletes a subject's key, and never lets it have another one."""

    def subject_ids(self, after: str, limit: int) -> list[str]:
        """The ids of the first `limit` subjects that have a key, in order, from the one after `after` on."""


# Makes a new key set of a key set and its wrapped form; None if nothing has to change.
_Change = Callable[[AeadKeySet, bytes], AeadKeySet | None]


class DataKeys:
    """The data keys of a store, unwrapped by a master key.

    It reads the subjects in pages of `page_size` when it changes all keys.
    """

    def __init__(self, store: DataKeyStore, master_key: AeadKeySet, *, page_size: int = _PAGE_SIZE) -> None:
        self._store = store
        self._master_key = master_key
        self._page_size = page_size
        # The store is asked each time, in case a key was changed; only unwrapping, which is slow, is cached.
        self._unwrap = functools.lru_cache(_MAX_UNWRAPPED)(self._unwrapped)

    def fetch(self, subject_ids: Collection[str]) -> dict[str, AeadKeySet | None]:
        """The keys of those subjects that have one; None for those that were erased.

        Raises:
            DataKeyError: the store can't be used, or its keys were wrapped by another master key.
        """
        found = self._store.fetch(subject_ids)
        return {
            subject_id: None if wrapped is None else self._unwrap(subject_id, wrapped)
            for subject_id, wrapped in found.items()
        }

    def fetch_or_make(self, subject_id: str) -> AeadKeySet | None:
        """The subject's key, a new one if it has none; None if it was erased.

        Raises:
            DataKeyError: the store can't be used, or its keys were wrapped by another master key.
        """
        found = self.fetch([subject_id])
        if subject_id not in found:
            self._store.add(subject_id, self._wrap(subject_id, AeadKeySet.new()))
            found = self.fetch([subject_id])  # another process may have been first
        return found[subject_id]

    def erase(self, subject_id: str) -> None:
        """Deletes the subject's key for good: nothing that it encrypted can be decrypted any more.

        A subject that has no key yet will never have one.
        """
        self._store.erase(subject_id)
        self._unwrap.cache_clear()

    def rotate(self) -> int:
        """Gives each subject a new primary key beside the old one; returns how many subjects got one.

        A subject that still has the old key of an earlier rotation gets none: first end that rotation by
        `retire`.
        """
        return self._change_all(lambda key, _: key.with_new_primary() if len(key.key_ids) == 1 else None)

    def retire(self) -> int:
        """Deletes all but the primary keys; returns how many subjects had others.

        Ciphertexts of the deleted keys can't be decrypted any more: first re-encrypt all documents.
        """
        return self._change_all(lambda key, _: key.only_primary() if len(key.key_ids) > 1 else None)

    def rewrap(self) -> int:
        """Wraps by the master key set's primary key what an older one wrapped; returns how many data keys."""
        primary_id = self._master_key.primary_id
        return self._change_all(lambda key, wrapped: None if key_id_of(wrapped) == primary_id else key)

    def _change_all(self, change: _Change) -> int:
        return sum(self._change(subject_id, change) for subject_id in self._subject_ids())

    def _change(self, subject_id: str, change: _Change) -> int:
        while True:
            wrapped = self._store.fetch([subject_id]).get(subject_id)
            if wrapped is None:  # erased meanwhile
                return 0
            changed = change(self._unwrap(subject_id, wrapped), wrapped)
            if changed is None:
                return 0
            if self._store.replace(subject_id, wrapped, self._wrap(subject_id, changed)):
                return 1

    def _subject_ids(self) -> Iterator[str]:
        subject_ids = self._store.subject_ids("", self._page_size)
        while subject_ids:
            yield from subject_ids
            subject_ids = self._store.subject_ids(subject_ids[-1], self._page_size)

    def _wrap(self, subject_id: str, key: AeadKeySet) -> bytes:
        return self._master_key.encrypt(key.text.encode(), subject_id.encode())

    def _unwrapped(self, subject_id: str, wrapped: bytes) -> AeadKeySet:
        try:
            return AeadKeySet(self._master_key.decrypt(wrapped, subject_id.encode()).decode())
        except ValueError:
            raise DataKeyError(
                f"the data key of subject {subject_id!r} was wrapped by another master key"
            ) from None
