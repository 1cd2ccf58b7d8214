"""The sites of a multi-master experiment: a database that takes writes, and the service in front of it."""

import asyncio
import contextlib
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from suite.processes import Process
from suite.services import wait_until_listening
from suite.table import ANY_PORT, sample_named
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.installer.replication import Master

_SAMPLE = sample_named("crud/multi_master")
_REQUEST_TIMEOUT_S = 30.0
_METRICS = {
    "merged": "replication_conflicts_merged_total",
    "superseded": "replication_values_superseded_total",
    "failed": "replication_conflicts_failed_total",
}


class Site:
    """A database and its service, which answers at `url`; `name` is the master's name."""

    def __init__(self, name: str, url: str, database: Database, session: aiohttp.ClientSession) -> None:
        self.name = name
        self.url = url
        self.session = session
        self.metrics: Counter[str] = Counter()
        self._database = database

    async def read_metrics(self) -> None:
        """Adds to `metrics` what the service has counted since its start."""
        async with self.session.get(f"{self.url}/_metrics", headers={"Accept": "text/plain"}) as answer:
            lines = (await answer.text()).splitlines()
        for name, metric in _METRICS.items():
            values = [line.rpartition(" ")[2] for line in lines if re.match(rf"{metric}[ {{]", line)]
            self.metrics[name] += round(sum(map(float, values)))

    async def documents(self) -> list[dict[str, Any]]:
        """The documents of all fruits, read from the database, with their `_conflicts`."""
        options = {"include_docs": True, "conflicts": True}
        rows = await self._database.query_view("fruit_by_fruit_id", **options)
        return [row.doc for row in rows if row.doc is not None]

    async def sequence(self) -> int:
        """The database's update sequence: how often it was written to."""
        return int(str(await self._database.revisions.update_seq()).partition("-")[0])


class OwnSite(Site):
    """A site whose service is started here, on any free port, and can be killed."""

    def __init__(
        self,
        name: str,
        database: Database,
        session: aiohttp.ClientSession,
        logs: Path,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(name, "", database, session)
        self._logs = logs
        self._environment = environment
        self._process: Process | None = None
        self._starts = 0

    async def start(self) -> None:
        """Returns once the service listens."""
        self._starts += 1
        log = self._logs / f"multi_master_{self.name}_{self._starts}.log"
        options = ("--port", str(ANY_PORT), "--database", self._database.url, *_SAMPLE.options)
        command = [sys.executable, "-m", _SAMPLE.module, *options]
        self._process = Process(f"multi_master ({self.name})", command, log, self._environment)
        self.url = await asyncio.to_thread(wait_until_listening, self._process)

    async def kill_and_start(self) -> None:
        """Kills the service (SIGKILL) and starts it again; `metrics` keeps what it has counted until then."""
        await self.read_metrics()
        if self._process is not None:
            await asyncio.to_thread(self._process.kill)
        await self.start()

    async def stop(self) -> None:
        """Ends the service with SIGTERM."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)


@contextlib.asynccontextmanager
async def connected(name: str, url: str, master: Master) -> AsyncIterator[Site]:
    """The site of a service that is running already."""
    async with _database(master) as database, _session() as session:
        yield Site(name, url, database, session)


@contextlib.asynccontextmanager
async def running(
    name: str, master: Master, logs: Path, environment: Mapping[str, str]
) -> AsyncIterator[OwnSite]:
    """A site whose service runs until the block ends."""
    async with _database(master) as database, _session() as session:
        site = OwnSite(name, database, session, logs, environment)
        try:
            await site.start()
            yield site
        finally:
            await site.stop()


def _database(master: Master) -> Database:
    credentials = master.credentials
    return Database(
        master.url,
        login=credentials,
    )


def _session() -> aiohttp.ClientSession:
    timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
    return aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
