"""Transactions with optimistic concurrency control.

A transaction reads everything at one revision and keeps its writes back. At its end one transaction of etcd
applies them all, if nothing that was read has changed since. For a range that was read, two comparisons are
needed: no key in it is newer, which finds new keys, and each key that was in it still has its revision, which
finds deleted keys.
"""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Protocol, Self

from tor_async_etcd.errors import (
    OUT_OF_RANGE,
    Compacted,
    ConflictError,
    Error,
    Failed,
    TransactionTooLargeError,
    UniqueError,
)
from tor_async_etcd.kv.keyset import EVERYTHING, KeySet, prefix_end
from tor_async_etcd.kv.paging import PAGE_SIZE
from tor_async_etcd.kv.transaction import Comp, CompModified, Op, OpDel, OpSet, Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tor_async_etcd.kv.client import Client
    from tor_async_etcd.results import Range

MAX_OPERATIONS = 128  # comparisons, and operations, in one transaction: etcd's default --max-txn-ops


class Indexed(Protocol):
    """A map that keeps its indexes in step with its values."""

    async def unindex(self, txn: DbTransaction, key: bytes, value: bytes) -> None:
        """Remove the index entries of a value that the key no longer has."""

    async def index(self, txn: DbTransaction, key: bytes, value: bytes) -> None:
        """Add the index entries of the value that the key has now. Raises UniqueError."""


