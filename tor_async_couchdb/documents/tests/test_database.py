import asyncio
import math
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import pytest

from tor_async_couchdb import deadline
from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    InvalidDocumentError,
    NotFoundError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_before, never_answer
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.pretended_cluster import cluster_of
from tor_async_couchdb.tests.things import Documents, content_of
from tor_async_couchdb.tests.waiting import wait_until

ODD_IDS = [
    "a/b", "a?b", "a#b", "a%b", "a%2Fb", "a+b", "a b", "a&b=c", "a:b@c", ".", "..", "../..", "a/../b", "ü€😀",
    "/a", '"a"', "a\\b", "a;b", "%", "\x01", "a\nb", "_design/x", "_design/x/y", "_design/a b", "~a!$'()*,",
    pytest.param("a" * 20_000, id="long"), pytest.param("ü" * 5_000, id="long and quoted"),
]  # fmt: skip


@pytest.mark.parametrize(
    "url",
    [
        "",
        "fruits",
        "127.0.0.1:5984/fruits",
        "ftp://127.0.0.1/fruits",
        "http://127.0.0.1:5984",
        "http://127.0.0.1:5984/",
        "http:///fruits",
    ],
)
def test_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="a database's URL is"):
        Database(url)


def test_refused_url_is_not_quoted_because_it_may_hold_a_password() -> None:
    with pytest.raises(ValueError, match="a database's URL is") as caught:
        Database("ftp://fred:s3cr3t@127.0.0.1/fruits")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("rest", ["?x=1", "#y", "?x=1#y", "/?limit=1"])
def test_url_with_a_query_or_a_fragment_is_refused(rest: str) -> None:
    with pytest.raises(ValueError, match="no query and no fragment"):
        Database(f"http://localhost:1/fruits{rest}")


def test_username_with_a_colon_is_refused_wherever_it_stands() -> None:
    with pytest.raises(ValueError, match="colon"):
        Database("http://localhost:1/fruits", username="a:b", password="p")
    with pytest.raises(ValueError, match="colon"):
        Database("http://a%3Ab:p@localhost:1/fruits")


async def test_name_of_a_database_may_hold_a_slash(proxy: FaultProxy) -> None:
    proxy.inject(answered(200, '{"db_name":"sweet/fruits","doc_count":7}'), "/sweet%2Ffruits")
    async with Database(proxy.url.rpartition("/")[0] + "/sweet%2Ffruits") as database:
        assert database.name == "sweet/fruits"
        assert (await database.information())["doc_count"] == 7


@pytest.mark.parametrize("end", ["+b", "+", "+c$(d)_e-f"])
@pytest.mark.parametrize("unquoted", ["", "+", "$()"])
async def test_name_of_a_database_may_hold_any_character_that_couchdb_allows(
    couchdb: CouchDBServer, end: str, unquoted: str
) -> None:
    name = f"tor_async_couchdb_test_{uuid.uuid4().hex}{end}"
    quoted = quote(name, safe="")
    couchdb.succeed("PUT", quoted)
    try:
        async with Database(
            f"{couchdb.url}/{quote(name, safe=unquoted)}",
            username=couchdb.username,
            password=couchdb.password,
        ) as database:
            assert database.name == name
            assert (await database.information())["db_name"] == name
            await database.save({"_id": await database.new_document_id()})
        assert couchdb.succeed("GET", quoted).json()["doc_count"] == 1
    finally:
        couchdb.succeed("DELETE", quoted)


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "[]",
        '"ok"',
        '{"db_name":"fruits"}',
        '{"doc_count":7}',
        '{"db_name":"fruits","doc_count":"7"}',
        '{"db_name":"fruits","doc_count":7,"sizes":{"file":"x"}}',
        '{"db_name":"fruits","doc_count":7,"sizes":[]}',
        '{"db_name":"fruits","doc_count":7,"cluster":[]}',
        '{"db_name":"fruits","doc_count":7,"cluster":{"n":"3"}}',
    ],
)
async def test_answer_without_the_information_of_a_database_is_an_error(
    proxy: FaultProxy, database: Database, answer: str
) -> None:
    proxy.inject(answered(200, answer))
    with pytest.raises(TransportError, match="not what CouchDB answers"):
        await database.information()


