"""A database that takes writes and the multi-master service in front of it, as a process."""

import asyncio
import contextlib
import dataclasses
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from suite.processes import Process
from tor_async_couchdb.database import Database
from tor_async_couchdb.installer.replication import Master

_MODULE = "samples.crud.multi_master.service"
_LISTENING = re.compile(r"listening on (http://\S+)")
_READY_TIMEOUT_S = 20.0
_METRICS = {
    "merged": "replication_conflicts_merged_total",
    "superseded": "replication_values_superseded_total",
    "failed": "replication_conflicts_failed_total",
}


@dataclasses.dataclass(frozen=True)
class Site:
    """A master, how its service reaches it, and what the service is called there."""

    name: str
    database: Master
    port: int = 0


class RunningSite:
    """A site whose service runs, on a database that is open."""

    def __init__(self, site: Site, database: Database, logs: Path, environment: Mapping[str, str]) -> None:
        self.site = site
        self.database = database
        self.url = ""
        self.metrics: Counter[str] = Counter()
        self._logs = logs
        self._environment = environment
        self._process: Process | None = None
        self._starts = 0

    async def start(self) -> None:
        """Returns once the service listens."""
        self._starts += 1
        log = self._logs / f"multi_master_{self.site.name}_{self._starts}.log"
        arguments = {"port": self.site.port, "database": self.site.database.url, "master": self.site.name}
        command = [sys.executable, "-m", _MODULE, *(f"--{name}={value}" for name, value in arguments.items())]
        self._process = Process(f"multi_master ({self.site.name})", command, log, self._environment)
        is_ready = lambda: _LISTENING.search(log.read_text()) is not None  # noqa: E731
        await asyncio.to_thread(self._process.wait_until, is_ready, _READY_TIMEOUT_S)
        found = _LISTENING.search(log.read_text())
        self.url = "" if found is None else found[1]

    async def kill(self, session: aiohttp.ClientSession) -> None:
        """Ends the service as a power failure does; its metrics until then are kept."""
        await self.read_metrics(session)
        if self._process is not None:
            await asyncio.to_thread(self._process.kill)

    async def stop(self) -> None:
        """Ends the service in good order."""
        if self._process is not None:
            await asyncio.to_thread(self._process.stop)

    async def read_metrics(self, session: aiohttp.ClientSession) -> None:
        """Adds to `metrics` what the service has counted since it was started."""
        async with session.get(f"{self.url}/_metrics", headers={"Accept": "text/plain"}) as answer:
            lines = (await answer.text()).splitlines()
        for name, metric in _METRICS.items():
            values = [line.rpartition(" ")[2] for line in lines if re.match(rf"{metric}[ {{]", line)]
            self.metrics[name] += round(sum(map(float, values)))

    async def documents(self) -> list[dict[str, Any]]:
        """The fruits' documents, past the service, with their `_conflicts`."""
        options = {"include_docs": True, "conflicts": True}
        rows = await self.database.query_view("fruit_by_fruit_id", **options)
        return [row.doc for row in rows if row.doc is not None]

    async def sequence(self) -> int:
        """How often the database has been written to."""
        return int(str((await self.database.information())["update_seq"]).partition("-")[0])


@contextlib.asynccontextmanager
async def running(site: Site, logs: Path, environment: Mapping[str, str]) -> AsyncIterator[RunningSite]:
    """The site's service as a process, until the block ends."""
    credentials = site.database.credentials
    async with Database(
        site.database.url,
        username=None if credentials is None else credentials.user,
        password=None if credentials is None else credentials.password,
    ) as database:
        started = RunningSite(site, database, logs, environment)
        try:
            await started.start()
            yield started
        finally:
            await started.stop()
