"""A document that can't be decoded fails alone, whichever way it is read."""

import asyncio
import json
import logging
from typing import Annotated, Any

import pytest

from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.actions.retrieve_merged import AsyncMergedModelRetriever, AsyncMergedModelsRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import InvalidDocumentError, NotFoundError, TransportError
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import UniqueKey
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered
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
REV = "1-" + "a" * 32


class Tag(Model, tag="tag_v1.0"):
    key: Annotated[str, UniqueKey(VIEW)]


class TagRetriever(AsyncModelRetriever[Tag]):
    """Finds a tag by its unique key."""


class MergedThingRetriever(AsyncMergedModelRetriever[Thing]):
    """Finds a thing."""


class MergedThingsRetriever(AsyncMergedModelsRetriever[Thing]):
    """Finds things."""


# Values that CouchDB stores.
DEEP = {
    "arrays": "[" * 1500 + "]" * 1500,
    "objects": '{"a":' * 1400 + "1" + "}" * 1400,
    "both, with brackets in texts": '[{"]\\"}":' * 1200 + '"[{"' + "}]" * 1200,
    "wide": "[" + '[{"b": "\\\\"}],' * 50 + "[" * 2500 + "]" * 2500 + "]",
}
# Values that this CouchDB does not store; others, and older ones, may.
FOREIGN = {
    "beyond every float": "1e999",
    "many digits": "1" + "0" * 5000,
    "half a surrogate pair": '"\\ud800"',
    "half a pair as a name": '{"\\udc00": 1}',
}


def thing(document_id: str, count: str = "1", key: str | None = None) -> str:
    key = json.dumps(document_id) if key is None else key
    return f'{{"_id": "{document_id}", "type": "thing_v1.0", "key": {key}, "count": {count}}}'


@pytest.fixture(params=DEEP)
def deep(request: pytest.FixtureRequest, documents: Documents) -> str:
    """A value of the document `b`, which lies between `a` and `c`."""
    value = DEEP[request.param]
    documents.put_view()
    documents.put_json(thing("a"), thing("b", value), thing("c"))
    return value


async def test_lists_leave_it_out_and_count_it(connect: Connect, deep: str) -> None:
    for retriever in (ThingsRetriever, MergedThingsRetriever):
        observer = RecordingObserver()
        database = connect(observer=observer)
        things = await retriever(VIEW, database=database).fetch()
        assert [each.key for each in things] == ["a", "c"]
        (error,) = observer.left_out
        assert isinstance(error, InvalidDocumentError)
        assert str(error) == "document 'b': can't be decoded: it is nested too deeply"


@pytest.mark.parametrize("size", [1, 3])
async def test_pages_leave_out_documents_and_keys_that_cannot_be_decoded(
    connect: Connect, documents: Documents, deep: str, size: int
) -> None:
    keys = [f"d{number}" for number in range(4)]
    documents.put_json(*(thing(f"k{number}", key=deep) for number in range(2)), *map(thing, keys))
    documents.put_json(thing("last", key='{"z": 1}'))
    observer = RecordingObserver()
    retriever = ThingsRetriever(VIEW, database=connect(observer=observer))
    found: list[Any] = []
    page = await retriever.fetch_page(size)
    for _ in range(20):
        found += [each.key for each in page.models]
        if page.next is None:
            break
        page = await retriever.fetch_page(size, page.next)
    found.sort(key=str)
    assert found == ["a", "c", *keys, {"z": 1}]
    unreadable = {getattr(error, "document_id", None) for error in observer.left_out}
    assert unreadable == {"b", *(f"k{number}" for number in range(2))}


