"""Clients of `changes` that are cut off, and an `outbox` that is killed: what is missed, what comes twice?"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]  # it has no types
import yarl
from aiohttp import web

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import describe
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import Service, ServiceCommand, running
from suite.table import sample_named
from tor_async_couchdb.documents.database import Database

_FRUITS = 50
_PERIOD_S = 0.1  # between two changes
_AWAY_S = 2.0
_TIMEOUT_S = 120.0
_MOMENT = "2015-06-17T19:54:02.133017+00:00"
_DOCUMENTS_PER_KILL = 200


class _Writer:
    """Writes fruits, and remembers the last color of each, which is a number, and when it was written."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._revs: dict[str, str] = {}
        self.colors: dict[str, str] = {}
        self.written_s: dict[str, float] = {}

    async def write(self, color: int) -> None:
        document_id = f"fruit-{color % _FRUITS}"
        fruit = {
            "_id": document_id,
            "type": "fruit_v1.0",
            "fruit_id": document_id,
            "color": str(color),
            "created_on": _MOMENT,
            "updated_on": _MOMENT,
            "change_count": color,
        }
        if document_id in self._revs:
            fruit["_rev"] = self._revs[document_id]
        self.written_s[str(color)] = time.monotonic()
        self._revs[document_id] = await self._database.save(fruit)
        self.colors[document_id] = str(color)


class _Browser:
    """A client of `changes`. Its socket is read line by line, which costs less than an HTTP client."""

    def __init__(self, url: str, writer: _Writer, lags_s: list[float]) -> None:
        self._url = yarl.URL(url)
        self._writer = writer
        self._lags_s = lags_s
        self._event_id = ""
        self.colors: dict[str, str] = {}
        self.event_count = 0

    async def watch(self) -> None:
        """Reads until it is cancelled or the connection ends."""
        reader, writer = await asyncio.open_connection(self._url.host, self._url.port, limit=2**20)
        try:
            header = f"GET /v1.0/changes HTTP/1.1\r\nHost: x\r\nLast-Event-ID: {self._event_id}\r\n\r\n"
            writer.write(header.encode())
            while line := await reader.readline():
                self._take(line)
        finally:
            writer.transport.abort()

    def _take(self, line: bytes) -> None:
        if line.startswith(b"id: "):
            self._event_id = line[4:].decode().strip()
        elif line.startswith(b"data: "):
            change = msgspec.json.decode(line[6:])
            if change["fruit"] is not None:
                self.event_count += 1
                color = change["fruit"]["color"]
                self.colors[change["document_id"]] = color
                if color in self._writer.written_s:
                    self._lags_s.append(time.monotonic() - self._writer.written_s[color])

    @property
    def is_up_to_date(self) -> bool:
        """Whether it shows what was written last."""
        return self.colors.items() >= self._writer.colors.items()


@dataclasses.dataclass(frozen=True)
class _Watched:
    """What clients of `changes` met."""

    lags_s: Sequence[float]
    events: int
    cut: int
    missed: int
    cpu_s: float
    memory_mib: float


async def _watch(service: Service, couchdb: CouchDB, clients: int, seconds: int) -> _Watched:
    lags_s: list[float] = []
    process = psutil.Process(service.process.pid)
    async with _database(couchdb, service.command) as database:
        writer = _Writer(database)
        browsers = [_Browser(service.url, writer, lags_s) for _ in range(clients)]
        for color in range(_FRUITS):
            await writer.write(color)
        tasks = [asyncio.create_task(browser.watch()) for browser in browsers]
        await _until(lambda: all(browser.is_up_to_date for browser in browsers))
        lags_s.clear()
        cpu_s = sum(process.cpu_times()[:2])
        events = sum(browser.event_count for browser in browsers)
        count = _FRUITS + int(seconds / _PERIOD_S)
        for color in range(_FRUITS, count):
            await asyncio.gather(writer.write(color), asyncio.sleep(_PERIOD_S))
        await _until(lambda: all(browser.is_up_to_date for browser in browsers))
        seen = list(lags_s)
        cpu_s = sum(process.cpu_times()[:2]) - cpu_s
        events = sum(browser.event_count for browser in browsers) - events
        memory_mib = process.memory_info().rss / 2**20
        cut = await _cut(browsers, tasks, writer, count)
        with contextlib.suppress(TimeoutError):
            await _until(lambda: all(browser.is_up_to_date for browser in browsers))
        missed = sum(not browser.is_up_to_date for browser in browsers)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return _Watched(seen, events, cut, missed, cpu_s, memory_mib)


async def _cut(
    browsers: Sequence[_Browser], tasks: list[asyncio.Task[None]], writer: _Writer, color: int
) -> int:
    """Cuts each connection at a random moment while fruits change; how many were cut."""

    async def come_back(i: int) -> None:
        await asyncio.sleep(random.uniform(0, _AWAY_S))  # noqa: S311 - no secret
        tasks[i].cancel()
        await asyncio.sleep(random.uniform(0, _AWAY_S))  # noqa: S311 - the same
        tasks[i] = asyncio.create_task(browsers[i].watch())

    async with asyncio.TaskGroup() as group:
        for i in range(len(browsers)):
            group.create_task(come_back(i))
        for later in range(int(2 * _AWAY_S / _PERIOD_S)):
            await asyncio.gather(writer.write(color + later), asyncio.sleep(_PERIOD_S))
    return len(browsers)