@pytest.mark.parametrize("answer", ["{}", '{"view_index":[]}', '{"view_index":{"sizes":{"file":"x"}}}'])
async def test_answer_without_the_information_of_a_view_is_an_error(
    proxy: FaultProxy, database: Database, answer: str
) -> None:
    proxy.inject(answered(200, answer))
    with pytest.raises(TransportError, match="not what CouchDB answers"):
        await database.view_information("thing_by_key")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start_key": "b", "end_key": "c"}, ["b", "c"]),
        ({"startkey": "c"}, ["c", "d"]),
        ({"keys": ["d", "a"]}, ["d", "a"]),
        ({"keys": [f"x{i}" for i in range(2000)] + ["b"]}, ["b"]),
        ({"key": "b" * 20_000}, []),
        ({"startkey": "b" * 20_000, "limit": 1}, ["c"]),
        ({"start_key": "a", "end_key": "b" * 20_000}, ["a", "b"]),
        ({"start_key": ["a"]}, []),
        ({"startkey": "b", "startkey_docid": "x" * 20_000}, ["c", "d"]),
        ({"start_key": "b", "start_key_doc_id": "0" * 20_000, "limit": 1}, ["b"]),
        ({"endkey": "c", "endkey_docid": "0" * 20_000}, ["a", "b"]),
        ({"end_key": "c", "end_key_doc_id": "x" * 20_000}, ["a", "b", "c"]),
        # Quoting makes six characters of each.
        ({"startkey": "a", "startkey_docid": "ü" * 680, "endkey": "ü" * 680}, ["b", "c", "d"]),
    ],
)
async def test_view_takes_all_options_whatever_their_length(
    database: Database, documents: Documents, options: dict[str, Any], expected: list[str]
) -> None:
    documents.put_view()
    for key in ("a", "b", "c", "d"):
        documents.put_thing(key)
    assert [row.key for row in await database.query_view("thing_by_key", **options)] == expected


@pytest.mark.parametrize("url", ["http://u:p@localhost:1/fruits", "http://u:p@localhost:1/fruits/"])
def test_database_knows_its_name_and_shows_no_credentials(url: str) -> None:
    database = Database(url)
    assert database.name == "fruits"
    assert database.url == "http://localhost:1/fruits"
    assert repr(database) == "Database('http://localhost:1/fruits')"


def test_slash_at_the_end_of_the_url_is_ignored() -> None:
    assert Database("http://localhost:1/fruits/").name == "fruits"
    assert Database("http://localhost:1/fruits/").url == "http://localhost:1/fruits"


async def test_couchdb_may_be_behind_a_gateways_path(proxy: FaultProxy) -> None:
    proxy.inject(answered(200, '{"uuids":["0"]}'), "/couch/_uuids")
    proxy.inject(answered(200, '{"db_name":"fruits","doc_count":7}'), "/couch/fruits")
    async with Database(proxy.url.rpartition("/")[0] + "/couch/fruits") as database:
        assert database.name == "fruits"
        assert await database.new_document_id() == "0"
        assert await database.information() == {"db_name": "fruits", "doc_count": 7}


@pytest.mark.parametrize("document_id", ODD_IDS)
async def test_odd_id_names_one_document_and_no_other(
    database: Database, documents: Documents, document_id: str
) -> None:
    documents.put(_id="a")
    documents.put(_id="b")
    rev = await database.save({"_id": document_id, "n": 1})
    assert content_of(await database.fetch(document_id)) == {"_id": document_id, "_rev": rev, "n": 1}
    (leaf,) = await database.fetch_leaves(document_id)
    assert (leaf["_id"], leaf["_rev"]) == (document_id, rev)
    rev = await database.save({"_id": document_id, "_rev": rev, "n": 2})
    await database.delete(document_id, rev)
    with pytest.raises(NotFoundError, match="deleted"):
        await database.fetch(document_id)
    assert documents.count() == 2


async def test_lone_surrogate_in_an_id_is_refused(database: Database) -> None:
    with pytest.raises(InvalidDocumentError):
        await database.save({"_id": "\ud800"})


async def test_older_revision_can_be_read(database: Database, documents: Documents) -> None:
    first = documents.put(_id="a", n=1)
    documents.put(_id="a", _rev=first["_rev"], n=2)
    assert (await database.fetch("a"))["n"] == 2
    assert (await database.fetch_revision("a", first["_rev"]))["n"] == 1


async def test_missing_and_deleted_documents_have_different_reasons(
    database: Database, documents: Documents
) -> None:
    with pytest.raises(NotFoundError) as caught:
        await database.fetch("absent")
    assert caught.value.reason == "missing"
    documents.delete(documents.put(_id="a"))
    with pytest.raises(NotFoundError) as caught:
        await database.fetch("a")
    assert caught.value.reason == "deleted"