async def test_its_own_reader_gets_an_error_and_the_others_of_a_batch_do_not(
    database: Database, proxy: FaultProxy, deep: str
) -> None:
    read = await asyncio.gather(*map(database.fetch, ["a", "b", "c", "absent"]), return_exceptions=True)
    assert any("_bulk_get" in request.path for request in proxy.requests)
    assert isinstance(read[0], dict)
    assert isinstance(read[1], InvalidDocumentError)
    assert isinstance(read[2], dict)
    assert isinstance(read[3], NotFoundError)
    leaves = await asyncio.gather(*map(database.fetch_leaves, ["a", "b", "c"]), return_exceptions=True)
    assert [isinstance(each, InvalidDocumentError) for each in leaves] == [False, True, False]


async def test_all_that_read_one_document_raise_the_same_error(
    database: Database, documents: Documents, deep: str
) -> None:
    rev = documents.get("a")["_rev"]
    assert await database.fetch_revision("a", rev)
    for read in (
        database.fetch("b"),
        ThingByIDRetriever("b", database=database).fetch(),
        ThingRetriever(VIEW, "b", database=database).fetch(),
        MergedThingRetriever(VIEW, "b", database=database).fetch(),
        database.revisions.fetch_live_leaves("b"),
    ):
        with pytest.raises(InvalidDocumentError, match="document 'b': can't be decoded"):
            await read
    assert await ThingRetriever(VIEW, "c", database=database).fetch() is not None


async def test_document_under_a_unique_key_is_found_beside_it(
    database: Database, documents: Documents, deep: str
) -> None:
    tags = [
        '{"_id": "t1", "type": "tag_v1.0", "key": "red"}',
        '{"_id": "t2", "type": "tag_v1.0", "key": "x", "y": ',
    ]
    documents.put_json(tags[0], tags[1] + deep + "}", thing("k", key=deep))
    for _ in range(2):
        red, x = await asyncio.gather(
            TagRetriever(VIEW, "red", database=database).fetch(),
            TagRetriever(VIEW, "x", database=database).fetch(),
            return_exceptions=True,
        )
        assert isinstance(red, Tag)
        assert isinstance(x, InvalidDocumentError)


@pytest.mark.parametrize("deep_is_winner", [True, False])
async def test_winner_is_read_even_if_a_losing_revision_cannot_be_decoded(
    database: Database, documents: Documents, deep: str, deep_is_winner: bool
) -> None:
    revs = [f"1-{letter * 32}" for letter in "ab"]
    values = ["2", deep] if deep_is_winner else [deep, "2"]
    documents.put_json(
        *(
            thing("x", value).replace("{", f'{{"_rev": "{rev}", ', 1)
            for rev, value in zip(revs, values, strict=True)
        ),
        new_edits=False,
    )
    alone = (await asyncio.gather(database.fetch("x"), return_exceptions=True))[0]
    together = (await asyncio.gather(database.fetch("x"), database.fetch("a"), return_exceptions=True))[0]
    for read in (alone, together):
        if deep_is_winner:
            assert isinstance(read, InvalidDocumentError)
        else:
            assert isinstance(read, dict)
            assert (read["count"], read["_rev"], read["_conflicts"]) == (2, revs[1], [revs[0]])


async def test_changes_have_what_can_be_decoded(database: Database, deep: str) -> None:
    changes = await database.revisions.changes(0, limit=100, timeout_s=1.0)
    docs = {change.id: change.doc for change in changes.results}
    assert {"a", "b", "c"} <= set(docs)
    assert docs["b"] is not None
    assert (docs["b"]["type"], "count" in docs["b"]) == ("thing_v1.0", False)
    assert docs["c"] is not None
    assert docs["c"]["count"] == 1
    later = await database.revisions.changes(changes.last_seq, limit=100, timeout_s=0.05)
    assert later.results == []


async def test_values_of_a_view_that_cannot_be_decoded_are_missing_in_their_rows_alone(
    database: Database, documents: Documents, deep: str
) -> None:
    view = {"map": "function(doc) { emit(doc._id, doc.count); }"}
    documents.put(_id="_design/counts", views={"counts": view})
    rows = {row.id: row for row in await database.query_view("counts", keys=["a", "b", "c"])}
    assert [rows[each].value for each in "abc"] == [1, None, 1]
    assert [rows[each].error is None for each in "abc"] == [True, False, True]


