"""The library on the nodes of a real cluster, which COUCHDB_URL names, separated by commas."""

import asyncio
import collections
import contextlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Annotated, Any

import pytest
import requests
import yarl

from tor_async_couchdb.actions.retrieve import AsyncModelRetrieverByDocumentID
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, OutcomeUnknownError
from tor_async_couchdb.history.tests.test_masters_witness import SIGNER
from tor_async_couchdb.history.tests.test_witness import MemoryStore
from tor_async_couchdb.history.witness import Witness
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import ChangeCount
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.retries.pauses import full_jitter
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until

_NODES = [url.strip() for url in os.environ.get("COUCHDB_URL", "").split(",")]

pytestmark = pytest.mark.skipif(
    len(_NODES) < 2, reason="COUCHDB_URL names no cluster: set it to the URLs of its nodes, with commas"
)

_WRITERS = 6
_CHANGES = 8
_PAUSE = full_jitter(base_s=0.02, cap_s=0.5)


class Tally(Model, tag="tally_v1.0"):
    """A document that counts its changes."""

    count: Annotated[int, ChangeCount()] = 0


class TallyRetriever(AsyncModelRetrieverByDocumentID[Tally]):
    """Finds a tally."""


class ForeignLeaves(Observer):
    """Counts leaves that other programs or replication brought."""

    def __init__(self) -> None:
        self.count = 0

    def foreign_leaves_met(self, count: int) -> None:
        self.count += count


def _urls_of(database_url: str) -> list[str]:
    """The database's URL on each node."""
    name = database_url.rpartition("/")[2]
    return [str(yarl.URL(node) / name) for node in _NODES]


@pytest.fixture
async def connect_apart(
    couchdb: CouchDBServer, couchdb_database_url: str
) -> AsyncIterator[Callable[..., Any]]:
    """Makes one `Database` for each node, as processes have that use a node of their own."""
    async with contextlib.AsyncExitStack() as stack:

        def connect(**parts: Any) -> list[Database]:
            credentials = {"username": couchdb.username, "password": couchdb.password}
            urls = _urls_of(couchdb_database_url)
            databases = [Database(url, **credentials | {"timeout_s": 30.0} | parts) for url in urls]
            for database in databases:
                stack.push_async_exit(database)
            return databases

        yield connect


@pytest.fixture
def backup(couchdb: CouchDBServer, couchdb_database_url: str) -> Iterator[str]:
    """The name of a database that replicates with the test's own, both ways."""
    with couchdb.new_database() as backup_url:
        urls = [couchdb_database_url, backup_url]
        jobs = [_replication(couchdb, *pair) for pair in (urls, urls[::-1])]
        try:
            yield backup_url.rpartition("/")[2]
        finally:
            for job in jobs:
                couchdb.succeed("DELETE", f"_replicator/{job['id']}", params={"rev": job["rev"]})


def _replication(couchdb: CouchDBServer, source: str, target: str) -> Document:
    auth = {"basic": {"username": couchdb.username, "password": couchdb.password}}
    body = {
        "source": {"url": source, "auth": auth},
        "target": {"url": target, "auth": auth},
        "continuous": True,
    }
    job: Document = couchdb.succeed("PUT", f"_replicator/{uuid.uuid4().hex}", json=body).json()
    return job


async def _change(database: Database) -> bool:
    """Whether one more change of the tally was acknowledged; False if its outcome is unknown."""
    for attempt in range(1, 200):
        tally = await TallyRetriever("tally", database=database).fetch()
        assert tally is not None
        try:
            await AsyncPersister(tally.replace(count=tally.count + 1), database=database).persist()
        except ConflictError:
            await asyncio.sleep(_PAUSE(attempt, 0.0))
        except OutcomeUnknownError:
            return False
        else:
            return True
    pytest.fail("a change lost 200 races")


async def _change_by_many(databases: Sequence[Database]) -> collections.Counter[bool]:
    """How many changes of a new tally were acknowledged, and how many are of unknown outcome."""
    await AsyncPersister(Tally(id="tally"), database=databases[0]).persist()
    writers = [databases[number % len(databases)] for number in range(_WRITERS)]
    outcomes = await asyncio.gather(*(_change(writer) for writer in writers for _ in range(_CHANGES)))
    # What a writer left that gave up is gone after the next change.
    return collections.Counter([*outcomes, await _change(databases[0])])


def _assert_counts(document: Document, outcomes: collections.Counter[bool]) -> None:
    assert outcomes[True] > _WRITERS * _CHANGES / 2
    assert outcomes[True] <= document["count"] <= outcomes.total()
    assert "_conflicts" not in document


async def test_no_acknowledged_change_is_lost_and_no_conflict_is_left(
    connect_apart: Callable[..., list[Database]], documents: Documents
) -> None:
    outcomes = await _change_by_many(connect_apart())
    _assert_counts(documents.get("tally", conflicts="true"), outcomes)


async def test_signed_documents_and_their_witness_see_no_tampering_in_a_lost_race(
    connect_apart: Callable[..., list[Database]], documents: Documents
) -> None:
    alarms = RecordingObserver()
    guard = ProtectingGuard(signer=SIGNER, witness=Witness(MemoryStore(), SIGNER))
    outcomes = await _change_by_many(connect_apart(guard=guard, observer=alarms))
    _assert_counts(documents.get("tally", conflicts="true"), outcomes)
    assert alarms.tampered == []


async def test_document_can_be_deleted_and_made_again(
    connect_apart: Callable[..., list[Database]], documents: Documents
) -> None:
    databases = connect_apart()
    for life, database in enumerate(databases * 2):
        created = await AsyncPersister(Tally(id="tally", count=life), database=database).persist()
        changed = await AsyncPersister(created.replace(count=life + 1), database=databases[0]).persist()
        assert documents.get("tally", conflicts="true")["count"] == life + 1
        await AsyncDeleter(changed, database=database).delete()
        assert await TallyRetriever("tally", database=databases[1]).fetch() is None


async def test_of_many_that_make_a_deleted_document_again_one_succeeds(
    connect_apart: Callable[..., list[Database]], documents: Documents
) -> None:
    databases = connect_apart()
    created = await AsyncPersister(Tally(id="tally"), database=databases[0]).persist()
    await AsyncDeleter(created, database=databases[1]).delete()
    creations = [
        AsyncPersister(Tally(id="tally", count=number), database=databases[number % len(databases)]).persist()
        for number in range(_WRITERS)
    ]
    results = await asyncio.gather(*creations, return_exceptions=True)
    successes = [result for result in results if isinstance(result, Tally)]
    assert len(successes) == 1
    assert all(isinstance(result, Tally | ConflictError) for result in results)
    document = documents.get("tally", conflicts="true")
    assert (document["count"], "_conflicts" in document) == (successes[0].count, False)


async def test_database_that_is_replicated_to_a_backup_is_as_safe(
    connect_apart: Callable[..., list[Database]],
    couchdb: CouchDBServer,
    documents: Documents,
    backup: str,
) -> None:
    foreign = ForeignLeaves()
    outcomes = await _change_by_many(connect_apart(observer=foreign))
    document = documents.get("tally", conflicts="true")
    _assert_counts(document, outcomes)
    assert foreign.count == 0, "what comes back from the backup is the database's own"
    copies = Documents(couchdb, f"{couchdb.url}/{backup}")
    await wait_until(lambda: _as_in(copies) == document, timeout_s=60.0)


def _as_in(documents: Documents) -> Document | None:
    time.sleep(0.2)  # not to ask CouchDB all the time
    with contextlib.suppress(requests.HTTPError):
        return documents.get("tally", conflicts="true")
    return None