async def test_leaves_include_tombstones_and_have_their_history(
    database: Database, documents: Documents
) -> None:
    assert await database.fetch_leaves("absent") == []
    first = documents.put(_id="a", n=1)
    documents.delete(documents.put(_id="a", _rev=first["_rev"], n=2))
    (leaf,) = await database.fetch_leaves("a")
    assert leaf["_deleted"] is True
    assert leaf["_revisions"]["start"] == 3
    assert len(leaf["_revisions"]["ids"]) == 3


@pytest.mark.parametrize(
    "key", [0, "", [], {}, None, False, 1, 1.5, "a b&c=d+%", "ü", [0, "", None], {"a": [1]}]
)
async def test_any_json_value_is_a_key(database: Database, documents: Documents, key: Any) -> None:
    documents.put_view()
    found = documents.put(key=key)
    documents.put(key="another")
    rows = await database.query_view("thing_by_key", key=key, include_docs=True)
    assert [(row.id, row.key, row.doc) for row in rows] == [(found["_id"], key, found)]
    rows = await database.query_view("thing_by_key", startkey=key, endkey=key)
    assert rows == [Row(key=key, id=found["_id"])]


async def test_view_takes_couchdbs_options(database: Database, documents: Documents) -> None:
    documents.put_view()
    for number in range(5):
        documents.put(key=number)

    async def keys(**options: Any) -> list[int]:
        return [row.key for row in await database.query_view("thing_by_key", **options)]

    assert await keys() == [0, 1, 2, 3, 4]
    assert await keys(limit=2, skip=1) == [1, 2]
    assert await keys(descending=True, limit=2) == [4, 3]
    assert await keys(startkey=1, endkey=3) == [1, 2, 3]
    assert await keys(startkey=3, endkey=1, descending=True) == [3, 2, 1]


GROUPED = {
    "views": {
        "grouped": {
            "map": "function(doc) { if (doc.group) { emit([doc.group, doc.n], doc.n); } }",
            "reduce": "_count",
        }
    }
}


async def test_group_of_a_view_has_the_rows_whose_keys_begin_with_it(
    database: Database, documents: Documents
) -> None:
    documents.put(_id="_design/grouped", **GROUPED)
    documents.put_many([{"group": group, "n": n} for group in ("a", "aa", "b") for n in (2, 1)])
    rows = await database.query_group("grouped", "a")
    assert [(row.key, row.value, row.doc) for row in rows] == [(["a", 1], 1, None), (["a", 2], 2, None)]
    assert await database.query_group("grouped", "c") == []


@pytest.mark.parametrize("update", ["true", "lazy", "false"])
async def test_callers_that_wait_for_groups_share_a_request(
    database: Database, documents: Documents, proxy: FaultProxy, update: str
) -> None:
    documents.put(_id="_design/grouped", **GROUPED)
    documents.put_many([{"group": "a", "n": n} for n in (1, 2)])
    await database.query_group("grouped", "a")
    proxy.requests.clear()
    reading = (database.query_group("grouped", group, update=update) for group in "abab")
    results = await asyncio.gather(*reading)
    # On a cluster another copy may answer, whose view is not up to date.
    found = [1, 2] if update == "true" else [row.value for row in results[0]]
    assert set(found) <= {1, 2}
    assert [[row.value for row in rows] for rows in results] == [found, [], found, []]
    assert len(proxy.requests) == 1


async def test_groups_of_a_missing_view_are_an_error(database: Database) -> None:
    for groups in ("a", "ab"):
        with pytest.raises(NotFoundError):
            await asyncio.gather(*(database.query_group("absent", group) for group in groups))


async def test_error_names_the_missing_view(database: Database, documents: Documents) -> None:
    with pytest.raises(NotFoundError) as caught:
        await database.query_view("absent view")
    assert caught.value.path == f"/{documents.name}/_design/absent%20view/_view/absent%20view"


@pytest.mark.parametrize(
    "answer", ["", "<html>", "{}", "[]", '{"rows":1}', '{"rows":[{"id":1}]}', '{"rows":[1]}']
)
async def test_answer_that_is_no_views_is_not_taken_for_an_empty_view(
    proxy: FaultProxy, database: Database, documents: Documents, answer: str
) -> None:
    documents.put_view()
    proxy.inject(answered(200, answer), "thing_by_key")
    with pytest.raises(TransportError):
        await database.query_view("thing_by_key")


async def test_save_returns_the_new_revision(database: Database, documents: Documents) -> None:
    rev = await database.save({"_id": "a", "n": 1})
    assert documents.content("a") == {"_id": "a", "_rev": rev, "n": 1}
    rev = await database.save({"_id": "a", "_rev": rev, "n": 2})
    assert documents.content("a") == {"_id": "a", "_rev": rev, "n": 2}


