"""A rolling upgrade of two processes under load, there and back: does a request fail, is a change lost?

Two processes of crud/migration are replaced one after the other, and then all fruits are rewritten, while
clients change and read the fruits: from version 1 to 2, back to 1, to 2 again, and to the one that writes
nothing for version 1 any more.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp

from benchmarks.measuring import report, settings
from benchmarks.measuring.databases import kind_of
from benchmarks.measuring.machine import describe
from samples.crud.migration.model import VERSIONS
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.processes import Process
from suite.services import ServiceCommand, wait_until_healthy
from suite.table import sample_named
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.migrating import migrate

_SAMPLE = "crud/migration"
_STEPS = ("2", "1", "2", "2-only")
_PROCESSES = 2
_MAX_WRITES_PER_S = 50.0
_TIMEOUT = aiohttp.ClientTimeout(total=60.0)
_HEADER = [
    "upgrade to",
    "both replaced after (s)",
    "fruits rewritten",
    "after (s)",
    "requests",
    "failed",
    "median (ms)",
    "99 % within (ms)",
]


@dataclasses.dataclass
class _Load:
    """Where requests go, what came of them since the last step, and the changes that were acknowledged."""

    urls: list[str] = dataclasses.field(default_factory=list)
    latencies_s: list[float] = dataclasses.field(default_factory=list)
    failures: list[str] = dataclasses.field(default_factory=list)
    acknowledged: dict[str, int] = dataclasses.field(default_factory=dict)
    sent: int = 0
    is_over: bool = False


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    settings.add_results(parser)
    parser.add_argument("--fruits", type=settings.count, default=50, help="each with two clients")
    parser.add_argument("--idle", type=settings.count, default=200, help="fruits that nobody changes")
    parser.add_argument("--seconds", type=settings.count, default=8, help="of load after each step")


def run(options: argparse.Namespace) -> int:
    """Measures; the exit status.

    Raises:
        SuiteError: a request failed, or a change was lost or made twice.
    """
    with (
        settings.couchdb_to_measure() as couchdb,
        installed([sample_named(_SAMPLE).anywhere()], couchdb, "migration") as commands,
    ):
        upgrade = _Upgrade(commands[0], couchdb, options)
        wrong = asyncio.run(upgrade.run())
        print(f"Written to {_write(options, couchdb, upgrade.rows, wrong)}")
    if wrong:
        raise SuiteError(wrong)
    return 0


class _Upgrade:
    """The processes, which are replaced under a load."""

    def __init__(self, command: ServiceCommand, couchdb: CouchDB, options: argparse.Namespace) -> None:
        self._command = command
        self._couchdb = couchdb
        self._options = options
        self._load = _Load()
        self._processes: list[tuple[str, Process]] = []
        self._started = 0
        self.rows: list[list[str]] = []

    async def run(self) -> str:
        """What is wrong in the end; "" if nothing is."""
        with contextlib.ExitStack() as stack:
            async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
                for _ in range(_PROCESSES):
                    await asyncio.to_thread(self._start, "1", stack)
                made = [await self._create(session) for _ in range(self._options.fruits + self._options.idle)]
                paths, self._load.acknowledged = made[: self._options.fruits], dict.fromkeys(made, 0)
                async with asyncio.TaskGroup() as group:
                    for path in (*paths, *paths):
                        group.create_task(self._change_and_read(path, session))
                    for version in _STEPS:
                        self.rows.append(await self._step(version, stack))
                    self._load.is_over = True
                counts = {path: (await self._read(path, session))["change_count"] for path in made}
        wrong = sum(abs(self._load.acknowledged[path] - count) for path, count in counts.items())
        failures = self._load.failures
        if wrong or failures:
            return f"{wrong} changes lost or made twice, {len(failures)} requests failed: {failures[:1]}"
        return ""

    def _start(self, version: str, stack: contextlib.ExitStack) -> None:
        """Starts a process, and sends requests to it once it is healthy."""
        self._started += 1
        options = ("--version", version)
        command = dataclasses.replace(self._command, number=self._started, options=options)
        process = stack.enter_context(command.start(settings.RUN_FOLDER, {}, port=0))
        url = wait_until_healthy(process)
        self._processes.append((url, process))
        self._load.urls.append(url)

    def _stop_oldest(self) -> None:
        url, process = self._processes.pop(0)
        self._load.urls.remove(url)
        process.stop()

    async def _step(self, version: str, stack: contextlib.ExitStack) -> list[str]:
        load, begun_s = self._load, time.monotonic()
        load.latencies_s, sent_before, failed_before = [], load.sent, len(load.failures)
        for _ in range(_PROCESSES):
            await asyncio.to_thread(self._start, version, stack)
            await asyncio.to_thread(self._stop_oldest)
        replaced_s = time.monotonic() - begun_s
        written, took_s = await asyncio.to_thread(self._rewrite, version)
        await asyncio.sleep(self._options.seconds)
        quantiles = statistics.quantiles(load.latencies_s, n=100)
        print(
            f"{version}: {load.sent - sent_before} requests, {len(load.failures) - failed_before} failed",
            flush=True,
        )
        return [
            version,
            f"{replaced_s:.1f}",
            f"{written:,}",
            f"{took_s:.1f}",
            f"{load.sent - sent_before:,}",
            f"{len(load.failures) - failed_before}",
            f"{quantiles[49] * 1e3:.0f}",
            f"{quantiles[98] * 1e3:.0f}",
        ]

    def _rewrite(self, version: str) -> tuple[int, float]:
        name = self._command.database_url.split(",")[0].rpartition("/")[2]
        begun_s = time.monotonic()
        with self._couchdb.connect() as server:
            result = migrate(
                AdminDatabase(server, name),
                VERSIONS[version],
                lambda done, total: None,
                max_writes_per_s=_MAX_WRITES_PER_S,
            )
        return result.written, time.monotonic() - begun_s

    async def _create(self, session: aiohttp.ClientSession) -> str:
        url = f"{self._load.urls[0]}/v1.0/fruits"
        async with session.post(url, json={"color": "dark red"}) as answer:
            answer.raise_for_status()
            return f"/v1.0/fruits/{(await answer.json())['fruit_id']}"

    async def _read(self, path: str, session: aiohttp.ClientSession) -> dict[str, int]:
        async with session.get(self._load.urls[0] + path) as answer:
            fruit: dict[str, int] = await answer.json()
        return fruit

    async def _change_and_read(self, path: str, session: aiohttp.ClientSession) -> None:
        while not self._load.is_over:
            if await self._succeeds("PUT", path, session):
                self._load.acknowledged[path] += 1
            await self._succeeds("GET", path, session)

    async def _succeeds(self, method: str, path: str, session: aiohttp.ClientSession) -> bool:
        load = self._load
        load.sent += 1
        url = load.urls[load.sent % len(load.urls)] + path
        body = {"color": f"shade {load.sent}"} if method == "PUT" else None
        begun_s = time.monotonic()
        try:
            async with session.request(method, url, json=body) as answer:
                text = await answer.text()
                is_good = answer.status == 200
        except (aiohttp.ClientError, TimeoutError) as error:
            is_good, text = False, repr(error)
        load.latencies_s.append(time.monotonic() - begun_s)
        if not is_good:
            load.failures.append(text)
        return is_good


def _write(options: argparse.Namespace, couchdb: CouchDB, rows: Sequence[Sequence[str]], wrong: str) -> Path:
    kind = kind_of(couchdb)
    return report.write(
        options.results,
        f"migration_{kind.name}",
        f"A rolling upgrade under load, on {kind.title}",
        [
            "  \n".join(describe(couchdb)),
            f"Two processes of {_SAMPLE}, {options.fruits} fruits that {2 * options.fruits} clients change "
            f"and read, and {options.idle} others. In each step the processes are replaced, one after the "
            f"other, all fruits are rewritten at {_MAX_WRITES_PER_S:.0f} a second at most, and the load goes "
            f"on for {options.seconds} s.",
            report.table(_HEADER, rows),
            f"In the end {wrong or 'each fruit counts all changes that were acknowledged, and no other'}.",
        ],
    )
