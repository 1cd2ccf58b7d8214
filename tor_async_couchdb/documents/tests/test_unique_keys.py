"""Finding documents by unique keys, through `Database.find` where the answer is CouchDB's."""

import logging
from typing import Any

import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.unique_keys import UniqueKeys
from tor_async_couchdb.errors import NotFoundError
from tor_async_couchdb.model import Document
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.things import Documents

VIEW = "thing_by_key"


class Finder:
    """Finds things by their key, and counts the requests to the view."""

    def __init__(self, database: Database, documents: Documents, proxy: FaultProxy) -> None:
        self.database = database
        self.documents = documents
        self._proxy = proxy
        documents.put_view()

    async def find(self, key: str = "a") -> Document | None:
        def has_key(document: Document) -> bool:
            return document.get("type") == "thing_v1.0" and document.get("key") == key

        return await self.database.find(VIEW, key, has_key)

    @property
    def look_ups(self) -> int:
        return len([request for request in self._proxy.requests if "_view" in request.path])


@pytest.fixture
def finder(database: Database, documents: Documents, proxy: FaultProxy) -> Finder:
    return Finder(database, documents, proxy)


async def test_view_is_queried_once(finder: Finder) -> None:
    thing = finder.documents.put_thing("a")
    for _ in range(3):
        assert await finder.find() == thing
    assert finder.look_ups == 1


async def test_document_is_read_each_time(finder: Finder) -> None:
    thing = finder.documents.put_thing("a")
    await finder.find()
    changed = finder.documents.put(**thing | {"count": 1})
    assert await finder.find() == changed
    assert finder.look_ups == 1


async def test_document_that_was_remembered_needs_no_look_up(finder: Finder) -> None:
    thing = finder.documents.put_thing("a")
    finder.database.remember(VIEW, "a", thing["_id"])
    assert await finder.find() == thing
    assert finder.look_ups == 0


async def test_document_that_was_not_found_is_looked_up_again(finder: Finder) -> None:
    assert await finder.find() is None
    thing = finder.documents.put_thing("a")
    assert await finder.find() == thing


async def test_document_that_was_deleted_is_forgotten(finder: Finder) -> None:
    thing = finder.documents.put_thing("a")
    await finder.find()
    finder.documents.delete(thing)
    assert await finder.find() is None
    successor = finder.documents.put_thing("a")
    assert await finder.find() == successor
    assert await finder.find() == successor
    assert finder.look_ups == 3


@pytest.mark.parametrize("change", [{"type": "other_v1.0", "key": "b"}, {"key": "b"}, {"key": None}])
async def test_document_that_has_lost_its_key_or_type_is_forgotten(
    finder: Finder, change: dict[str, Any]
) -> None:
    thing = finder.documents.put_thing("a")
    await finder.find()
    finder.documents.put(**thing | change)
    assert await finder.find() is None
    successor = finder.documents.put_thing("a")
    assert await finder.find() == successor


async def test_document_of_another_type_is_returned_but_never_remembered(finder: Finder) -> None:
    other = finder.documents.put_thing("a", type="other_v1.0")
    assert await finder.find() == other
    finder.documents.delete(other)
    thing = finder.documents.put_thing("a")
    assert await finder.find() == thing


async def test_of_several_documents_the_one_with_the_smallest_id_is_found_and_none_is_remembered(
    finder: Finder, caplog: pytest.LogCaptureFixture
) -> None:
    for document_id in ("c", "b", "d"):
        finder.documents.put_thing("a", _id=document_id)
    for look_ups in (1, 2):
        found = await finder.find()
        assert found is not None
        assert found["_id"] == "b"
        assert finder.look_ups == look_ups
    (error, _) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "3 documents share a key in view 'thing_by_key': ['b', 'c', 'd']" in error.getMessage()


async def test_missing_database_is_not_taken_for_a_missing_document() -> None:
    async def look_up(design_doc: str, key: str) -> list[str]:
        return ["a"]

    async def fetch(document_id: str) -> Document:
        raise NotFoundError(404, "not_found", "Database does not exist.", method="POST", path="/db/_bulk_get")

    keys = UniqueKeys(look_up, fetch)
    keys.remember(VIEW, "a", "a")
    with pytest.raises(NotFoundError):
        await keys.find(VIEW, "a", lambda document: True)


async def test_least_recently_used_key_is_forgotten_when_there_is_no_room() -> None:
    looked_up = []

    async def look_up(design_doc: str, key: str) -> list[str]:
        looked_up.append(key)
        return [f"id of {key}"]

    async def fetch(document_id: str) -> Document:
        return {"_id": document_id}

    keys = UniqueKeys(look_up, fetch, max_remembered=3)
    for key in ("a", "b", "c", "a", "d", "a", "c", "d", "b", "a"):
        found = await keys.find(VIEW, key, lambda document: True)
        assert found == {"_id": f"id of {key}"}
    assert looked_up == ["a", "b", "c", "d", "b", "a"]


async def test_views_do_not_share_their_keys(finder: Finder) -> None:
    thing = finder.documents.put_thing("a")
    finder.database.remember("another_view", "a", "absent")
    assert await finder.find() == thing