@pytest.mark.single_copy
async def test_database_is_asked_once_how_many_copies_it_keeps_and_not_before_the_first_write(
    proxy: FaultProxy, connect: Connect, documents: Documents
) -> None:
    database = connect()
    with pytest.raises(NotFoundError):
        await database.fetch("a")
    assert f"/{documents.name}" not in [request.path for request in proxy.requests]
    await asyncio.gather(*(database.save({"_id": f"d{n}"}) for n in range(20)))
    await database.save({"_id": "a"})
    assert [request.path for request in proxy.requests].count(f"/{documents.name}") == 1
    assert await database.copies() == 1


async def test_nothing_is_written_while_the_database_does_not_say_how_many_copies_it_keeps(
    proxy: FaultProxy, connect: Connect, documents: Documents
) -> None:
    database = connect()
    proxy.inject(cut_before, times=math.inf)
    with pytest.raises(ConnectError, match="how many copies it keeps"):
        await database.save({"_id": "a"})
    assert {request.method for request in proxy.requests} == {"GET"}
    proxy.clear()
    rev = await database.save({"_id": "a"})
    assert documents.content("a") == {"_id": "a", "_rev": rev}


@pytest.mark.parametrize("answer", ["{}", "[7]", '{"db_name":"fruits","cluster":{"n":null}}'])
async def test_nothing_is_written_after_an_answer_that_is_not_of_a_database(
    proxy: FaultProxy, connect: Connect, answer: str
) -> None:
    database = connect()
    proxy.inject(answered(200, answer))
    with pytest.raises(ConnectError, match="not what CouchDB answers"):
        await database.save({"_id": "a"})
    assert {request.method for request in proxy.requests} == {"GET"}
    await database.save({"_id": "a"})


STRANGE_DOCUMENTS = [
    "{}",
    '{"_id":"a"}',
    '{"_rev":"1-a"}',
    '{"_id":7,"_rev":"1-a"}',
    '{"_id":"a","_rev":"x-a"}',
    '{"_id":"a","_rev":{}}',
    '{"_id":"a","_rev":"1-a","_conflicts":[null]}',
    '{"_id":"a","_rev":"1-a","_revisions":{"start":"1","ids":["a"]}}',
]


@pytest.mark.parametrize("document", STRANGE_DOCUMENTS)
async def test_document_without_what_couchdb_adds_to_each_is_a_transport_error(
    proxy: FaultProxy, database: Database, document: str
) -> None:
    proxy.inject(answered(200, document), times=math.inf)
    asked: list[Any] = [database.fetch("a"), database.fetch_revision("a", "1-a")]
    asked += [database.revisions.read_local("a"), database.revisions.fetch_live_leaves("a")]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, TransportError), answer
        assert "not what CouchDB answers" in str(answer)


@pytest.mark.parametrize(
    "document", [*STRANGE_DOCUMENTS, '{"_id":"a","_rev":"1-a"}', "7", f"{'[' * 2000}{']' * 2000}"]
)
async def test_document_of_a_batch_that_couchdb_does_not_return_so_fails_alone(
    proxy: FaultProxy, database: Database, document: str
) -> None:
    history = '"_revisions":{"start":1,"ids":["b"]}'
    sound = f'{{"_id":"b","_rev":"1-b",{history}}}'
    results = ",".join(
        f'{{"id":"{name}","docs":[{{"ok":{text}}}]}}' for name, text in (("a", document), ("b", sound))
    )
    proxy.inject(answered(200, f'{{"results":[{results}]}}'), times=math.inf)
    bulk = database._bulk
    bad, good = await bulk.fetch_leaves(["a", "b"])
    assert isinstance(bad, TransportError)
    assert isinstance(good, list)


async def test_stale_revision_is_a_conflict(database: Database, documents: Documents) -> None:
    first = documents.put(_id="a", n=1)
    documents.put(_id="a", _rev=first["_rev"], n=2)
    with pytest.raises(ConflictError, match="document 'a'"):
        await database.save({"_id": "a", "_rev": first["_rev"], "n": 3})
    with pytest.raises(ConflictError):
        await database.save({"_id": "a", "n": 3})
    with pytest.raises(ConflictError):
        await database.delete("a", first["_rev"])
    assert documents.get("a")["n"] == 2


async def test_document_that_couchdb_refuses_is_an_error(database: Database) -> None:
    with pytest.raises(ResponseError) as caught:
        await database.save({"_id": "a", "_nonsense": 1})
    assert caught.value.status == 400


