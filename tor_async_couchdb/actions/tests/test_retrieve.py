import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest

from tor_async_couchdb import errors
from tor_async_couchdb.actions.retrieve import (
    AsyncModelRetriever,
    AsyncModelsRetriever,
    AsyncViewRetriever,
    Cursor,
)
from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import InvalidDocumentError, TamperedError, TransportError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import UniqueKey
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_before
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.things import (
    Documents,
    Thing,
    ThingByIDRetriever,
    ThingRetriever,
    ThingsRetriever,
)

VIEW = "thing_by_key"
KEYS = [0, "", [], {}, None, False, 1, 1.5, "a b&c=d+%", "ü", [0, "", None], {"a": [1]}]


@pytest.fixture(autouse=True)
def view(documents: Documents) -> None:
    documents.put_view()


@pytest.fixture
def observer() -> RecordingObserver:
    return RecordingObserver()


@pytest.fixture
async def database(connect: Connect, observer: RecordingObserver) -> Database:
    return connect(observer=observer)


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


async def test_of_several_documents_under_one_key_the_smallest_id_is_taken(
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
async def test_document_that_does_not_fit_is_an_error_that_names_it(
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


async def test_document_that_was_deleted_since_the_view_was_read_is_absent(
    proxy: FaultProxy, database: Database, observer: RecordingObserver
) -> None:
    proxy.inject(answered(200, ROWS_OF_DELETED_DOCUMENTS), "/_view/", times=3)
    assert await ThingRetriever(VIEW, 1, database=database).fetch() is None
    assert await ThingsRetriever(VIEW, database=database).fetch() == []
    page = await ThingsRetriever(VIEW, database=database).fetch_page(10)
    assert (page.models, page.next) == ([], None)
    assert observer.left_out == []


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


async def test_bad_document_is_left_out_of_a_list(
    database: Database, numbered: Documents, observer: RecordingObserver, caplog: pytest.LogCaptureFixture
) -> None:
    numbered.put_thing(6, _id="odd one", count="many")
    numbered.put(_id="stranger", key=7)
    numbered.put_thing(8)
    things = await ThingsRetriever(VIEW, database=database).fetch()
    assert [thing.key for thing in things] == [0, 1, 2, 3, 4, 5, 8]
    assert [type(error) for error in observer.left_out] == [InvalidDocumentError] * 2
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == 2
    assert "left out of a list" in logged[0]
    assert "'odd one'" in logged[0]
    assert "'stranger'" in logged[1]


async def all_pages(database: Database, size: int, **options: Any) -> list[list[Any]]:
    pages: list[list[Any]] = []
    start: Cursor | None = None
    while len(pages) < 100:
        page = await ThingsRetriever(VIEW, database=database, **options).fetch_page(size, start)
        pages.append([thing.key for thing in page.models])
        if page.next is None:
            return pages
        start = page.next
    pytest.fail("the pages have no end")


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


async def test_page_of_an_empty_view_is_the_last(database: Database) -> None:
    assert await all_pages(database, 3) == [[]]


async def test_document_that_is_left_out_of_a_page_takes_no_other_along(
    database: Database, numbered: Documents, observer: RecordingObserver
) -> None:
    for document_id, key in (("x", 2.5), ("y", 3.5), ("z", 9)):
        numbered.put_thing(key, _id=document_id, count="many")
    pages = await all_pages(database, 2)
    assert [key for page in pages for key in page] == [0, 1, 2, 3, 4, 5]
    assert {error.document_id for error in observer.left_out if isinstance(error, InvalidDocumentError)} == {
        "x", "y", "z",
    }  # fmt: skip


@pytest.mark.parametrize("size", [1, 2, 3])
async def test_pages_have_one_of_several_documents_under_one_key(
    database: Database, numbered: Documents, size: int
) -> None:
    for _ in range(5):
        numbered.put_thing(2)
    keys = [key for page in await all_pages(database, size) for key in page]
    assert keys == [0, 1, 2, 3, 4, 5]


# Keys that Unicode collation takes for equal: "José" in NFC and in NFD, "Karl" with a soft hyphen, "ß" with a
# zero-width joiner.
EQUAL_TO_ICU = [("Jos\u00e9", "Jose\u0301"), ("Karl", "Karl\u00ad"), ("\u00df", "\u00df\u200d")]

KEYS_TO_PAGE: dict[str, list[Any]] = {
    "arrays": [[], [1], [1, "a"], [1, "b"], [2], ["a", {}], ["a", [0]], [None]],
    "numbers": [-1.5, -1, 0, 7, 8, 8.5, 9, 10, 80, 1e30],
    "digits": ["8", "80", "9", 8, 80, 9, ["8"], [8]],
    "mixed": [None, False, True, 0, "", "a", "A", "b", [], ["a"], {}, {"a": 1}, {"a": 2}, {"b": 1}],
    "equal to ICU": [key for pair in EQUAL_TO_ICU for key in pair],
    "equal to ICU in arrays": [[key, 1] for pair in EQUAL_TO_ICU for key in pair],
}


@pytest.mark.parametrize("size", [1, 2, 5])
@pytest.mark.parametrize("is_descending", [False, True])
@pytest.mark.parametrize("kind", KEYS_TO_PAGE)
async def test_pages_of_all_kinds_of_keys_are_together_the_list(
    database: Database, documents: Documents, kind: str, is_descending: bool, size: int
) -> None:
    keys = KEYS_TO_PAGE[kind]
    documents.put_many([{"type": "thing_v1.0", "key": key, "count": 0} for key in keys])
    things = await ThingsRetriever(VIEW, descending=is_descending, database=database).fetch()
    assert sorted(repr(thing.key) for thing in things) == sorted(map(repr, keys))
    pages = await all_pages(database, size, descending=is_descending)
    assert [repr(key) for page in pages for key in page] == [repr(thing.key) for thing in things]
    assert all(len(page) == size for page in pages[:-1])


@pytest.mark.parametrize("is_descending", [False, True])
async def test_page_has_the_first_document_of_a_key_in_the_order_of_the_view(
    database: Database, documents: Documents, is_descending: bool
) -> None:
    for document_id in ("a", "b", "c"):
        for name, key in (("number", 8), ("text", "8"), ("array", [8])):
            documents.put_thing(key, _id=f"{name} {document_id}")
    retriever = ThingsRetriever(VIEW, descending=is_descending, database=database)
    page = await retriever.fetch_page(2)
    pages = [page, await retriever.fetch_page(2, page.next)]
    found = [thing.id for page in pages for thing in page.models]
    expected = ["array c", "text c", "number c"] if is_descending else ["number a", "text a", "array a"]
    assert found == expected


async def test_pages_stay_within_the_range_of_the_retriever(database: Database, numbered: Documents) -> None:
    assert await all_pages(database, 2, start_key=1, end_key=5) == [[1, 2], [3, 4], [5]]
    assert await all_pages(database, 2, start_key=4, end_key=0, descending=True) == [[4, 3], [2, 1], [0]]


async def test_page_starts_at_its_cursor_though_that_document_was_deleted(
    database: Database, numbered: Documents
) -> None:
    retriever = ThingsRetriever(VIEW, database=database)
    start = (await retriever.fetch_page(2)).next
    assert start is not None
    numbered.delete(numbered.get(start.document_id))
    assert [thing.key for thing in (await retriever.fetch_page(2, start)).models] == [3, 4]


@pytest.mark.parametrize(("one", "other"), [*EQUAL_TO_ICU, *[(b, a) for a, b in EQUAL_TO_ICU]])
async def test_model_is_not_found_by_a_key_that_is_only_equal_to_icu(
    database: Database, documents: Documents, one: str, other: str
) -> None:
    documents.put_thing(one, _id="1")
    assert await ThingRetriever(VIEW, other, database=database).fetch() is None
    assert await ThingRetriever(VIEW, [other], database=database).fetch() is None
    documents.put_thing(other, _id="2")
    documents.put_thing([one], _id="3")
    documents.put_thing([other], _id="4")
    for key, document_id in ((one, "1"), (other, "2"), ([one], "3"), ([other], "4")):
        thing = await ThingRetriever(VIEW, key, database=database).fetch()
        assert thing is not None
        assert thing.id == document_id


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
async def test_failure_is_never_taken_for_an_absent_model(
    proxy: FaultProxy, database: Database, connect: Connect, retrieve: Callable[[Database], Any]
) -> None:
    for status, error_class in (
        (401, errors.UnauthorizedError),
        (403, errors.ForbiddenError),
        (404, errors.NotFoundError),
        (409, errors.ResponseError),
        (500, errors.ResponseError),
    ):
        proxy.inject(answered(status, '{"error":"e","reason":"Database does not exist."}'), times=math.inf)
        with pytest.raises(error_class):
            await retrieve(database)
        proxy.clear()
    proxy.inject(cut_before, times=math.inf)
    with pytest.raises(TransportError):
        await retrieve(database)
    proxy.clear()
    with pytest.raises(errors.NotFoundError):
        await retrieve(connect(f"{proxy.url}_absent"))


class MostRecentThingRetriever(AsyncViewRetriever[Thing]):
    """Finds the most recent thing, as the docstring of the base class describes."""

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        return {"descending": True, "limit": 1, "startkey": ["a", {}], "endkey": ["a"]}

    async def fetch(self) -> Thing:
        (row,) = await self._rows()
        assert row.doc is not None
        return await self._opened(row.doc)


async def test_retriever_with_another_query_finds_the_most_recent(
    database: Database, documents: Documents
) -> None:
    for key in (["a", 1], ["a", 3], ["a", 2], ["b", 9]):
        documents.put_thing(key)
    assert (await MostRecentThingRetriever(VIEW, database=database).fetch()).key == ["a", 3]


class Box(Model, tag="box_v1.0"):
    key: Any


class AnythingRetriever(AsyncModelsRetriever[Any]):
    def create_model_from_doc(self, doc: Document) -> Model:
        return Box.from_doc(doc) if doc["type"] == "box_v1.0" else Thing.from_doc(doc)


class OldRetriever(AsyncModelRetriever):  # type: ignore[type-arg]  # as the seeds wrote it
    def create_model_from_doc(self, doc: Document) -> Model:
        return Thing.from_doc(doc)


async def test_retriever_that_creates_its_models_needs_no_model_class(
    database: Database, documents: Documents
) -> None:
    documents.put_thing(1)
    thing = await OldRetriever(VIEW, 1, database=database).fetch()
    assert isinstance(thing, Thing)


async def test_type_of_a_document_may_decide_the_class(database: Database, documents: Documents) -> None:
    documents.put_thing(1)
    documents.put(key=2, type="box_v1.0")
    models = await AnythingRetriever(VIEW, database=database).fetch()
    assert [type(model) for model in models] == [Thing, Box]


async def test_retriever_without_a_model_class_is_an_error_that_says_so(
    database: Database, documents: Documents
) -> None:
    documents.put_thing(1)
    with pytest.raises(TypeError, match=r"needs a model class: AsyncModelRetriever\[Fruit\]"):
        await AsyncModelRetriever(VIEW, 1, database=database).fetch()


async def test_tampered_document_is_an_error_alone_and_left_out_of_a_list(
    connect: Connect, documents: Documents, observer: RecordingObserver, tmp_path: Path
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    database = connect(guard=ProtectingGuard(signer=signer), observer=observer)
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
    assert [type(error) for error in observer.left_out] == [TamperedError] * 2


class NewThing(Model, tag="thing_v2.0"):
    """A thing whose `count` has another name."""

    reads: ClassVar = {"thing_v1.0": lambda doc: doc | {"number": doc["count"]}}

    key: Annotated[str, UniqueKey(VIEW)]
    number: int


class NewThingRetriever(AsyncModelRetriever[NewThing]):
    """Finds a thing of either version by its key."""


async def test_remembered_document_of_an_older_version_is_read_without_another_look_up(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    documents.put_thing("a", count=3)
    for _ in range(3):
        thing = await NewThingRetriever(VIEW, "a", database=database).fetch()
        assert thing is not None
        assert thing.number == 3
    assert len([request for request in proxy.requests if "_view" in request.path]) == 1


async def test_change_of_an_older_document_makes_it_one_of_the_newer_version(
    database: Database, documents: Documents
) -> None:
    older = documents.put_thing("a", count=3)
    thing = await NewThingRetriever(VIEW, "a", database=database).fetch()
    assert thing is not None
    await AsyncPersister(thing.replace(number=4), database=database).persist()
    stored = documents.content(older["_id"])
    assert stored == {
        "_id": older["_id"],
        "_rev": stored["_rev"],
        "type": "thing_v2.0",
        "key": "a",
        "number": 4,
    }
