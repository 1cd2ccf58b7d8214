from pathlib import Path
from typing import Annotated

import pytest
from aiohttp import web

from tor_async_couchdb.actions.lasting import (
    AsyncFirstPersister,
    AsyncLastingDeleter,
    AsyncLastingModelRetriever,
)
from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, InvalidDocumentError, TamperedError
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.model.properties import ChangeCount
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents


class Thing(Model, tag="thing_v1.0"):
    key: str
    count: Annotated[int, ChangeCount()] = 0
    is_deleted: bool = False


class Retriever(AsyncLastingModelRetriever[Thing]):
    """Finds a thing by its document's id."""


def first(database: Database, key: str = "one") -> AsyncFirstPersister[Thing]:
    return AsyncFirstPersister(Thing(id="a", key=key), Retriever("a", database=database))


async def deleted(database: Database, thing: Thing) -> Thing:
    return await AsyncLastingDeleter(thing.replace(is_deleted=True), database=database).delete()


async def test_first_model_under_an_id_is_stored_and_others_are_answered_with_it(database: Database) -> None:
    one = await first(database).persist()
    assert await first(database, "two").persist() == one
    assert await Retriever("a", database=database).fetch() == one


async def test_model_is_read_from_its_tombstone(database: Database, documents: Documents) -> None:
    one = await first(database).persist()
    await deleted(database, one)
    retriever = Retriever("a", database=database)
    assert await retriever.fetch() is None
    found = await retriever.fetch_also_deleted()
    assert found is not None
    assert (found.key, found.is_deleted) == ("one", True)
    assert documents.count() == 0


async def test_deleted_model_is_not_created_again(database: Database, documents: Documents) -> None:
    await deleted(database, await first(database).persist())
    found = await first(database, "two").persist()
    assert (found.key, found.is_deleted) == ("one", True)
    assert documents.count() == 0


async def test_model_that_is_created_and_deleted_by_others_in_between_stays_deleted(
    database: Database, documents: Documents, connect: Connect, proxy: FaultProxy
) -> None:
    async def others_are_faster(request: Request) -> web.StreamResponse:
        await deleted(database, await first(database).persist())
        return await request.forward()

    proxy.inject(others_are_faster, "_bulk_docs")
    found = await first(connect(), "two").persist()
    assert (found.key, found.is_deleted) == ("one", True)
    assert documents.count() == 0
    kept = await Retriever("a", database=database).fetch_also_deleted()
    assert kept is not None
    assert (kept.key, kept.is_deleted) == ("one", True)


async def test_of_two_that_both_see_nothing_the_slower_is_answered_with_the_faster(
    database: Database, connect: Connect, proxy: FaultProxy
) -> None:
    async def another_is_faster(request: Request) -> web.StreamResponse:
        await first(database).persist()
        return await request.forward()

    proxy.inject(another_is_faster, "_bulk_docs")
    assert (await first(connect(), "two").persist()).key == "one"


async def test_id_that_another_program_has_used_is_refused(database: Database, documents: Documents) -> None:
    other = documents.put(_id="a", other=1)
    documents.delete(other)
    with pytest.raises(ConflictError):
        await first(database).persist()
    assert await Retriever("a", database=database).fetch_also_deleted() is None
    assert documents.count() == 0


async def test_lost_race_of_a_deletion_is_a_conflict(database: Database) -> None:
    one = await first(database).persist()
    await AsyncPersister(one.replace(count=1), database=database).persist()
    with pytest.raises(ConflictError):
        await deleted(database, one)


@pytest.mark.parametrize("model", [Thing(key="a"), Thing(id="a", rev="1-a", key="a")])
async def test_model_without_an_id_or_with_a_revision_can_not_be_the_first(
    database: Database, model: Thing
) -> None:
    with pytest.raises(InvalidDocumentError, match="an id and no rev"):
        await AsyncFirstPersister(model, Retriever("a", database=database)).persist()


async def test_model_that_was_never_stored_can_not_be_deleted(database: Database) -> None:
    with pytest.raises(InvalidDocumentError, match="never stored"):
        await AsyncLastingDeleter(Thing(key="a"), database=database).delete()


async def test_tombstone_is_signed(connect: Connect, documents: Documents, tmp_path: Path) -> None:
    signing.new_key_set(tmp_path / "keys")
    signer = signing.TamperingSigner.from_file(tmp_path / "keys")
    database = connect(guard=ProtectingGuard(signer=signer))
    await deleted(database, await first(database).persist())
    [tombstone] = await database.fetch_leaves("a")
    assert SIGNATURE_PROPERTY_NAME in tombstone
    documents.put_leaves(
        [tombstone | {"key": "two", "_rev": "9-a", "_revisions": {"start": 9, "ids": ["a"]}}]
    )
    with pytest.raises(TamperedError):
        await Retriever("a", database=database).fetch_also_deleted()
