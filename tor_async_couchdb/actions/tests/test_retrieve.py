import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb import errors
from tor_async_couchdb.actions.retrieve import (
    AsyncModelRetriever,
    AsyncModelsRetriever,
    AsyncPersister,
    BaseAsyncModelRetriever,
)
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError, InvalidDocumentError, TamperedError, TransportError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_before
from tor_async_couchdb.tests.things import (
    Documents,
    Thing,
    ThingByIDRetriever,
    ThingRetriever,
    ThingsRetriever,
)

VIEW = "thing_by_key"
KEYS = [0, "", [], {}, None, False, 1, 1.5, "a b&c=d+%", "ü", [0, "", None], {"a": [1]}]


class LeftOut(Observer):
    """Remembers which documents lists went without."""

    def __init__(self) -> None:
        self.errors: list[CouchDBError] = []

    def document_left_out(self, error: CouchDBError) -> None:
        self.errors.append(error)


@pytest.fixture(autouse=True)
def view(documents: Documents) -> None:
    documents.put_view()


@pytest.fixture
def left_out(database: Database) -> LeftOut:
    database.observer = LeftOut()
    return database.observer


@pytest.mark.parametrize("key", KEYS)
async def test_model_is_found_by_any_json_value(database: Database, documents: Documents, key: Any) -> None:
    doc = documents.put_thing(key)
    documents.put_thing("another")
    thing = await ThingRetriever(VIEW, key, database=database).fetch()
    assert thing == Thing(id=doc["_id"], rev=doc["_rev"], key=key)


@pytest.mark.parametrize("key", KEYS)
async def test_absent_model_is_none(database: Database, documents: Documents, key: Any) -> None:
    documents.put_thing("another")
    assert await ThingRetriever(VIEW, key, database=database).fetch() is None


async def test_of_several_models_under_one_key_the_smallest_id_is_taken(
    database: Database, documents: Documents
) -> None:
    documents.put_thing("a", _id="2", count=2)
    documents.put_thing("a", _id="1", count=1)
    thing = await ThingRetriever(VIEW, "a", database=database).fetch()
    assert thing is not None
    assert thing.count == 1


@pytest.mark.parametrize(
    "changes", [{"type": "fruit_v1.0"}, {"type": None}, {"count": "many"}, {"color": "red"}, {"count": None}]
)
async def test_model_that_does_not_fit_is_an_error_that_names_it(
    database: Database, documents: Documents, changes: dict[str, Any]
) -> None:
    documents.put_thing("a", _id="odd one", **changes)
    with pytest.raises(InvalidDocumentError, match="'odd one'"):
        await ThingRetriever(VIEW, "a", database=database).fetch()
    with pytest.raises(InvalidDocumentError, match="'odd one'"):
        await ThingByIDRetriever("odd one", database=database).fetch()


async def test_document_without_a_type_is_an_error(database: Database, documents: Documents) -> None:
    documents.put(_id="odd one", key="a")
    with pytest.raises(InvalidDocumentError, match="property 'type' of document 'odd one': missing"):
        await ThingRetriever(VIEW, "a", database=database).fetch()


ROWS_OF_DELETED_DOCUMENTS = (
    '{"total_rows":2,"offset":0,"rows":['
    '{"id":"a","key":1,"value":null,"doc":null},'
    '{"id":"b","key":1,"value":null},'
    '{"id":"c","key":1,"value":null,"doc":{"_id":"c","_rev":"2-c","_deleted":true}}]}'
)


async def test_document_that_was_deleted_since_the_view_was_read_is_not_there(
    proxy: FaultProxy, database: Database, left_out: LeftOut
) -> None:
    proxy.inject(answered(200, ROWS_OF_DELETED_DOCUMENTS), "/_view/", times=3)
    assert await ThingRetriever(VIEW, 1, database=database).fetch() is None
    assert await ThingsRetriever(VIEW, database=database).fetch() == []
    page = await ThingsRetriever(VIEW, database=database).fetch_page(10)
    assert (page.models, page.next_key) == ([], None)
    assert left_out.errors == []