async def test_ids_of_new_documents_are_made_by_couchdb_in_batches(
    proxy: FaultProxy, database: Database
) -> None:
    ids = await asyncio.gather(*(database.new_document_id() for _ in range(150)))
    assert len(set(ids)) == 150
    assert all(len(document_id) == 32 for document_id in ids)
    assert len([request for request in proxy.requests if "_uuids" in request.path]) == 2


async def test_id_after_a_failed_request_for_ids_is_a_new_one(proxy: FaultProxy, database: Database) -> None:
    proxy.inject(answered(503), "_uuids", times=math.inf)
    with pytest.raises(ResponseError):
        await database.new_document_id()
    proxy.clear()
    assert len(await database.new_document_id()) == 32


async def test_no_caller_waits_for_an_id_beyond_its_own_deadline(
    proxy: FaultProxy, database: Database
) -> None:
    proxy.inject(never_answer, "_uuids", times=math.inf)
    patient = asyncio.create_task(database.new_document_id())
    await wait_until(lambda: len(proxy.requests) == 1)
    with deadline.within(0.1), pytest.raises(ConnectError, match="too slow to make an id"):
        await database.new_document_id()
    assert not patient.done()
    patient.cancel()


class Recorder(Observer):
    """Records the facts that it learns."""

    def __init__(self) -> None:
        self.facts: list[str] = []

    def request_finished(
        self, call: Call, outcome: Outcome, duration_s: float, trace: Mapping[str, str] | None = None
    ) -> None:
        self.facts.append(f"{call.operation} {outcome.status}")

    def write_conflicted(self) -> None:
        self.facts.append("conflict")


async def test_each_caller_observes_its_own_facts_and_the_database_all_requests(
    couchdb: CouchDBServer, proxy: FaultProxy
) -> None:
    own, winner, loser = Recorder(), Recorder(), Recorder()
    async with Database(
        proxy.url, username=couchdb.username, password=couchdb.password, observer=own
    ) as database:
        await database.copies()
        await database.observed_by(winner).save({"_id": "a"})
        with pytest.raises(ConflictError):
            await database.observed_by(loser).save({"_id": "a"})
        assert database.observed_by(loser).origin is database
        copies = await database.copies()
    if copies == 1:  # else there are others around them
        assert own.facts == ["GET /{db} 200", "POST /{db}/_bulk_docs 201", "POST /{db}/_bulk_docs 201"]
    assert "conflict" not in own.facts
    assert winner.facts == []
    assert loser.facts == ["conflict"]


async def test_creation_that_a_cluster_refuses_is_a_conflict_of_its_caller(
    proxy: FaultProxy, connect: Connect
) -> None:
    proxy.inject(cluster_of(proxy.url), times=math.inf)
    database, loser = connect(), Recorder()
    await database.save({"_id": "a"})
    with pytest.raises(ConflictError):
        await database.observed_by(loser).save({"_id": "a"})
    assert loser.facts == ["conflict"]


async def test_design_documents_are_listed_by_name(database: Database, documents: Documents) -> None:
    assert await database.design_doc_names() == []
    documents.put_view()
    documents.put(_id="_design/a b")
    documents.put(_id="zebra")
    assert await database.design_doc_names() == ["a b", "thing_by_key"]


async def test_view_information_has_the_sizes_of_the_index(database: Database, documents: Documents) -> None:
    documents.put_view()
    await database.query_view("thing_by_key")
    assert "sizes" in await database.view_information("thing_by_key")
    with pytest.raises(NotFoundError):
        await database.view_information("absent")


async def test_each_write_of_a_batch_has_its_own_result(database: Database, documents: Documents) -> None:
    documents.put(_id="b")
    saves = [database.save({"_id": document_id}) for document_id in ("a", "b", "c")]
    results = await asyncio.gather(*saves, return_exceptions=True)
    assert isinstance(results[1], ConflictError)
    assert isinstance(results[0], str)
    assert isinstance(results[2], str)


@pytest.mark.parametrize("body", ["[]", "null", "7", '{"uuids":[]}', '{"rows":[7],"view_index":7}'])
async def test_answer_of_the_wrong_form_is_a_transport_error(
    proxy: FaultProxy, database: Database, body: str
) -> None:
    proxy.inject(answered(200, body), times=math.inf)
    asked = [database.new_document_id(), database.design_doc_names(), database.view_information("a")]
    if not body.startswith("{"):
        asked += [database.information(), database.fetch("a"), database.fetch_revision("a", "1-a")]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        assert isinstance(answer, TransportError), answer
