"""A change of a model keeps the attachments of its document."""

import asyncio

import pytest

from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.fault_proxy import FaultProxy, changed_first, cut_after
from tor_async_couchdb.tests.things import (
    Documents,
    Thing,
    ThingByIDRetriever,
    ThingRetriever,
    ThingsRetriever,
)

VIEW = "thing_by_key"
ATTACHMENTS = {"photo": bytes(range(256)), "a/letter.txt": b"Dear Jane " * 100, "empty": b""}


@pytest.fixture(autouse=True)
def thing(documents: Documents) -> None:
    """A thing with attachments of several revisions."""
    documents.put_view()
    documents.put_thing("a", _id="thing")
    for name, content in ATTACHMENTS.items():
        documents.attach(documents.get("thing"), **{name: content})


async def fetched(database: Database) -> Thing:
    thing = await ThingByIDRetriever("thing", database=database).fetch()
    assert thing is not None
    return thing


def increment(thing: Thing) -> Thing:
    return thing.replace(count=thing.count + 1)


async def test_persisted_change_keeps_attachments(database: Database, documents: Documents) -> None:
    thing = await fetched(database)
    for count in (1, 2):  # the second one changes what the first one returned
        thing = await AsyncPersister(thing.replace(count=count), database=database).persist()
        assert documents.get("thing")["count"] == count
        assert documents.attachments("thing") == ATTACHMENTS


@pytest.mark.parametrize("kind", ["by key", "by range"])
async def test_change_of_a_model_that_a_view_found_keeps_attachments(
    database: Database, documents: Documents, kind: str
) -> None:
    if kind == "by key":
        thing = await ThingRetriever(VIEW, "a", database=database).fetch()
    else:
        (thing,) = await ThingsRetriever(VIEW, database=database).fetch()
    assert thing is not None
    await AsyncPersister(increment(thing), database=database).persist()
    assert documents.attachments("thing") == ATTACHMENTS


async def test_change_whose_answer_is_lost_keeps_attachments(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    thing = await fetched(database)
    proxy.inject(cut_after, "_bulk_docs")
    stored = await AsyncPersister(increment(thing), database=database).persist()
    assert documents.get("thing")["_rev"] == stored.rev
    assert documents.attachments("thing") == ATTACHMENTS


async def test_group_commit_keeps_attachments(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    committer = AsyncGroupCommitter(ThingRetriever(VIEW, "a", database=database))
    await asyncio.gather(*(committer.commit(increment) for _ in range(10)))
    assert documents.attachments("thing") == ATTACHMENTS
    proxy.inject(changed_first(), "_bulk_docs", times=2)
    await asyncio.gather(*(committer.commit(increment) for _ in range(10)))
    assert documents.get("thing")["count"] == 20
    assert documents.attachments("thing") == ATTACHMENTS


async def test_attachment_that_another_client_adds_meanwhile_is_not_lost(
    database: Database, documents: Documents
) -> None:
    committer = AsyncGroupCommitter(ThingRetriever(VIEW, "a", database=database))

    def add_more(thing: Thing) -> Thing:
        if thing.count == 0 and "more" not in documents.get("thing")["_attachments"]:
            documents.attach(documents.get("thing"), more=b"more")
        return increment(thing)

    await committer.commit(add_more)
    assert documents.get("thing")["count"] == 1
    assert documents.attachments("thing") == ATTACHMENTS | {"more": b"more"}


async def test_deleted_model_takes_its_attachments_along(database: Database, documents: Documents) -> None:
    await AsyncDeleter(await fetched(database), database=database).delete()
    new = await AsyncPersister(Thing(id="thing", key="a"), database=database).persist()
    assert new.attachments is None
    assert documents.attachments("thing") == {}


async def test_model_without_attachments_is_stored_without_any(
    database: Database, documents: Documents
) -> None:
    stored = await AsyncPersister(Thing(key="b"), database=database).persist()
    await AsyncPersister(increment(stored), database=database).persist()
    assert "_attachments" not in documents.get(str(stored.id))
