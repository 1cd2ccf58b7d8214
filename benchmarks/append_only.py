"""Changes as documents beside exp_backoff and group_commit, and what a history of 100,000 entries costs.

The three samples change the same number of fruits in turns. Then the history of one fruit grows, folded as it
grows, and not folded at all.
"""

import argparse
import asyncio
import dataclasses
import itertools
import statistics
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp

from benchmarks.measuring import report, settings
from benchmarks.measuring.databases import kind_of
from benchmarks.measuring.machine import describe
from benchmarks.measuring.rounds import alternated
from samples.crud.append_only.async_action import AsyncFruitRetriever
from samples.crud.append_only.model import Fruit
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import running
from suite.table import sample_named
from tor_async_couchdb.actions.append_only import AsyncFolder
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.model.appended import Entry
from tor_async_couchdb.model.timestamps import next_after, now

_SAMPLES = ("crud/exp_backoff", "crud/group_commit", "crud/append_only")
_FRUITS = 5
_CLIENTS = 25
_TIMEOUT_S = 60.0
_SIZES = (100, 1_000, 10_000, 100_000)
_LARGEST_UNFOLDED = 10_000  # a read of more rows takes longer than a request may
_BATCH = 1_000
_READS_S = 3.0
_READERS = 4


@dataclasses.dataclass
class Load:
    """What one sample did in all rounds."""

    rates: list[float] = dataclasses.field(default_factory=list)
    p50_ms: list[float] = dataclasses.field(default_factory=list)
    p99_ms: list[float] = dataclasses.field(default_factory=list)
    conflicts: int = 0
    refused: int = 0
    changes: int = 0


@dataclasses.dataclass(frozen=True)
class History:
    """What a history of so many entries costs."""

    entries: int
    documents: int
    reads_per_s: float
    size_bytes: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    settings.add_options(parser, rounds=5, seconds=5)
    parser.add_argument("--entries", type=settings.count, default=_SIZES[-1], help="of the longest history")


def run(options: argparse.Namespace) -> int:
    """Measures; the exit status is 1 if an acknowledged change was lost or counted twice."""
    with settings.couchdb_to_measure() as couchdb:
        loads = _loads(couchdb, options.rounds, options.seconds)
        sizes = [size for size in _SIZES if size <= options.entries]
        folded = _histories(couchdb, sizes, is_folded=True)
        small = [size for size in sizes if size <= _LARGEST_UNFOLDED]
        unfolded = _histories(couchdb, small, is_folded=False)
        path = _write(options, couchdb, loads, folded, unfolded)
    print(f"Written to {path}")
    return 0


# --- the three samples


def _loads(couchdb: CouchDB, rounds: int, seconds: int) -> dict[str, Load]:
    loads = {name: Load() for name in _SAMPLES}
    samples = [sample_named(name).anywhere() for name in _SAMPLES]
    with (
        installed(samples, couchdb, "append_only") as commands,
        running(commands, settings.RUN_FOLDER) as services,
    ):
        urls = {service.sample.name: service.url for service in services}
        for number in range(rounds):
            for name in alternated(_SAMPLES, number):
                asyncio.run(_put_load(urls[name], seconds, loads[name]))
                print(f"{name}: {loads[name].rates[-1]:,.0f} changes/s")
    return loads


async def _put_load(url: str, seconds: int, load: Load) -> None:
    """Puts load on new fruits, and checks that each acknowledged change counts once."""
    loop, durations_s = asyncio.get_running_loop(), list[float]()
    async with _session(url) as session:
        paths = [await _new_fruit(session) for _ in range(_FRUITS)]
        until_s = loop.time() + seconds

        async def client(number: int) -> None:
            while loop.time() < until_s:
                started_s = loop.time()
                async with session.put(paths[number % _FRUITS], json={"color": f"{number}"}) as response:
                    await response.read()
                    load.conflicts += int(response.headers.get("Conflict-Count", 0))
                    if response.status == 200:
                        durations_s.append(loop.time() - started_s)
                    elif response.status == 409:
                        load.refused += 1
                    else:
                        raise SuiteError(f"{url} answered {response.status}: {await response.text()}")

        started_s = loop.time()
        await asyncio.gather(*(client(number) for number in range(_CLIENTS)))
        took_s = loop.time() - started_s
        counted = [await _count(session, path) for path in paths]
    if sum(counted) != len(durations_s):
        raise SuiteError(f"{url}: {len(durations_s)} changes were acknowledged, {sum(counted)} counted")
    load.changes += len(durations_s)
    load.rates.append(len(durations_s) / took_s)
    percentiles = statistics.quantiles(durations_s, n=100)
    load.p50_ms.append(1000 * percentiles[49])
    load.p99_ms.append(1000 * percentiles[98])


def _session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))


