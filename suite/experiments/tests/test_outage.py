"""A database that is killed under load and comes back, for each kind of CRUD sample, and for a follower."""

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install
from suite.couchdb import CouchDB
from suite.experiments.writers import TOLD_NO, Writers
from suite.installations import installed
from suite.services import running
from suite.table import SAMPLES, Sample
from tor_async_couchdb import Change, CouchDBError, Database, Follower
from tor_async_couchdb.installer.admin import AdminClient
from tor_async_couchdb.tests.waiting import wait_until

# Not multi_master: the stand-in, killed while it replicates, answers no view when it is back.
CRUD = [sample for sample in SAMPLES if sample.name.startswith("crud/") and not sample.masters]
# One that sends each change by itself, and one that sends changes together. The others take longer.
QUICK = ("crud/exp_backoff", "crud/group_commit")


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[EmbeddedCouchDB]:
    node = find_node()
    install(node)
    with EmbeddedCouchDB(node, tmp_path / "couchdb", username="admin", password="secret") as server:
        yield server


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(sample, id=sample.name, marks=[] if sample.name in QUICK else [pytest.mark.long])
        for sample in CRUD
    ],
)
def test_killed_database_costs_no_acknowledged_change(
    sample: Sample, stand_in: EmbeddedCouchDB, tmp_path: Path
) -> None:
    couchdb = CouchDB(stand_in.url, "admin", "secret")
    with (
        installed([sample.anywhere()], couchdb, "test") as commands,
        running(commands, tmp_path) as services,
    ):
        writers = Writers(services[0].url)
        with writers.running():
            writers.wait_for_successes(20)
            os.kill(stand_in.pid, signal.SIGKILL)
            writers.wait_until(lambda: 503 in writers.statuses)
            stand_in.stop()
            stand_in.start()
            writers.wait_for_successes(20, after_s=time.monotonic())
        assert writers.statuses - {200, *TOLD_NO} == {503}
        writers.check()


async def test_follower_of_a_database_that_is_killed_learns_of_each_document(
    stand_in: EmbeddedCouchDB,
) -> None:
    told: dict[str, str] = {}

    async def handle(changes: Sequence[Change]) -> None:
        told.update({change.id: change.rev for change in changes})

    with CouchDB(stand_in.url, "admin", "secret").connect() as server:
        server.ask("PUT", "documents")
        async with Database(f"{stand_in.url}/documents", username="admin", password="secret") as database:
            follower = Follower("killed", handle, database=database, heartbeat_s=0.5)
            tasks = [asyncio.create_task(work) for work in (follower.run(), _write_on(database))]
            for _ in range(3):
                more = len(told) + 5
                await wait_until(lambda more=more: len(told) >= more, 30.0)  # type: ignore[misc]
                await asyncio.to_thread(stand_in.kill)
                await asyncio.to_thread(stand_in.start)
            tasks[1].cancel()
            await wait_until(lambda: told == _stored(server), 30.0)
            tasks[0].cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.gather(*tasks)


def _stored(server: AdminClient) -> dict[str, str]:
    rows = server.ask("GET", "documents", "_all_docs")["rows"]
    return {row["id"]: row["value"]["rev"] for row in rows}


async def _write_on(database: Database) -> None:
    for number in itertools.count():
        with contextlib.suppress(CouchDBError):
            await database.save({"_id": f"document{number}"})
