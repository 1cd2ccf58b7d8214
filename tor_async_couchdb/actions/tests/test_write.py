import re
from typing import Any

import pytest

from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.nonces import MAX_NONCES
from tor_async_couchdb.errors import ConflictError, InvalidDocumentError, OutcomeUnknownError
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.testing.fault_proxy import FaultProxy, cut_after, cut_before
from tor_async_couchdb.tests.things import Documents, Thing


async def test_new_model_gets_an_id_made_by_couchdb_and_a_revision(
    database: Database, documents: Documents
) -> None:
    thing = await AsyncPersister(Thing(key="a"), database=database).persist()
    assert thing.id is not None
    assert re.fullmatch("[0-9a-f]{32}", thing.id)
    assert documents.content(thing.id) == {
        "_id": thing.id,
        "_rev": thing.rev,
        "type": "thing_v1.0",
        "key": "a",
        "count": 0,
    }


@pytest.mark.parametrize("document_id", ["mine", "a/b?c#d", "a+b c%"])
async def test_new_model_may_have_an_id_already(
    database: Database, documents: Documents, document_id: str
) -> None:
    thing = await AsyncPersister(Thing(id=document_id, key="a"), database=database).persist()
    assert thing.id == document_id
    assert documents.get(document_id)["key"] == "a"
    with pytest.raises(ConflictError):
        await AsyncPersister(Thing(id=document_id, key="b"), database=database).persist()


async def test_each_write_of_a_model_adds_a_nonce_that_only_the_document_shows(
    database: Database, documents: Documents
) -> None:
    thing = await AsyncPersister(Thing(key="a"), database=database).persist()
    nonces: list[str] = []
    for count in range(1, MAX_NONCES + 3):
        before = documents.get(str(thing.id))[NONCES_PROPERTY_NAME]
        thing = await AsyncPersister(thing.replace(count=count), database=database).persist()
        nonces = documents.get(str(thing.id))[NONCES_PROPERTY_NAME]
        assert nonces[0] not in before
        assert nonces[1:] == before[: MAX_NONCES - 1]
        assert thing.representation() == {"key": "a", "count": count}
        assert "nonce" not in repr(thing)
    await AsyncDeleter(thing, database=database).delete()
    (tombstone,) = await database.fetch_leaves(str(thing.id))
    assert tombstone[NONCES_PROPERTY_NAME][1:] == nonces[: MAX_NONCES - 1]


@pytest.mark.parametrize("document_id", ["_design/thing_by_key", "_local/a", "_design", "_"])
async def test_id_that_couchdb_reserves_is_refused(
    database: Database, documents: Documents, document_id: str
) -> None:
    with pytest.raises(InvalidDocumentError, match=f"document '{document_id}': an id must not start with"):
        await AsyncPersister(Thing(id=document_id, key="a"), database=database).persist()
    assert documents.count() == 0


async def test_persisting_returns_another_model_and_leaves_the_first_unchanged(database: Database) -> None:
    new = Thing(key="a")
    stored = await AsyncPersister(new, database=database).persist()
    assert new == Thing(key="a")
    changed = stored.replace(count=1)
    again = await AsyncPersister(changed, database=database).persist()
    assert (again.id, again.count) == (stored.id, 1)
    assert str(again.rev).startswith("2-")


async def test_change_of_a_model_that_has_changed_since_is_a_conflict(
    database: Database, documents: Documents
) -> None:
    stored = await AsyncPersister(Thing(key="a"), database=database).persist()
    await AsyncPersister(stored.replace(count=1), database=database).persist()
    with pytest.raises(ConflictError):
        await AsyncPersister(stored.replace(count=2), database=database).persist()
    with pytest.raises(ConflictError):
        await AsyncDeleter(stored, database=database).delete()
    assert documents.get(str(stored.id))["count"] == 1


async def test_creation_whose_answer_is_lost_makes_one_document(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    for key, fault in (("a", cut_after), ("b", cut_before)):
        proxy.inject(fault, "_bulk_docs")
        await AsyncPersister(Thing(key=key), database=database).persist()
    assert documents.count() == 2


async def test_creation_that_may_have_been_applied_is_an_unknown_outcome(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    proxy.inject(cut_after, "_bulk_docs")
    proxy.inject(cut_before, "_bulk_get", times=9)
    with pytest.raises(OutcomeUnknownError):
        await AsyncPersister(Thing(key="a"), database=database).persist()
    assert documents.count() == 1


@pytest.mark.parametrize("key", [float("nan"), "\ud800"])
async def test_model_that_is_not_json_is_not_stored(
    database: Database, documents: Documents, key: Any
) -> None:
    with pytest.raises(InvalidDocumentError):
        await AsyncPersister(Thing(key=key), database=database).persist()
    assert documents.count() == 0


async def test_deleted_model_is_gone(database: Database, documents: Documents) -> None:
    stored = await AsyncPersister(Thing(key="a"), database=database).persist()
    await AsyncDeleter(stored, database=database).delete()
    assert documents.count() == 0
    with pytest.raises(ConflictError):
        await AsyncDeleter(stored, database=database).delete()


@pytest.mark.parametrize("thing", [Thing(key="a"), Thing(id="1", key="a"), Thing(rev="1-a", key="a")])
async def test_model_that_was_never_stored_can_not_be_deleted(
    proxy: FaultProxy, database: Database, thing: Thing
) -> None:
    with pytest.raises(InvalidDocumentError, match="never stored"):
        await AsyncDeleter(thing, database=database).delete()
    assert proxy.requests == []