class DbTransaction:
    """A transaction, got from `Database.begin` or `Database.run`.

    It sees its own writes, and nothing that others wrote since its first read. Its keys are without the
    database's prefix. `revision` is the revision of all its reads, None before the first; `committed` is that
    of its writes, None before the commit. `timeout_s` returns how many seconds its next request may take, or
    None for as many as the client was given.
    """

    def __init__(
        self,
        client: Client,
        prefix: bytes,
        write: bool,
        timeout_s: Callable[[], float | None] = lambda: None,
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.revision: int | None = None
        self.committed: int | None = None
        self._client = client
        self.prefix = prefix
        self._write = write
        self.timeout_s = timeout_s
        self._page_size = page_size
        self._first_read = asyncio.Lock()
        self._read: dict[
            bytes, tuple[bytes | None, int]
        ] = {}  # value and mod_revision; of a missing key None, 0
        self._scanned: list[KeySet] = []
        self._written: dict[bytes, bytes | None] = {}
        self._required: list[Comp] = []
        self._to_index: dict[bytes, Indexed] = {}
        self._indexed: dict[bytes, bytes | None] = {}
        self._failure: UniqueError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        if kind is None and self._write:
            await self._commit()

    async def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, or None if there is no such key."""
        key = self.prefix + key
        return self._written[key] if key in self._written else await self._stored(key)

    async def scan(self, keys: KeySet, *, limit: int | None = None) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield keys and their values in order, at most `limit` of them."""
        start, end = self.prefix + keys.key, keys.range_end
        if end is not None:
            end = prefix_end(self.prefix) if end == EVERYTHING else self.prefix + end
        wanted = sys.maxsize if limit is None else limit
        while wanted > 0:
            page = await self._range(KeySet(start, end), min(wanted, self._page_size))
            page_end = page.kvs[-1].key + b"\0" if page.more else end
            for key, value in self._merged(page, KeySet(start, page_end))[:wanted]:
                yield key.removeprefix(self.prefix), value
                wanted -= 1
            if not page.more:
                return
            start = page.kvs[-1].key + b"\0"

    def put(self, key: bytes, value: bytes, *, indexed: Indexed | None = None) -> None:
        """Set a key, at the commit. Raises RuntimeError if the transaction only reads."""
        self._change(key, value, indexed)

    def delete(self, key: bytes, *, indexed: Indexed | None = None) -> None:
        """Delete a key, at the commit. Raises RuntimeError if the transaction only reads."""
        self._change(key, None, indexed)

    def require(self, comparison: Comp) -> None:
        """Commit only if this comparison holds too, such as a lock's guard; else the commit raises Failed."""
        self._required.append(comparison)

    async def settle(self) -> None:
        """Bring the indexes in step with what was written. It is called before a read of them and at the end.

        Raises:
            UniqueError: a unique index has a value for another key already; the transaction can't commit.
        """
        changed, self._to_index = self._to_index, {}
        before = {}
        for key in changed:
            before[key] = self._indexed[key] if key in self._indexed else await self._stored(key)
            self._indexed[key] = self._written[key]
        # All old entries go before new ones come, so that keys can swap a unique value.
        for key, indexed in changed.items():
            if (value := before[key]) is not None:
                await indexed.unindex(self, key.removeprefix(self.prefix), value)
        try:
            for key, indexed in changed.items():
                if (value := self._indexed[key]) is not None:
                    await indexed.index(self, key.removeprefix(self.prefix), value)
        except UniqueError as error:
            self._failure = error
            raise

    def _change(self, key: bytes, value: bytes | None, indexed: Indexed | None) -> None:
        if not self._write:
            raise RuntimeError("this transaction only reads: begin(write=True) begins one that writes")
        self._written[self.prefix + key] = value
        if indexed is not None:
            self._to_index[self.prefix + key] = indexed

    def _merged(self, page: Range, keys: KeySet) -> list[tuple[bytes, bytes]]:
        if self._write:
            self._scanned.append(keys)
            self._read.update({kv.key: (kv.value, kv.mod_revision) for kv in page.kvs})
        values: dict[bytes, bytes | None] = {kv.key: kv.value for kv in page.kvs}
        values.update({key: value for key, value in self._written.items() if key in keys})
        return sorted((key, value) for key, value in values.items() if value is not None)

    async def _stored(self, key: bytes) -> bytes | None:
        if key not in self._read:
            kvs = (await self._range(KeySet(key), 1)).kvs
            self._read[key] = (kvs[0].value, kvs[0].mod_revision) if kvs else (None, 0)
        return self._read[key][0]

    async def _range(self, keys: KeySet, limit: int) -> Range:
        if self.revision is None:
            async with self._first_read:  # reads that begin together have to end up at one revision too
                if self.revision is None:
                    found = await self._client.get(keys, limit=limit, timeout_s=self.timeout_s())
                    self.revision = found.header.revision
                    return found
        try:
            return await self._client.get(
                keys, limit=limit, revision=self.revision, timeout_s=self.timeout_s()
            )
        except Error as error:
            if error.code != OUT_OF_RANGE or isinstance(error, Compacted):
                raise
            raise ConflictError(
                f"etcd's data was replaced: it has no revision {self.revision} any more"
            ) from error

    async def _commit(self) -> None:
        await self.settle()
        if self._failure is not None:
            raise self._failure
        if not self._written:
            return  # all that it read was of one revision
        try:
            done = await self._client.submit(self._transaction(), timeout_s=self.timeout_s())
            self.committed = done.header.revision
        except Failed as error:
            if self._required:
                await self._client.submit(Transaction(self._required), timeout_s=self.timeout_s())
            raise ConflictError(f"what was read at revision {self.revision} has changed since") from error

    def _transaction(self) -> Transaction:
        compare: list[Comp] = [CompModified(key, "==", revision) for key, (_, revision) in self._read.items()]
        compare += [CompModified(keys, "<", (self.revision or 0) + 1) for keys in self._scanned]
        compare += self._required
        operations: list[Op] = [
            OpDel(key) if value is None else OpSet(key, value) for key, value in self._written.items()
        ]
        if max(len(compare), len(operations)) > MAX_OPERATIONS:
            raise TransactionTooLargeError(
                f"the transaction compares {len(compare)} keys and ranges that it read and changes"
                f" {len(operations)} keys and index entries; etcd takes {MAX_OPERATIONS} of each at once"
            )
        return Transaction(compare, operations)