async def _new_fruit(session: aiohttp.ClientSession) -> str:
    async with session.post("/v1.0/fruits", json={"color": "red"}) as response:
        response.raise_for_status()
        return response.headers["Location"]


async def _count(session: aiohttp.ClientSession, path: str) -> int:
    async with session.get(path) as response:
        response.raise_for_status()
        return int((await response.json())["change_count"])


# --- a history that grows


def _histories(couchdb: CouchDB, sizes: Sequence[int], *, is_folded: bool) -> list[History]:
    sample = dataclasses.replace(sample_named("crud/append_only").anywhere(), options=("--folds", "no"))
    with (
        installed([sample], couchdb, "history") as commands,
        running(commands, settings.RUN_FOLDER) as services,
    ):
        url = commands[0].database_url
        return asyncio.run(_grow(couchdb, url, services[0].url, sizes, is_folded=is_folded))


async def _grow(
    couchdb: CouchDB, database_url: str, service_url: str, sizes: Sequence[int], *, is_folded: bool
) -> list[History]:
    histories, fruit_id = [], uuid.uuid4().hex
    entries = _entries(fruit_id)
    async with Database(
        database_url, username=couchdb.username, password=couchdb.password, timeout_s=_TIMEOUT_S
    ) as database:
        folder = AsyncFolder(AsyncFruitRetriever, database=database, settle_s=0.0)
        written = 0
        for size in sizes:
            while written < size:
                batch = list(itertools.islice(entries, min(_BATCH, size - written)))
                await asyncio.gather(*(database.save(fruit.as_doc_for_store()) for fruit in batch))
                written += len(batch)
                if is_folded:
                    await folder.fold(fruit_id)
                    await folder.clean_up(fruit_id)
            histories.append(await _history(database, service_url, fruit_id, size))
            print(f"{histories[-1]}")
    return histories


def _entries(fruit_id: str) -> Iterator[Fruit]:
    """The entries of one writer, the first of which makes the fruit."""
    moment = now()
    for number in itertools.count(1):
        entry = Entry(f"w.{number:09}", {"w": [(number, number)]}, moment)
        make = Fruit.create if number == 1 else Fruit.change_color
        yield make(fruit_id, f"color {number}", entry).replace(id=f"{fruit_id}.{number:09}")
        moment = next_after(moment)


async def _history(database: Database, service_url: str, fruit_id: str, size: int) -> History:
    parts = await AsyncFruitRetriever(fruit_id, database).fetch_parts()
    loop, path = asyncio.get_running_loop(), f"/v1.0/fruits/{fruit_id}"
    async with _session(service_url) as session:
        if await _count(session, path) != size - 1:
            raise SuiteError(f"the fruit has not the {size - 1} changes that were made")
        started_s, reads = loop.time(), 0

        async def reader() -> None:
            nonlocal reads
            while loop.time() < started_s + _READS_S:
                await _count(session, path)
                reads += 1

        await asyncio.gather(*(reader() for _ in range(_READERS)))
        reads_per_s = reads / (loop.time() - started_s)
    information = await database.information()
    return History(size, len(parts), reads_per_s, int(information["sizes"]["file"]))


# --- the result


def _write(
    options: argparse.Namespace,
    couchdb: CouchDB,
    loads: dict[str, Load],
    folded: Sequence[History],
    unfolded: Sequence[History],
) -> Path:
    kind = kind_of(couchdb)
    header = ["sample", "changes/s", "p50 ms", "p99 ms", "conflicts", "refused (409)", "changes, all counted"]
    rows = [
        [
            name,
            *(report.median_with_range(figures) for figures in (load.rates, load.p50_ms, load.p99_ms)),
            *(f"{figure:,}" for figure in (load.conflicts, load.refused, load.changes)),
        ]
        for name, load in loads.items()
    ]
    sections = [
        "  \n".join(describe(couchdb)),
        f"Medians of {options.rounds} rounds of {options.seconds} s in alternating order. {_CLIENTS} clients "
        f"change {_FRUITS} new fruits as fast as they are answered, through one process.",
        report.table(header, rows),
        f"The history of one fruit grows, in steps of {_BATCH:,} entries that are folded then. {_READERS} "
        "clients read the fruit.",
        _table_of(folded),
        "The same without a folder. A read gets all entries.",
        _table_of(unfolded),
    ]
    title = f"Changes as documents of their own, on {kind.title}"
    return report.write(options.results, f"append_only_{kind.name}", title, sections)


def _table_of(histories: Sequence[History]) -> str:
    header = ["entries", "documents that a read joins", "reads/s", "the database's file, MB"]
    return report.table(
        header,
        [
            [
                f"{each.entries:,}",
                f"{each.documents:,}",
                f"{each.reads_per_s:,.1f}",
                f"{each.size_bytes / 1e6:,.1f}",
            ]
            for each in histories
        ],
    )
