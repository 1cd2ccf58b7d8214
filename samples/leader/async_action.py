"""The interactions: leading while the lease lasts, and finding out which process leads."""

import asyncio
import logging
from dataclasses import dataclass

from tor_async_etcd import Client, CompModified, Election, EtcdError, KeyValue, Leadership, OpSet, Transaction

from .model import COUNTER_KEY, ELECTION, Counter

_logger = logging.getLogger(__name__)

# A leader that hangs is followed after this time; one that ends normally is followed at once.
LEASE_S = 5
_PAUSE_S = 0.2


@dataclass(frozen=True)
class AsyncLeader:
    """Campaigns for the leadership, and counts while it has it."""

    name: str
    client: Client

    async def lead(self) -> None:
        """Campaigns for ever, also after the leadership or the connection to etcd was lost."""
        election = Election(self.client, ELECTION, ttl_s=LEASE_S)
        while True:
            try:
                async with election.campaign(self.name.encode()) as leadership:
                    _logger.info("leading in term %d", leadership.token)
                    await leadership.run(self._count(leadership))
            except EtcdError as error:
                _logger.warning("not leading any more: %s", error)
                await asyncio.sleep(_PAUSE_S)

    async def _count(self, leadership: Leadership) -> None:
        while True:
            stored = await self.client.get(COUNTER_KEY)
            counter = Counter.from_bytes(stored.kvs[0].value) if stored.kvs else Counter()
            unchanged = CompModified(COUNTER_KEY, "==", stored.kvs[0].mod_revision if stored.kvs else 0)
            counted = OpSet(COUNTER_KEY, counter.increment(leadership.token).as_bytes())
            # The guard is the fence: etcd refuses a leader whose lease has ended without its notice.
            await self.client.submit(Transaction([leadership.guard(), unchanged], [counted]))
            await asyncio.sleep(_PAUSE_S)


@dataclass(frozen=True)
class AsyncLeaderRetriever:
    """Finds out which process leads, and the value of the counter."""

    client: Client

    async def fetch(self) -> tuple[KeyValue | None, Counter]:
        """The leader's key, whose value is its name, or None while there is none; and the counter."""
        leader = await Election(self.client, ELECTION, ttl_s=LEASE_S).leader()
        stored = await self.client.get(COUNTER_KEY)
        return leader, Counter.from_bytes(stored.kvs[0].value) if stored.kvs else Counter()
