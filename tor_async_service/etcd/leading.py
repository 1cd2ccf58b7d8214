"""Work that one of several processes does at a time: the leader that etcd elects."""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from prometheus_client import Counter, Gauge
from prometheus_client.registry import Collector

from tor_async_couchdb.retries.pauses import equal_jitter
from tor_async_etcd import Client, Election, EtcdError

# A leader that was killed is followed after this time, one that ends normally at once.
LEASE_S = 5
_PAUSE = equal_jitter(base_s=0.2, cap_s=5.0)

_logger = logging.getLogger(__name__)


class LeadersWork:
    """Does `work` while this process is the leader, and cancels it as soon as it is not.

    The lease ends here before it ends in etcd, so the work of one leader is cancelled before the next one is
    elected. This can't take back what a process has sent, nor stop a process that was suspended from
    finishing its step: work that must not be repeated needs `Leadership.guard` or `token`.

    While etcd can't be reached there is no leader; metrics and log say so.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        election: bytes,
        *,
        client: Client,
        lease_s: int = LEASE_S,
    ) -> None:
        self._work = work
        self._election = election
        self._client = client
        self._lease_s = lease_s
        self._is_leading = Gauge(
            "leader",
            "1: this process is the leader; 0: another one is, or none.",
            registry=None,
        )
        self._failures = Counter(
            "leader_failures",
            "Times that etcd could not be reached, or that the leadership was lost.",
            registry=None,
        )
        self.collectors: Sequence[Collector] = [self._is_leading, self._failures]

    async def run(self) -> None:
        """Campaigns until it is cancelled; closes the client."""
        failures = 0
        async with self._client:
            while True:
                try:
                    await self._lead_once()
                    failures = 0
                except EtcdError as error:
                    self._failures.inc()
                    failures += 1
                    pause_s = _PAUSE(failures, 0.0)
                    _logger.warning("not leading; trying again in %.1f s: %s", pause_s, error)
                    await asyncio.sleep(pause_s)

    async def _lead_once(self) -> None:
        candidate = f"{socket.gethostname()}:{os.getpid()}".encode()
        election = Election(self._client, self._election, ttl_s=self._lease_s)
        async with election.campaign(candidate) as leadership:
            _logger.info("leading in term %d", leadership.token)
            await leadership.run(self._work_as_leader())

    async def _work_as_leader(self) -> None:
        self._is_leading.set(1)
        try:
            await self._work()
        finally:
            self._is_leading.set(0)
