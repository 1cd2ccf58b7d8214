"""One document over thousands of writes, with several `_revs_limit`s: what does its history cost?"""

import argparse
import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import hardware
from suite.couchdb import CouchDB
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.installer import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME

_LIMITS = (50, 200, 1000)
_AT_A_TIME = 100  # writes, before the next database has its turn
_DOCUMENT_ID = "hot"


class _Measured(NamedTuple):
    first_ms: float
    """The median of the first writes."""
    last_ms: float
    file_bytes: int


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--revisions", type=settings.count, default=5000, metavar="N", help="how many writes")
    settings.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status."""
    with settings.couchdb_to_measure() as couchdb:
        measured = asyncio.run(_measure(couchdb, options.revisions))
    print(f"Written to {_write(options.results, options.revisions, measured)}")
    return 0


async def _measure(couchdb: CouchDB, revisions: int) -> dict[int, _Measured]:
    times_ms: dict[int, list[float]] = {limit: [] for limit in _LIMITS}
    async with contextlib.AsyncExitStack() as stack:
        databases = {limit: await stack.enter_async_context(_database(couchdb, limit)) for limit in _LIMITS}
        for limit, database in databases.items():
            times_ms[limit].append(await _change(database))
        for _ in range(revisions // _AT_A_TIME):
            for limit, database in databases.items():
                times_ms[limit] += [await _change(database) for _ in range(_AT_A_TIME)]
        return {
            limit: _Measured(
                report.median(times_ms[limit][:_AT_A_TIME]),
                report.median(times_ms[limit][-_AT_A_TIME:]),
                int((await database.information())["sizes"]["file"]),
            )
            for limit, database in databases.items()
        }


async def _change(database: Database) -> float:
    """The milliseconds of a write; the read before it does not count."""
    before = await database.fetch(_DOCUMENT_ID)
    kept = {name: before[name] for name in ("_rev", NONCES_PROPERTY_NAME) if name in before}
    begin_s = time.perf_counter()
    await database.save({"_id": _DOCUMENT_ID, "count": before["count"] + 1} | kept)
    return (time.perf_counter() - begin_s) * 1e3


@contextlib.asynccontextmanager
async def _database(couchdb: CouchDB, revs_limit: int) -> AsyncIterator[Database]:
    with _installed(couchdb, revs_limit) as url:
        async with Database(url, username=couchdb.username, password=couchdb.password) as database:
            await database.save({"_id": _DOCUMENT_ID, "count": 0})
            yield database


@contextlib.contextmanager
def _installed(couchdb: CouchDB, revs_limit: int) -> Iterator[str]:
    name = f"hot_document_{uuid.uuid4().hex}"
    credentials = UserPassword(couchdb.username, couchdb.password)
    install(couchdb.url, name, credentials=credentials, revs_limit=revs_limit)
    try:
        yield f"{couchdb.url}/{name}"
    finally:
        install(couchdb.url, name, credentials=credentials, delete=True, create=False)


def _write(folder: Path, revisions: int, measured: dict[int, _Measured]) -> Path:
    rows = [
        [
            str(limit),
            f"{figures.first_ms:.1f}",
            f"{figures.last_ms:.1f}",
            f"{figures.last_ms / figures.first_ms:.2f}",
            f"{figures.file_bytes / revisions / 1000:.1f}",
        ]
        for limit, figures in measured.items()
    ]
    header = ["`_revs_limit`", "first writes (ms)", "last writes (ms)", "ratio", "file, KB a write"]
    return report.write(
        folder,
        "hot_document",
        f"A document over {revisions:,} revisions",
        [
            f"Medians of {_AT_A_TIME} writes; the databases take turns. {hardware()}. Compaction frees most "
            "of the file.",
            report.table(header, rows),
        ],
    )
