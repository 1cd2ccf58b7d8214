"""A database: a part of an etcd, read and written in transactions."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, TypeVar

from tor_async_etcd.errors import Compacted, ConflictError, EtcdError, OutcomeUnknownError, TransportError
from tor_async_etcd.kv.keyset import KeySet
from tor_async_etcd.maps.db_transaction import DbTransaction
from tor_async_etcd.maps.directory import find_or_create_slot

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tor_async_etcd.kv.client import Client
    from tor_async_etcd.maps.directory import MapT

T = TypeVar("T")

LONGEST_PAUSE_S = 0.5


class Database:
    """The keys of an etcd that start with `prefix`, read and written in transactions."""

    def __init__(self, client: Client, prefix: bytes = b"", *, readonly: bool = False) -> None:
        self.client = client
        self.prefix = prefix
        self._readonly = readonly

    async def status(self, *, timeout_s: float | None = None) -> int:
        """Return etcd's current revision."""
        keys = KeySet(self.prefix, prefix=True)
        return (await self.client.get(keys, count_only=True, timeout_s=timeout_s)).header.revision

    def begin(self, write: bool = False, *, timeout_s: float | None = None) -> DbTransaction:
        """Return a transaction to enter with `async with`. It commits at the end, but not after an error.

        Each of its requests may take `timeout_s`. At the end the context raises:
            ConflictError: another writer changed what it read; nothing was written.
            OutcomeUnknownError: the commit was sent and got no answer.
            TransactionTooLargeError: it does not fit into one transaction of etcd; nothing was written.
            UniqueError: a unique index has a value for another key; nothing was written.
            Failed: a comparison that it required does not hold; nothing was written.
        """
        return self._begin(write, lambda: timeout_s)

    def _begin(self, write: bool, timeout_s: Callable[[], float | None]) -> DbTransaction:
        if write and self._readonly:
            raise RuntimeError("the database was opened to read only")
        return DbTransaction(self.client, self.prefix, write, timeout_s)

    async def attach_table(self, kind: type[MapT], *, timeout_s: float = 30.0) -> MapT:
        """Return the map of a class decorated with `pmap.table`, in the slot of its table.

        A new table gets the next slot. Several processes may attach tables at the same time: a table has one
        slot, and a slot one table. It takes `timeout_s` at most.

        Raises:
            TypeError: the class is not decorated.
        """

        async def find_or_create(txn: DbTransaction) -> int:
            return await find_or_create_slot(self.client, txn, kind)

        return kind(await self.run(find_or_create, timeout_s=timeout_s), **kind.table_options)

    async def run(self, function: Callable[[DbTransaction], Awaitable[T]], *, timeout_s: float = 30.0) -> T:
        """Call the function with a transaction, commit it, and return the function's result.

        After a conflict the function is called again, with a new transaction. So what it does besides has to
        be safe to do twice. After `timeout_s` no try begins, and no request goes on.

        Raises:
            ConflictError: there was no time left for another try.
            TransportError: etcd did not answer in time; nothing was written.
            OutcomeUnknownError: a commit was sent and got no answer. It is not tried again.
        """
        now = asyncio.get_running_loop().time
        began = now()
        deadline = began + timeout_s
        conflicts = 0
        conflict: EtcdError | None = None

        def left_s() -> float:
            return min(self.client.gateway.timeout_s, deadline - now())

        while True:
            try:
                async with self._begin(write=True, timeout_s=left_s) as txn:
                    return await function(txn)
            except (ConflictError, Compacted) as error:
                conflict = error
                conflicts += 1
                ended = now()
                pause_s = pause_after(conflicts, ended - began)
                if ended + pause_s >= deadline:
                    raise
            except OutcomeUnknownError:
                raise
            except TransportError as error:
                if conflict is None or now() < deadline:
                    raise
                raise conflict from error  # it is the reason why the time ran out
            await asyncio.sleep(pause_s)
            began = now()


def pause_after(conflicts: int, took_s: float) -> float:
    """Return the pause after a number of conflicts, the last in a try that took `took_s`, in seconds.

    It is random, up to 4, 8, 16, then 32 times as long as the try, so that few clients try at the same time.
    With a longer pause, clients that had no conflict yet would win again and again over those that had many.
    """
    longest_s = min(took_s * min(2 << conflicts, 32), LONGEST_PAUSE_S)
    return longest_s * int.from_bytes(os.urandom(4), "big") / 2**32