@pytest.fixture
def numbered(documents: Documents) -> Documents:
    for number in range(6):
        documents.put_thing(number)
    return documents


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"start_key": 3}, [3, 4, 5]),
        ({"start_key": 0, "end_key": 0}, [0]),
        ({"end_key": 2}, [0, 1, 2]),
        ({"end_key": 0}, [0]),
        ({"start_key": 2, "end_key": 4}, [2, 3, 4]),
        ({"end_key": ""}, [0, 1, 2, 3, 4, 5]),
        ({"start_key": ""}, []),
        ({"start_key": []}, []),
        ({"limit": 2}, [0, 1]),
        ({"limit": 0}, []),
        ({"skip": 4}, [4, 5]),
        ({"skip": 1, "limit": 2}, [1, 2]),
        ({"descending": True}, [5, 4, 3, 2, 1, 0]),
        ({"descending": True, "start_key": 3, "end_key": 1}, [3, 2, 1]),
    ],
)
async def test_models_are_found_by_their_range_of_keys(
    database: Database, numbered: Documents, options: dict[str, Any], expected: list[int]
) -> None:
    things = await ThingsRetriever(VIEW, database=database, **options).fetch()
    assert [thing.key for thing in things] == expected


async def test_range_that_ends_before_it_starts_is_refused_by_couchdb(database: Database) -> None:
    with pytest.raises(errors.ResponseError, match="400 query_parse_error"):
        await ThingsRetriever(VIEW, 4, 2, database=database).fetch()


async def test_one_bad_document_does_not_spoil_a_list(
    database: Database, numbered: Documents, left_out: LeftOut, caplog: pytest.LogCaptureFixture
) -> None:
    numbered.put_thing(6, _id="odd one", count="many")
    numbered.put(_id="stranger", key=7)
    numbered.put_thing(8)
    things = await ThingsRetriever(VIEW, database=database).fetch()
    assert [thing.key for thing in things] == [0, 1, 2, 3, 4, 5, 8]
    assert [type(error) for error in left_out.errors] == [InvalidDocumentError] * 2
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 2
    assert "left out of a list" in logged[0]
    assert "'odd one'" in logged[0]
    assert "'stranger'" in logged[1]


async def all_pages(database: Database, size: int) -> list[list[int]]:
    pages = []
    start_key = None
    while True:
        page = await ThingsRetriever(VIEW, start_key, database=database).fetch_page(size)
        pages.append([thing.key for thing in page.models])
        if page.next_key is None:
            return pages
        start_key = page.next_key


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (1, [[0], [1], [2], [3], [4], [5]]),
        (4, [[0, 1, 2, 3], [4, 5]]),
        (5, [[0, 1, 2, 3, 4], [5]]),
        (6, [[0, 1, 2, 3, 4, 5]]),
        (7, [[0, 1, 2, 3, 4, 5]]),
    ],
)
async def test_pages_together_are_the_list(
    database: Database, numbered: Documents, size: int, expected: list[list[int]]
) -> None:
    assert await all_pages(database, size) == expected


async def test_page_of_nothing_is_the_last(database: Database) -> None:
    assert await all_pages(database, 3) == [[]]