@dataclasses.dataclass(frozen=True)
class _Killed:
    """What a receiver got of an outbox that was killed again and again."""

    kills: int
    documents: int
    missed: int
    again: int


class _Receiver:
    """A webhook that counts how often it is told of each document."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Its URL."""
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/notices"
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.counts[(await request.json())["document_id"]] += 1
        return web.Response(status=204)

    async def was_told(self, count: int) -> None:
        """Returns once it was told so often."""
        await _until(lambda: self.counts.total() >= count)

    async def has(self, written: set[str]) -> None:
        """Returns once it was told of these documents, or after the timeout."""
        with contextlib.suppress(TimeoutError):
            await _until(lambda: self.counts.keys() >= written)


async def _kill(couchdb: CouchDB, logs: Path, kills: int) -> _Killed:
    receiver = _Receiver()
    written: set[str] = set()
    sample = sample_named("outbox").anywhere()
    async with receiver.listening() as webhook:
        with installed([sample], couchdb, "benchmark") as commands:
            command = dataclasses.replace(commands[0], options=(*commands[0].options[:-1], webhook))
            async with _database(couchdb, command) as database:
                for number in range(kills):
                    with command.start(logs, {}) as process:
                        told = receiver.counts.total() + random.randrange(1, _DOCUMENTS_PER_KILL)  # noqa: S311 - no secret
                        written |= await _write_documents(database, number)
                        await receiver.was_told(told)
                        process.kill()
                with command.start(logs, {}):
                    await receiver.has(written)
    told_of = {document_id: receiver.counts[document_id] for document_id in written & receiver.counts.keys()}
    return _Killed(kills, len(written), len(written) - len(told_of), sum(told_of.values()) - len(told_of))


async def _write_documents(database: Database, number: int) -> set[str]:
    document_ids = {f"document-{number}-{i}" for i in range(_DOCUMENTS_PER_KILL)}
    for document_id in document_ids:
        await database.save({"_id": document_id})
    return document_ids


@contextlib.asynccontextmanager
async def _database(couchdb: CouchDB, command: ServiceCommand) -> AsyncIterator[Database]:
    async with Database(
        command.database_url, username=couchdb.username, password=couchdb.password
    ) as database:
        yield database


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(_TIMEOUT_S):
        while not condition():  # noqa: ASYNC110 - what is awaited happens in other processes
            await asyncio.sleep(0.05)


def _write(
    folder: Path, clients: int, watched: _Watched, killed: _Killed, surroundings: Sequence[str]
) -> Path:
    lags_ms = sorted(1000 * lag_s for lag_s in watched.lags_s)
    of_changes = [
        ("changes a second", f"{1 / _PERIOD_S:.0f}"),
        ("events that arrived", f"{watched.events:,}"),
        ("from the begin of a write to its event, p50", f"{lags_ms[len(lags_ms) // 2]:,.0f} ms"),
        ("the same, p99", f"{lags_ms[len(lags_ms) * 99 // 100]:,.0f} ms"),
        ("the service's processor time for an event", f"{1e6 * watched.cpu_s / watched.events:.0f} µs"),
        ("the service's memory", f"{watched.memory_mib:.0f} MiB"),
        ("connections that were cut at random moments", f"{watched.cut:,}"),
        ("clients that missed the latest state of a fruit", f"{watched.missed}"),
    ]
    of_outbox = [
        ("kills (`kill -9`) at random moments", f"{killed.kills}"),
        ("documents written", f"{killed.documents:,}"),
        ("documents missed", f"{killed.missed}"),
        ("notices that came again", f"{killed.again:,}"),
    ]
    sections = [
        "  \n".join(surroundings),
        f"`changes`: one process, {clients:,} clients that watch {_FRUITS} fruits. The clients are on the "
        "same cores, and read each event in Python.",
        report.table(("", f"{clients:,} clients"), of_changes),
        "`outbox`: a process that sends each document to a webhook, and is killed and started again.",
        report.table(("", "outbox"), of_outbox),
    ]
    return report.write(folder, "changes", "Telling others what has changed", sections)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--clients", type=settings.count, default=1000, help="clients of changes")
    parser.add_argument("--seconds", type=settings.count, default=15, help="how long fruits change")
    parser.add_argument("--kills", type=settings.count, default=10, help="how often the outbox is killed")
    settings.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a document was missed.
    """
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb)
        sample = sample_named("changes").anywhere()
        with (
            installed([sample], couchdb, "benchmark") as commands,
            running(commands, settings.RUN_FOLDER) as services,
        ):
            watched = asyncio.run(_watch(services[0], couchdb, options.clients, options.seconds))
        print(f"{options.clients} clients: {watched.missed} missed something")
        killed = asyncio.run(_kill(couchdb, settings.RUN_FOLDER, options.kills))
        print(f"{killed.kills} kills: {killed.missed} of {killed.documents} missed, {killed.again} again")
    if watched.missed or killed.missed:
        raise SuiteError(f"missed: {watched.missed} clients, {killed.missed} documents")
    path = _write(options.results, options.clients, watched, killed, surroundings)
    print(f"Written to {path}")
    return 0
