from collections.abc import AsyncIterator

import pytest

from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.traced import TracedDatabase
from tor_async_couchdb.errors import ConflictError, NotFoundError
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.things import Documents, Thing, ThingRetriever


class Traces(Observer):
    """Keeps what it learns of reads and writes."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str | None]] = []

    def document_read(self, document_id: str | None, duration_s: float) -> None:
        assert duration_s >= 0
        self.seen.append(("read", document_id))

    def document_written(self, document_id: str, duration_s: float, *, is_conflict: bool) -> None:
        assert duration_s >= 0
        self.seen.append(("conflict" if is_conflict else "write", document_id))


@pytest.fixture
async def traced(couchdb: CouchDBServer, couchdb_database_url: str) -> AsyncIterator[Database]:
    Documents(couchdb, couchdb_database_url).put_view()
    async with TracedDatabase(
        couchdb_database_url, username=couchdb.username, password=couchdb.password
    ) as database:
        yield database


async def test_reads_and_writes_are_those_of_each_caller(traced: Database) -> None:
    one, other = Traces(), Traces()
    rev = await traced.observed_by(one).save({"_id": "a"})
    await traced.observed_by(other).fetch("a")
    await traced.observed_by(other).delete("a", rev)
    assert one.seen == [("write", "a")]
    assert other.seen == [("read", "a"), ("write", "a")]


async def test_a_write_that_loses_a_race_is_a_conflict(traced: Database) -> None:
    traces = Traces()
    database = traced.observed_by(traces)
    await database.save({"_id": "a"})
    with pytest.raises(ConflictError):
        await database.save({"_id": "a"})
    assert traces.seen == [("write", "a"), ("conflict", "a")]


async def test_a_read_of_what_is_not_there_and_a_view_are_reads_too(traced: Database) -> None:
    traces = Traces()
    database = traced.observed_by(traces)
    with pytest.raises(NotFoundError):
        await database.fetch("missing")
    await database.query_view("thing_by_key")
    await database.find("thing_by_key", "missing", lambda doc: False)
    await database.fetch_conflict("missing")
    assert traces.seen == [("read", "missing"), ("read", None), ("read", None), ("read", "missing")]


async def test_a_group_reports_to_all_whose_changes_it_writes(traced: Database) -> None:
    await traced.save(Thing(key="a").as_doc_for_store() | {"_id": "a"})
    traces = Traces()
    retriever: AsyncModelRetriever[Thing] = ThingRetriever("thing_by_key", "a", database=traced)
    await AsyncGroupCommitter(retriever.on(traced.observed_by(traces))).commit(
        lambda thing: thing.replace(count=7)
    )
    assert [what for what, _ in traces.seen] == ["read", "write"]
