"""Work that only one of several processes does at a time: the one that an election in etcd lets lead."""

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge

from tor_async_etcd import Client, Election, EtcdError

LEASE_S = 5  # as long nobody leads after a leader was killed; one that ends in good order is followed at once
_FIRST_PAUSE_S = 0.2
_MAX_PAUSE_S = 5.0

_logger = logging.getLogger(__name__)


class LeadersWork:
    """Does `work` while this process leads the election, and ends it as soon as it doesn't.

    Its lease runs out here before it does in etcd, so the work of one leader has been cancelled before the
    next one is elected. What it can't do is to take back what a process had sent, or to stop one that was
    suspended from finishing its step: work whose repetition does harm needs `Leadership.guard` or `token`.

    Without etcd nobody leads: the work waits, and the metrics and the log say so.
    """

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        election: bytes,
        *,
        client: Client,
        registry: CollectorRegistry,
    ) -> None:
        self._work = work
        self._election = election
        self._client = client
        self._is_leading = Gauge(
            "leader",
            "1: this process does the work of the leader; 0: another does, or none.",
            registry=registry,
        )
        self._failures = Counter(
            "leader_failures",
            "Times that etcd could not be asked who leads, or that the leadership was lost.",
            registry=registry,
        )

    async def run(self) -> None:
        """Campaigns until it is cancelled; closes the client."""
        pause_s = _FIRST_PAUSE_S
        async with self._client:
            while True:
                try:
                    await self._lead_once()
                    pause_s = _FIRST_PAUSE_S
                except EtcdError as error:
                    self._failures.inc()
                    _logger.warning("not leading, and trying again in %.1f s: %s", pause_s, error)
                    await asyncio.sleep(pause_s * (0.5 + random.random() / 2))  # noqa: S311 - to spread
                    pause_s = min(_MAX_PAUSE_S, pause_s * 2)

    async def _lead_once(self) -> None:
        candidate = f"{socket.gethostname()}:{os.getpid()}".encode()
        async with Election(self._client, self._election, ttl_s=LEASE_S).campaign(candidate) as leadership:
            _logger.info("leading in term %d", leadership.token)
            await leadership.run(self._work_as_leader())

    async def _work_as_leader(self) -> None:
        self._is_leading.set(1)
        try:
            await self._work()
        finally:
            self._is_leading.set(0)