@pytest.mark.parametrize("name", FOREIGN)
async def test_other_values_that_cannot_be_decoded_fail_alone_too(
    connect: Connect, proxy: FaultProxy, name: str
) -> None:
    observer = RecordingObserver()
    database = connect(observer=observer)
    docs = [
        thing(each, FOREIGN[name] if each == "b" else "1").replace("{", f'{{"_rev": "{REV}", ', 1)
        for each in "abc"
    ]
    rows = [
        f'{{"id": "{each}", "key": "{each}", "value": null, "doc": {doc}}}'
        for each, doc in zip("abc", docs, strict=True)
    ]
    proxy.inject(
        answered(200, f'{{"total_rows": 3, "offset": 0, "rows": [{", ".join(rows)}]}}'), "_view", times=1
    )
    assert [each.key for each in await ThingsRetriever(VIEW, database=database).fetch()] == ["a", "c"]
    assert len(observer.left_out) == 1

    results = [
        f'{{"id": "{each}", "docs": [{{"ok": {doc}}}]}}' for each, doc in zip("abc", docs, strict=True)
    ]
    proxy.inject(answered(200, f'{{"results": [{", ".join(results)}]}}'), "_bulk_get", times=1)
    read = await asyncio.gather(*map(database.fetch, "abc"), return_exceptions=True)
    assert [isinstance(each, InvalidDocumentError) for each in read] == [False, True, False]

    proxy.inject(answered(200, docs[1]), "/b", times=1)
    with pytest.raises(InvalidDocumentError, match="document 'b': can't be decoded"):
        await database.fetch("b")

    entries = [
        f'{{"seq": "1-x", "id": "{each}", "changes": [{{"rev": "{REV}"}}], "doc": {doc}}}'
        for each, doc in zip("abc", docs, strict=True)
    ]
    proxy.inject(
        answered(200, f'{{"results": [{", ".join(entries)}], "last_seq": "3-x"}}'), "_changes", times=1
    )
    changes = await database.revisions.changes(0, limit=9, timeout_s=1.0)
    assert [change.id for change in changes.results] == ["a", "b", "c"]
    assert changes.last_seq == "3-x"


@pytest.mark.parametrize(
    "text",
    [
        "<html>",
        "[]",
        "{}",
        '{"rows": 1}',
        '{"rows": [1]}',
        '{"rows": [{}]}',
        '{"results": {}}',
        '{"a": ' + "[" * 1500 + "]" * 1500 + "}",
        "[" * 1500,
    ],
)
async def test_answer_that_is_not_couchdbs_is_no_document(
    database: Database, proxy: FaultProxy, text: str
) -> None:
    proxy.inject(answered(200, text), times=6)
    for read in (
        database.query_view(VIEW),
        database.revisions.changes(0, limit=9, timeout_s=1.0),
        asyncio.gather(database.fetch("a"), database.fetch("b")),
    ):
        with pytest.raises(TransportError):
            await read
    if not text.startswith("{") or "[[" in text:
        with pytest.raises(TransportError):
            await database.fetch("a")


@pytest.mark.parametrize("depth", [300, 600, 900, 930, 950, 970, 990, 1010])
async def test_list_succeeds_at_any_depth(
    connect: Connect, documents: Documents, depth: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Near the limit a document may be decoded, and then be too deep for its model."""
    documents.put_view()
    documents.put_json(thing("a"), thing("b", key="[" * depth + "]" * depth), thing("c"))
    database = connect()
    with caplog.at_level(logging.ERROR):
        keys = [each.key for each in await ThingsRetriever(VIEW, database=database).fetch()]
    assert [key for key in keys if isinstance(key, str)] == ["a", "c"]
    assert len(keys) == 3 or "left out of a list: document 'b'" in caplog.text
