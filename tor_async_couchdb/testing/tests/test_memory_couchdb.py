"""The CouchDB in memory answers as a real one does."""

import pytest

from tor_async_couchdb import ConflictError, Database, NotFoundError, TransportError
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB, memory_database
from tor_async_couchdb.tests.things import THING_BY_KEY, content_of


@pytest.fixture(params=["in memory", "over HTTP"])
def any_database(request: pytest.FixtureRequest) -> Database:
    if request.param == "in memory":
        return memory_database(MemoryCouchDB())
    database: Database = request.getfixturevalue("couchdb_database")
    return database


async def test_document_is_created_changed_and_deleted(any_database: Database) -> None:
    first = await any_database.save({"_id": "a b/c", "n": 1})
    second = await any_database.save({"_id": "a b/c", "_rev": first, "n": 2})
    assert content_of(await any_database.fetch("a b/c")) == {"_id": "a b/c", "_rev": second, "n": 2}
    assert (await any_database.fetch_revision("a b/c", first))["n"] == 1
    third = await any_database.delete("a b/c", second)
    (leaf,) = await any_database.fetch_leaves("a b/c")
    assert (leaf["_deleted"], leaf["_revisions"]["start"]) == (True, 3)
    assert [rev.partition("-")[0] for rev in (first, second, third)] == ["1", "2", "3"]
    with pytest.raises(NotFoundError) as caught:
        await any_database.fetch("a b/c")
    assert caught.value.reason == "deleted"


async def test_stale_write_is_a_conflict(any_database: Database) -> None:
    rev = await any_database.save({"_id": "a"})
    await any_database.save({"_id": "a", "_rev": rev})
    for stale in ({"_id": "a"}, {"_id": "a", "_rev": rev, "n": 1}):
        with pytest.raises(ConflictError):
            await any_database.save(stale)


async def test_missing_document_is_missing(any_database: Database) -> None:
    with pytest.raises(NotFoundError) as caught:
        await any_database.fetch("absent")
    assert caught.value.reason == "missing"
    assert await any_database.fetch_leaves("absent") == []


async def test_document_is_found_by_its_key(any_database: Database) -> None:
    await any_database.save({"_id": "_design/thing_by_key", **THING_BY_KEY})
    rev = await any_database.save({"_id": "a", "key": "k"})
    found = await any_database.find("thing_by_key", "k", lambda document: True)
    assert found is not None
    assert content_of(found) == {"_id": "a", "_rev": rev, "key": "k"}
    assert await any_database.find("thing_by_key", "other", lambda document: True) is None


async def test_connection_breaks_with_the_given_probability() -> None:
    couchdb = MemoryCouchDB()
    database = memory_database(couchdb, trouble=1.0)
    with pytest.raises(TransportError, match="the connection broke before the"):
        await database.fetch("a")
