"""Bulk requests through `Database`: a document that fails fails alone."""

import asyncio
import json
import math
from collections.abc import Awaitable
from typing import Any

import pytest
from aiohttp import web

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConflictError,
    CouchDBError,
    InvalidDocumentError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    TooLargeError,
    TransportError,
)
from tor_async_couchdb.testing.fault_proxy import Fault, FaultProxy, Request, answered, cut_after, cut_before
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB, memory_database
from tor_async_couchdb.tests.things import Documents


async def outcomes(*awaitables: Awaitable[Any]) -> list[Any]:
    return await asyncio.gather(*awaitables, return_exceptions=True)


def sizes(proxy: FaultProxy, path: str, member: str = "docs") -> list[int]:
    """The number of documents, or keys, in each request to `path`."""
    return [len(json.loads(request.body)[member]) for request in proxy.requests if path in request.path]


async def test_documents_that_are_read_at_once_are_read_together(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    stored = [documents.put(n=n) for n in range(5)]
    deleted = documents.put()
    documents.delete(deleted)
    read = await outcomes(
        *(database.fetch(document["_id"]) for document in stored),
        database.fetch("absent"),
        database.fetch(deleted["_id"]),
    )
    assert read[:5] == stored
    assert [(type(error), error.reason) for error in read[5:]] == [
        (NotFoundError, "missing"),
        (NotFoundError, "deleted"),
    ]
    assert sizes(proxy, "_bulk_get") == [7]


async def test_document_read_alone_equals_the_one_read_in_a_batch(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    documents.put_leaves([{"_id": "conflicting", "_rev": rev, "n": rev} for rev in ("1-0a", "1-0b")])
    deleted = documents.put()
    documents.delete(deleted)
    ids = ["conflicting", deleted["_id"], "absent"]
    together = await outcomes(*map(database.fetch, ids))
    alone = [(await outcomes(database.fetch(document_id)))[0] for document_id in ids]
    assert together[0]["_conflicts"]
    assert alone[0] == together[0]
    assert [(type(error), error.reason) for error in alone[1:]] == [
        (type(error), error.reason) for error in together[1:]
    ]
    assert sizes(proxy, "_bulk_get") == [3]


async def test_document_that_many_callers_read_is_fetched_once_and_each_gets_a_copy(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    documents.put(_id="a", color="red")
    first, *others = await asyncio.gather(*(database.fetch("a") for _ in range(10)))
    first["color"] = "blue"
    assert [other["color"] for other in others] == ["red"] * 9
    assert sizes(proxy, "_bulk_get") == [1]


@pytest.mark.parametrize("document_id", ["", "_x", "\ud800"])
async def test_id_that_no_document_can_have_fails_alone(
    database: Database, documents: Documents, document_id: str
) -> None:
    stored = documents.put(_id="a")
    read, odd, leaves = await outcomes(
        database.fetch("a"), database.fetch(document_id), database.fetch_leaves("a")
    )
    assert read == stored
    assert isinstance(odd, CouchDBError)
    assert leaves[0]["_rev"] == stored["_rev"]


@pytest.mark.parametrize("error", ["internal_server_error", "timeout", "unknown_error"])
async def test_document_that_couchdb_fails_to_read_is_not_taken_for_missing(
    proxy: FaultProxy, database: Database, error: str
) -> None:
    leaf = {"error": {"id": "a", "rev": None, "error": error, "reason": "disk failure"}}
    answer = json.dumps({"results": [{"id": document_id, "docs": [leaf]} for document_id in ("a", "b")]})
    proxy.inject(answered(200, answer), times=2)
    for refused in await outcomes(database.fetch("a"), database.fetch("b"), database.fetch_leaves("a")):
        assert isinstance(refused, ResponseError)
        assert (refused.status, refused.error) == (500, error)


async def test_document_that_the_answer_leaves_out_is_not_taken_for_missing(
    proxy: FaultProxy, database: Database
) -> None:
    proxy.inject(answered(200, '{"results":[]}'), times=2)
    read = await outcomes(database.fetch("a"), database.fetch("b"), database.fetch_leaves("a"))
    assert [type(error) for error in read] == [TransportError] * 3


@pytest.mark.single_copy
async def test_documents_that_are_written_at_once_are_written_together(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    taken = documents.put(_id="a")
    first, second, conflict = await outcomes(
        database.save({"_id": "b"}),
        database.save(taken | {"n": 1}),
        database.save({"_id": "c", "_rev": "1-a"}),
    )
    assert first.startswith("1-")
    assert second.startswith("2-")
    assert isinstance(conflict, ConflictError)
    assert sizes(proxy, "_bulk_docs") == [3]


async def test_two_writes_of_one_document_do_not_share_a_batch(proxy: FaultProxy, database: Database) -> None:
    written = await outcomes(database.save({"_id": "a", "n": 1}), database.save({"_id": "a", "n": 2}))
    assert {type(outcome) for outcome in written} == {str, ConflictError}
    assert sizes(proxy, "_bulk_docs") == [1, 1]


@pytest.mark.parametrize("count", [1, 2, 7, 100])
async def test_document_for_which_couchdb_refuses_the_batch_fails_alone(
    proxy: FaultProxy, database: Database, documents: Documents, count: int
) -> None:
    written = await outcomes(
        database.save({"_id": "bad", "_foo": 1}), *(database.save({"_id": f"d{n}"}) for n in range(count))
    )
    assert isinstance(written[0], ResponseError)
    assert written[0].status == 400
    assert all(isinstance(rev, str) for rev in written[1:])
    assert documents.count() == count
    assert len(sizes(proxy, "_bulk_docs")) <= 2 * math.ceil(math.log2(count + 1)) + 1


async def test_batch_that_is_too_large_is_split_and_only_a_document_that_is_too_large_fails() -> None:
    couchdb = MemoryCouchDB(max_body_size=500)
    database = memory_database(couchdb)
    written = await outcomes(
        *(database.save({"_id": f"d{n}", "text": "x" * 50}) for n in range(40)),
        database.save({"_id": "large", "text": "x" * 600}),
    )
    assert all(isinstance(rev, str) for rev in written[:40])
    assert isinstance(written[40], TooLargeError)
    assert len([history for history in couchdb.histories.values() if len(history) == 1]) == 40


@pytest.mark.single_copy
async def test_batches_have_at_most_128_documents(proxy: FaultProxy, database: Database) -> None:
    await asyncio.gather(*(database.save({"_id": f"d{n}"}) for n in range(300)))
    await asyncio.gather(*(database.fetch(f"d{n}") for n in range(300)))
    assert sizes(proxy, "_bulk_docs") == sizes(proxy, "_bulk_get") == [128, 128, 44]


@pytest.mark.single_copy
@pytest.mark.parametrize("fault", [cut_after, cut_before])
async def test_each_document_of_a_batch_without_an_answer_is_looked_up(
    proxy: FaultProxy, database: Database, documents: Documents, fault: Fault
) -> None:
    taken = documents.put(_id="taken", n=0)
    stale = taken | {"n": 1}
    documents.put(**taken | {"n": 2})
    proxy.inject(fault, "_bulk_docs")
    written = await outcomes(
        database.save(stale), *(database.save({"_id": f"d{n}", "n": n}) for n in range(20))
    )
    assert isinstance(written[0], ConflictError)
    assert [documents.content(f"d{n}") for n in range(20)] == [
        {"_id": f"d{n}", "_rev": rev, "n": n} for n, rev in enumerate(written[1:])
    ]
    # The documents are looked up in one batch.
    assert len([request for request in proxy.requests if "_bulk_get" in request.path]) == 1


@pytest.mark.single_copy
async def test_only_the_part_of_a_split_batch_that_has_no_answer_is_of_unknown_outcome(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    async def cut_if_last(request: Request) -> web.StreamResponse:
        answer = await request.forward()
        return request.cut() if b'"d3"' in request.body and answer.status == 201 else answer

    proxy.inject(cut_if_last, "_bulk_docs", times=math.inf)
    proxy.inject(cut_before, "_bulk_get", times=math.inf)
    written = await outcomes(
        database.save({"_id": "bad", "_foo": 1}), *(database.save({"_id": f"d{n}"}) for n in range(4))
    )
    assert isinstance(written[0], ResponseError)
    unknown = [n for n, outcome in enumerate(written[1:]) if isinstance(outcome, OutcomeUnknownError)]
    assert 3 in unknown
    assert len(unknown) < 4
    assert documents.count() == 4


async def test_keys_that_are_looked_up_at_once_are_looked_up_together(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    documents.put_view()
    stored = [documents.put_thing(key) for key in ("a", "A", "b", "0")]
    found = await asyncio.gather(
        *(database.find("thing_by_key", key, lambda doc: True) for key in ("b", "a", "absent", "A", "0", "b"))
    )
    b, a, absent, capital, zero, b_again = found
    assert absent is None
    assert [a, capital, b, zero] == stored
    assert b_again == b
    assert sizes(proxy, "_view", "keys") == [5]


async def test_key_that_is_not_valid_unicode_fails_alone(database: Database, documents: Documents) -> None:
    documents.put_view()
    stored = documents.put_thing("a")
    found, odd = await outcomes(
        database.find("thing_by_key", "a", lambda doc: True),
        database.find("thing_by_key", "\ud800", lambda doc: True),
    )
    assert found == stored
    assert isinstance(odd, InvalidDocumentError)


async def test_look_up_in_a_missing_view_is_an_error_for_each_caller(database: Database) -> None:
    found = await outcomes(*(database.find("absent", key, lambda doc: True) for key in "abc"))
    assert [type(error) for error in found] == [NotFoundError] * 3
