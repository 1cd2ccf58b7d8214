"""Elections: one leader at a time, with fencing tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tor_async_etcd.concurrency.lock import Lock
from tor_async_etcd.errors import Expired, Failed
from tor_async_etcd.kv.keyset import KeySet
from tor_async_etcd.kv.transaction import OpSet, Transaction

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tor_async_etcd.kv.client import Client
    from tor_async_etcd.results import KeyValue


class Leadership(Lock):
    """A lock whose holder is the leader, got from `Election.campaign`."""

    async def proclaim(self, value: bytes) -> None:
        """Change the leader's value, which `Election.leader` shows.

        Raises:
            NotHeldError: this candidate does not lead yet.
            Expired: it does not lead any more.
        """
        change = Transaction([self.guard()], [OpSet(self.key, value, keep_lease=True)])
        try:
            await self._client.submit(change)
        except Failed as error:
            raise Expired(f"{self.key!r} does not lead any more") from error


class Election:
    """An election, which has one leader at a time:

        election = Election(client, b"reconciler", ttl_s=10)
        async with election.campaign(b"host:8455") as leadership:
            await leadership.run(lead(leadership))

    When a leader leaves the block, the next candidate leads at once; when it dies, after the lease's time.
    """

    def __init__(self, client: Client, name: bytes, *, ttl_s: int = 10) -> None:
        self._client = client
        self._name = name
        self._ttl_s = ttl_s
        self._candidates = KeySet(name + b"/", prefix=True)

    def campaign(self, value: bytes) -> Leadership:
        """Return a context, which waits for the leadership when it is entered; others see `value`."""
        return Leadership(self._client, self._name, ttl_s=self._ttl_s, value=value)

    async def leader(self, *, timeout_s: float | None = None) -> KeyValue | None:
        """Return the leader's key and value, or None. The key's `create_revision` is the leader's token."""
        first = await self._client.get(
            self._candidates, sort_order="ASCEND", sort_target="CREATE", limit=1, timeout_s=timeout_s
        )
        return first.kvs[0] if first.kvs else None

    async def observe(self) -> AsyncGenerator[KeyValue | None, None]:
        """Yield the leader, or None, now and after each change of the leader or of its value."""
        async with self._client.watch(self._candidates, resync=True) as watch:
            leader = await self.leader()
            yield leader
            async for _ in watch:
                before, leader = leader, await self.leader()
                if leader != before:
                    yield leader
