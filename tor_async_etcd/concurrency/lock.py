"""Locks with fencing tokens."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tor_async_etcd.errors import (
    NOT_FOUND,
    Compacted,
    Error,
    Expired,
    Failed,
    NotHeldError,
    OutcomeUnknownError,
    StoreReplacedError,
)
from tor_async_etcd.kv.keyset import KeySet
from tor_async_etcd.kv.transaction import CompCreated, OpSet, Transaction
from tor_async_etcd.wire.backoff import pauses

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from tor_async_etcd.kv.client import Client

T = TypeVar("T")


class Lock:
    """A lock, which one client at a time holds, in the order in which they asked for it:

        async with Lock(client, b"reports", ttl_s=10) as lock:
            await client.submit(Transaction([lock.guard()], [OpSet(b"report", b"...")]))

    Each client that holds the lock or waits for it has a key in etcd, which ends with its lease. So a holder
    that hangs or is cut off loses the lock, maybe without noticing it: to be in the block is then no
    protection. The guard is one: etcd refuses its transaction once the lock was lost. `token` is a fencing
    token, which grows from holder to holder: another system can refuse a smaller one than it has seen.

    The keys are `name/` and the lease's id in hexadecimal, as those of `etcdctl lock`. So it also excludes
    clients that use etcd's own lock.
    """

    def __init__(self, client: Client, name: bytes, *, ttl_s: int = 10, value: bytes = b"") -> None:
        """Take the lock's name. It must not begin with another lock's name and a slash."""
        self.key = b""
        self.token = 0
        self._created_at = 0  # the revision of the key's creation, which is the token once the lock is held
        self._client = client
        self._queue = KeySet(name + b"/", prefix=True)
        self._value = value
        self._lease = client.lease(ttl_s)

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self._lease)
            await self._lease.run(self._acquire())
            self._release = stack.pop_all()
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._release.aclose()

    @property
    def lost(self) -> asyncio.Future[str]:
        """A future that is done when the lock is lost; its result is the reason."""
        return self._lease.lost

    def guard(self) -> CompCreated:
        """Return a comparison, for any transaction, that holds as long as the lock is held.

        Raises:
            NotHeldError: the lock is not held yet.
        """
        if not self.token:
            raise NotHeldError(f"{self._queue.key!r} is not held yet: it was not entered, or still waits")
        return CompCreated(self.key, "==", self.token)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work and return its result; cancel it and raise Expired as soon as the lock is lost.

        Raises:
            NotHeldError: the lock is not held yet; the work was not begun.
        """
        try:
            self.guard()
        except NotHeldError:
            work.close()
            raise
        return await self._lease.run(work)

    async def _acquire(self) -> None:
        self.key = self._queue.key + b"%x" % self._lease.lease_id
        self._created_at = await self._enqueue()
        while (before := await self._one_before()) is not None:
            key, revision = before
            # If etcd no longer keeps its deletion, look again.
            with contextlib.suppress(Compacted, StoreReplacedError):
                async with self._client.watch(key, start_revision=revision, filters=["NOPUT"]) as watch:
                    await anext(watch)
        self.token = self._created_at

    async def _enqueue(self) -> int:
        """Create the key and return its revision. A second try can't create it twice."""
        absent = CompCreated(self.key, "==", 0)
        enter = Transaction([absent], [OpSet(self.key, self._value, self._lease)])
        waits = pauses()
        while True:
            try:
                return (await self._client.submit(enter)).header.revision
            except Failed:
                return await self._own_revision()
            except OutcomeUnknownError:
                await asyncio.sleep(next(waits))
            except Error as error:
                if error.code == NOT_FOUND:
                    raise Expired(f"the lease of {self.key!r} ended before it could be set") from error
                raise

    async def _one_before(self) -> tuple[bytes, int] | None:
        """Return the key to wait for and the revision to watch it from, or None if the lock is held."""
        before = await self._client.get(
            self._queue,
            max_create_revision=self._created_at - 1,
            sort_order="DESCEND",
            sort_target="CREATE",
            limit=1,
            keys_only=True,
        )
        if before.kvs:
            return before.kvs[0].key, before.header.revision + 1
        if await self._own_revision() != self._created_at:
            raise Expired(f"{self.key!r} was deleted while it waited")
        return None

    async def _own_revision(self) -> int:
        """Return the revision of the key's creation, 0 if it does not exist."""
        kvs = (await self._client.get(self.key, keys_only=True)).kvs
        return kvs[0].create_revision if kvs else 0
