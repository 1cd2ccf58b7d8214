"""Data keys: one key set a subject, kept outside of CouchDB, wrapped (encrypted) by a master key.

Old revisions, replicas and backups of a database keep what was once encrypted. Whoever deletes a person's
data key has made all of that unreadable, wherever it is (crypto-shredding). And for a new master key only the
data keys are wrapped anew; no document is touched.

All methods block: `encryption` calls them in threads, and commands as they are.
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

    A subject that was forgotten stays known as that: a key that is missing for another reason, such as a
    wrong store, must not be taken for one that was deleted.

    Each method raises DataKeyError if the store can't be used.
    """

    def fetch(self, subject_ids: Collection[str]) -> Mapping[str, bytes | None]:
        """The wrapped keys of those subjects that have one; None for those that were forgotten."""

    def add(self, subject_id: str, wrapped: bytes) -> None:
        """Adds a subject's key, unless it has one or was forgotten."""

    def replace(self, subject_id: str, old: bytes, new: bytes) -> bool:
        """Replaces a subject's key if it still is the old one; whether it was."""

    def erase(self, subject_id: str) -> None:
        """Deletes a subject's key, for good."""

    def subject_ids(self, after: str, limit: int) -> list[str]:
        """The first `limit` subjects after one, in order, of those that have a key."""


# What becomes of a key set, which is given as it is and wrapped; None if it stays as it is.
_Change = Callable[[AeadKeySet, bytes], AeadKeySet | None]


class DataKeys:
    """The data keys of a store, unwrapped by a master key."""

    def __init__(self, store: DataKeyStore, master_key: AeadKeySet) -> None:
        self._store = store
        self._master_key = master_key
        # Whether a key is still what it was has to be asked again and again, but unwrapping takes longest.
        self._unwrap = functools.lru_cache(_MAX_UNWRAPPED)(self._unwrapped)

    def fetch(self, subject_ids: Collection[str]) -> dict[str, AeadKeySet | None]:
        """The keys of those subjects that have one; None for those that were forgotten.

        Raises:
            DataKeyError: the store can't be used, or its keys were wrapped by another master key.
        """
        found = self._store.fetch(subject_ids)
        return {
            subject_id: None if wrapped is None else self._unwrap(subject_id, wrapped)
            for subject_id, wrapped in found.items()
        }

    def fetch_or_make(self, subject_id: str) -> AeadKeySet | None:
        """The subject's key, a new one if it has none; None if it was forgotten. Raises as `fetch` does."""
        found = self.fetch([subject_id])
        if subject_id not in found:
            self._store.add(subject_id, self._wrap(subject_id, AeadKeySet.new()))
            found = self.fetch([subject_id])  # another process may have been first
        return found[subject_id]

    def erase(self, subject_id: str) -> None:
        """Deletes the subject's key, for good: what it encrypted can't be read any more, wherever it is.

        A subject that never had a key will never have one.
        """
        self._store.erase(subject_id)
        self._unwrap.cache_clear()

    def rotate(self) -> int:
        """Gives each subject a new primary key beside the old one; how many subjects had to be given one.

        One that still has the old key of an earlier rotation is left to the end of that one.
        """
        return self._change_all(lambda key, _: key.with_new_primary() if len(key.key_ids) == 1 else None)

    def retire(self) -> int:
        """Deletes all but the primary keys; how many subjects had others.

        What is still encrypted by those can't be read any more: first have all documents re-encrypted.
        """
        return self._change_all(lambda key, _: key.only_primary() if len(key.key_ids) > 1 else None)

    def rewrap(self) -> int:
        """Wraps each data key by the primary key of the master's; how many another one had wrapped."""
        primary_id = self._master_key.primary_id
        return self._change_all(lambda key, wrapped: None if key_id_of(wrapped) == primary_id else key)

    def _change_all(self, change: _Change) -> int:
        return sum(self._change(subject_id, change) for subject_id in self._subject_ids())

    def _change(self, subject_id: str, change: _Change) -> int:
        while True:
            wrapped = self._store.fetch([subject_id]).get(subject_id)
            if wrapped is None:  # forgotten meanwhile
                return 0
            changed = change(self._unwrap(subject_id, wrapped), wrapped)
            if changed is None:
                return 0
            if self._store.replace(subject_id, wrapped, self._wrap(subject_id, changed)):
                return 1

    def _subject_ids(self) -> Iterator[str]:
        subject_ids = self._store.subject_ids("", _PAGE_SIZE)
        while subject_ids:
            yield from subject_ids
            subject_ids = self._store.subject_ids(subject_ids[-1], _PAGE_SIZE)

    def _wrap(self, subject_id: str, key: AeadKeySet) -> bytes:
        return self._master_key.encrypt(key.text.encode(), subject_id.encode())

    def _unwrapped(self, subject_id: str, wrapped: bytes) -> AeadKeySet:
        try:
            return AeadKeySet(self._master_key.decrypt(wrapped, subject_id.encode()).decode())
        except ValueError:
            raise DataKeyError(
                f"the data key of subject {subject_id!r} was wrapped by another master key"
            ) from None