async def test_document_that_is_left_out_of_a_page_costs_no_other(
    database: Database, numbered: Documents, left_out: LeftOut
) -> None:
    for document_id, key in (("x", 2.5), ("y", 3.5), ("z", 9)):
        numbered.put_thing(key, _id=document_id, count="many")
    pages = await all_pages(database, 2)
    assert [key for page in pages for key in page] == [0, 1, 2, 3, 4, 5]
    assert {error.document_id for error in left_out.errors if isinstance(error, InvalidDocumentError)} == {
        "x", "y", "z",
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_several_documents_under_one_key_are_one_model_on_one_page(
    database: Database, numbered: Documents, size: int
) -> None:
    for _ in range(5):
        numbered.put_thing(2)
    keys = [key for page in await all_pages(database, size) for key in page]
    assert keys == [0, 1, 2, 3, 4, 5]


async def test_model_is_found_by_its_documents_id(database: Database, documents: Documents) -> None:
    doc = documents.put_thing("a", _id="1/2?3")
    thing = await ThingByIDRetriever("1/2?3", database=database).fetch()
    assert thing == Thing(id="1/2?3", rev=doc["_rev"], key="a")


async def test_absent_or_deleted_document_is_no_model(database: Database, documents: Documents) -> None:
    assert await ThingByIDRetriever("absent", database=database).fetch() is None
    documents.delete(documents.put_thing("a", _id="1"))
    assert await ThingByIDRetriever("1", database=database).fetch() is None


@pytest.mark.parametrize(
    "retrieve",
    [
        lambda database: ThingRetriever(VIEW, "a", database=database).fetch(),
        lambda database: ThingsRetriever(VIEW, database=database).fetch(),
        lambda database: ThingByIDRetriever("1", database=database).fetch(),
    ],
    ids=["by key", "by range", "by id"],
)
async def test_trouble_is_never_taken_for_an_absent_model(
    couchdb: CouchDBServer, proxy: FaultProxy, database: Database, retrieve: Callable[[Database], Any]
) -> None:
    for status, error_class in (
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (500, errors.ResponseError),
    ):
        proxy.inject(answered(status, '{"error":"e","reason":"Database does not exist."}'), times=math.inf)
        with pytest.raises(error_class):
            await retrieve(database)
        proxy.clear()
    proxy.inject(cut_before, times=math.inf)
    with pytest.raises(TransportError):
        await retrieve(database)
    async with Database(
        f"{proxy.url}_absent", username=couchdb.username, password=couchdb.password
    ) as absent:
        proxy.clear()
        with pytest.raises(errors.NotFoundError):
            await retrieve(absent)


class MostRecentThingRetriever(BaseAsyncModelRetriever[Thing]):
    """The recipe of the base class's documentation."""

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        return {"descending": True, "limit": 1, "startkey": ["a", {}], "endkey": ["a"]}

    async def fetch(self) -> Thing:
        async with self._connected() as connection:
            (row,) = await self._rows(connection)
            assert row.doc is not None
            return await self._verified_model(connection, row.doc)


async def test_query_of_ones_own_finds_the_most_recent(database: Database, documents: Documents) -> None:
    for key in (["a", 1], ["a", 3], ["a", 2], ["b", 9]):
        documents.put_thing(key)
    assert (await MostRecentThingRetriever(VIEW, database=database).fetch()).key == ["a", 3]


class Box(Model, tag="box_v1.0"):
    key: Any


class AnythingRetriever(AsyncModelsRetriever[Any]):
    def create_model_from_doc(self, doc: Document) -> Model:
        return Box.from_doc(doc) if doc["type"] == "box_v1.0" else Thing.from_doc(doc)


async def test_documents_type_may_decide_the_class(database: Database, documents: Documents) -> None:
    documents.put_thing(1)
    documents.put(key=2, type="box_v1.0")
    models = await AnythingRetriever(VIEW, database=database).fetch()
    assert [type(model) for model in models] == [Thing, Box]


async def test_retriever_that_does_not_say_what_it_makes_says_so(
    database: Database, documents: Documents
) -> None:
    documents.put_thing(1)
    with pytest.raises(TypeError, match="needs a model_class"):
        await AsyncModelRetriever[Thing](VIEW, 1, database=database).fetch()


async def test_tampered_document_is_an_error_alone_and_left_out_of_a_list(
    couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents, tmp_path: Path
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    observer = LeftOut()
    async with Database(
        proxy.url,
        username=couchdb.username,
        password=couchdb.password,
        tampering_signer=signer,
        observer=observer,
    ) as database:
        good = await AsyncPersister(Thing(key=1), database=database).persist()
        bad = await AsyncPersister(Thing(key=2), database=database).persist()
        documents.put(**documents.get(str(bad.id)) | {"count": 1_000_000})
        unsigned = documents.put_thing(3)
        assert await ThingRetriever(VIEW, 1, database=database).fetch() == good
        for key, document_id in ((2, bad.id), (3, unsigned["_id"])):
            with pytest.raises(TamperedError) as caught:
                await ThingRetriever(VIEW, key, database=database).fetch()
            assert caught.value.document_id == document_id
            with pytest.raises(TamperedError):
                await ThingByIDRetriever(str(document_id), database=database).fetch()
        assert await ThingsRetriever(VIEW, database=database).fetch() == [good]
    assert [type(error) for error in observer.errors] == [TamperedError] * 2
