import asyncio
import base64
import dataclasses
import json
import logging
import math
import re
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import msgspec
import pytest
import requests
import tornado.web
from yarl import URL

from tor_async_couchdb import deadline, errors
from tor_async_couchdb.actions.retrieve import Cursor, Page
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.fault_proxy import (
    FaultProxy,
    answered,
    changed_first,
    cut_after,
    cut_before,
    delayed,
    never_answer,
)
from tor_async_couchdb.tests.things import Documents, Thing, ThingsRetriever
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.http.problems import OUTCOME_UNKNOWN
from tor_async_service.tests.serving import problem_of, serving
from tor_async_service.tests.test_metrics import request_labels

JSON = {"Content-Type": "application/json"}
MAX_BODY_SIZE_BYTES = 64 * 1024


def body_of_size(size_bytes: int) -> bytes:
    """A thing whose JSON has this size."""
    # Not a key of this size, which would have to fit into the header Location.
    return b'{"key":"a"}'.ljust(size_bytes)


async def test_answer_is_json_and_says_nothing_of_the_server(client: aiohttp.ClientSession) -> None:
    async with client.post("/things", json={"key": "ü", "count": 3}) as response:
        assert response.status == 201
        assert response.headers["Content-Type"] == "application/json"
        assert "Server" not in response.headers
        assert "Etag" not in response.headers
        assert await response.json() == {"key": "ü", "count": 3}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "truncated"),
        (b"{", "truncated"),
        (b"red", "malformed"),
        (b'{"key":"a"} x', "trailing"),
        (b'{"key":"\xff"}', "utf-8"),
        (b'{"key":"\\ud800 "}', "The body is invalid"),
        (b"[]", "Expected `object`"),
        (b"null", "Expected `object`"),
        (b"{}", "missing required field `key`"),
        (b'{"key":1}', "Expected `str`, got `int` - at `$.key`"),
        (b'{"key":null}', "at `$.key`"),
        (b'{"key":""}', "length >= 1"),
        (b'{"key":"a","count":-1}', "at `$.count`"),
        (b'{"key":"a","count":1.5}', "at `$.count`"),
        (b'{"key":"a","color":"red"}', "unknown field `color`"),
        (b'{"key":' + b"[" * 60_000, "The body is invalid"),
    ],
)
async def test_invalid_body_is_refused_with_the_reason(
    lone_client: aiohttp.ClientSession, body: bytes, words: str
) -> None:
    async with lone_client.post("/things", data=body, headers=JSON) as response:
        assert words in (await problem_of(response, 400))["detail"]


@pytest.mark.parametrize(
    "media_type",
    [
        "application/json",
        "application/json;charset=utf-8",
        "application/json; charset=UTF-8",
        'application/json; charset="utf8"',
        "Application/JSON",
        " application/json ",
        "application/json;",
        "application/json ; charset=utf-8;",
        "application/json;;CHARSET=UTF-8",
    ],
)
async def test_json_is_taken_with_or_without_charset(client: aiohttp.ClientSession, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    async with client.post("/things", data=b'{"key":"a"}', headers=headers) as response:
        assert response.status == 201


@pytest.mark.parametrize(
    "media_type",
    [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonp",
        "application/json; charset=latin-1",
        "application/json; x=y",
        "text/application/json",
        "application/vnd.api+json",
    ],
)
async def test_other_media_type_is_refused(lone_client: aiohttp.ClientSession, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    async with lone_client.post("/things", data=b'{"key":"a"}', headers=headers) as response:
        assert "application/json" in (await problem_of(response, 415))["detail"]


class FormBody(msgspec.Struct):
    """What a client sends. Clients do not see its patterns."""

    code: Annotated[str, msgspec.Meta(pattern=r"^[a-z' - at `]{4}\Z")]
    codes: list[Annotated[str, msgspec.Meta(pattern=r"^\s3cr3t$")]] = []


class FormHandler(ServiceHandler):
    """Takes a body, and shows nothing."""

    async def post(self) -> None:
        self.json_body(FormBody)


@pytest.mark.parametrize(
    ("body", "place"), [({"code": 'A"'}, "$.code"), ({"code": "abcd", "codes": ["\n"]}, "$.codes[0]")]
)
async def test_client_sees_where_a_text_is_wrong_but_no_regular_expression(
    absent_database: Database, body: dict[str, Any], place: str
) -> None:
    app = ServiceApplication([("/form", FormHandler)], absent_database, version="1")
    async with serving(app) as client, client.post("/form", json=body) as response:
        detail = (await problem_of(response, 400))["detail"]
    assert detail == f"The body is invalid: Expected `str` of another form - at `{place}`."


async def test_head_of_a_path_that_has_no_get_is_not_allowed(absent_database: Database) -> None:
    app = ServiceApplication([("/form", FormHandler)], absent_database, version="1")
    async with serving(app) as client, client.head("/form") as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    "path", ["/things/a", "/things", "/things?limit=1", "/things/absent", "/things?limit=x"]
)
async def test_head_is_get_without_the_body(
    client: aiohttp.ClientSession, documents: Documents, path: str
) -> None:
    documents.put_thing("a")
    documents.put_thing("b")
    async with client.get(path) as got:
        body = await got.read()
    async with client.head(path) as response:
        assert response.status == got.status
        assert await response.read() == b""
        assert response.headers["Content-Length"] == str(len(body))
        names = ("Content-Type", "Link", "Allow", "Retry-After")
        assert [response.headers.get(name) for name in names] == [got.headers.get(name) for name in names]
    async with client.get("/things/a") as response:  # by the same connection
        assert response.status == 200


async def test_head_of_a_long_list_reads_one_page_of_it(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    put_things(documents, 1100)
    async with client.head("/things") as response:
        assert response.status == 200
        assert "Content-Length" not in response.headers
    async with client.get("/things/00000") as response:
        assert response.status == 200
    assert len([request for request in proxy.requests if "include_docs" in request.path]) == 2


async def in_chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 10_000):
        yield body[start : start + 10_000]


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("size_bytes", [MAX_BODY_SIZE_BYTES + 1, 900_000])
async def test_body_that_is_too_large_is_413(
    lone_client: aiohttp.ClientSession, is_chunked: bool, size_bytes: int
) -> None:
    body = body_of_size(size_bytes)
    data = in_chunks(body) if is_chunked else body
    async with lone_client.post("/things", data=data, headers=JSON) as response:
        assert "65536 bytes" in (await problem_of(response, 413))["detail"]


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_body_of_exactly_the_limit_is_taken(client: aiohttp.ClientSession, is_chunked: bool) -> None:
    body = body_of_size(MAX_BODY_SIZE_BYTES)
    data = in_chunks(body) if is_chunked else body
    async with client.post("/things", data=data, headers=JSON) as response:
        assert response.status == 201, await response.text()


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/things", {"GET", "HEAD", "POST"}),
        ("PUT", "/things", {"GET", "HEAD", "POST"}),
        ("PATCH", "/things/a", {"GET", "HEAD", "PUT"}),
        ("OPTIONS", "/things/a", {"GET", "HEAD", "PUT"}),
        ("BREW", "/things/a", {"GET", "HEAD", "PUT"}),
    ],
)
async def test_other_method_is_refused_with_the_allowed_ones(
    lone_client: aiohttp.ClientSession, method: str, path: str, allowed: set[str]
) -> None:
    async with lone_client.request(method, path) as response:
        problem = await problem_of(response, 405)
        assert {name.strip() for name in response.headers["Allow"].split(",")} == allowed
        assert path in problem["detail"]


async def test_nothing_found_is_a_problem_that_names_the_path(client: aiohttp.ClientSession) -> None:
    async with client.get("/things/absent") as response:
        assert (await problem_of(response, 404))["detail"] == "There is nothing at /things/absent."


@pytest.mark.parametrize(
    ("status", "answer"), [(401, 503), (403, 503), (404, 503), (413, 413), (429, 503), (500, 503)]
)
async def test_what_couchdb_refuses_is_a_problem(
    client: aiohttp.ClientSession, proxy: FaultProxy, status: int, answer: int
) -> None:
    proxy.inject(answered(status), "_bulk_docs", times=math.inf)
    proxy.inject(answered(status), "_bulk_get", times=math.inf)
    async with client.post("/things", json={"key": "a"}) as response:
        await problem_of(response, answer)
        assert response.headers.get("Retry-After") == ("1" if answer == 503 else None)


async def test_database_that_is_down_is_503_and_then_200_again(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    documents.put_thing("a")
    proxy.inject(cut_before, times=math.inf)
    async with client.get("/things/a") as response:
        problem = await problem_of(response, 503)
        assert "can't be reached" in problem["detail"]
        assert response.headers["Retry-After"] == "1"
    proxy.clear()
    async with client.get("/things/a") as response:
        assert response.status == 200


@pytest.mark.parametrize("deadline_s", [0.3])
async def test_write_that_is_not_answered_before_the_deadline_has_an_unknown_outcome(
    client: aiohttp.ClientSession, database: Database, proxy: FaultProxy, documents: Documents
) -> None:
    documents.put_thing("a")
    await database.prepared({"_id": "b"})  # on a cluster the first one takes half a second
    proxy.inject(never_answer, "_bulk_docs")
    async with client.put("/things/a", json={"key": "a", "count": 1}) as response:
        assert (await problem_of(response, 503))["type"] == OUTCOME_UNKNOWN


async def test_change_of_unknown_outcome_says_so(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    proxy.inject(cut_after, "_bulk_docs")
    proxy.inject(cut_before, "_bulk_get", times=math.inf)
    async with client.post("/things", json={"key": "a"}) as response:
        problem = await problem_of(response, 503)
    assert problem["type"] == OUTCOME_UNKNOWN
    assert "Read it again" in problem["detail"]


@pytest.mark.parametrize("thrown", ["forbidden", "unauthorized"])
async def test_write_that_a_validation_function_refuses_is_403_with_its_reason(
    client: aiohttp.ClientSession, documents: Documents, thrown: str
) -> None:
    reason = "a thing's count is 7 at most"
    function = f'function(doc) {{ if (doc.count > 7) {{ throw {{{thrown}: "{reason}"}}; }} }}'
    documents.put(_id="_design/check", language="javascript", validate_doc_update=function)
    async with client.post("/things", json={"key": "a", "count": 7}) as response:
        assert response.status == 201
    for request in (client.put, client.post):
        path = "/things/a" if request == client.put else "/things"
        async with request(path, json={"key": "a", "count": 8}) as response:
            problem = await problem_of(response, 403)
            assert problem["detail"] == f"The database refuses this: {reason}"
            assert "Retry-After" not in response.headers


@pytest.mark.parametrize("status", [409, 413])
async def test_read_that_a_gateway_refuses_is_not_the_clients_fault(
    client: aiohttp.ClientSession, proxy: FaultProxy, status: int
) -> None:
    for path in ("/things/a", "/things", "/_metrics"):
        proxy.inject(answered(status), times=math.inf)
        async with client.get(path) as response:
            await problem_of(response, 503)
            assert "Conflict-Count" not in response.headers


@pytest.mark.parametrize("header", ["9" * 400, "99999", "Fri, 31 Dec 9999 23:59:59 GMT"])
async def test_client_is_asked_to_wait_an_hour_at_most(
    client: aiohttp.ClientSession, proxy: FaultProxy, header: str
) -> None:
    proxy.inject(answered(503, headers={"Retry-After": header}), times=math.inf)
    async with client.get("/things/a") as response:
        await problem_of(response, 503)
        assert response.headers["Retry-After"] == "3600"


async def test_durations_are_measured_by_a_monotonic_clock(
    absent_database: Database, parts: Parts, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def set_clock_back(_: Database) -> None:
        now_s = time.time()
        monkeypatch.setattr(time, "time", lambda: now_s - 7200)

    caplog.set_level(logging.INFO)
    app = odd_app(absent_database, set_clock_back, parts)
    async with serving(app) as client, client.get("/odd") as response:
        assert response.status == 200
    labels = request_labels("GET", "/odd", 200)
    sum_s = parts.metrics.registry.get_sample_value("http_server_request_duration_seconds_sum", labels)
    assert sum_s is not None
    assert 0 <= sum_s < 60
    assert re.search(r"200 GET /odd \(127\.0\.0\.1\) \d+\.\d\dms", caplog.text)


async def test_document_that_does_not_fit_is_502_and_not_shown(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    documents.put_thing("a", count="s3cr3t")
    async with client.get("/things/a") as response:
        assert "s3cr3t" not in str(await problem_of(response, 502))


class TestSigningService:
    """A service whose guard signs."""

    @pytest.fixture
    def guard(self, tmp_path: Path) -> Guard:
        signing.new_key_set(tmp_path / "keys.json")
        return ProtectingGuard(signer=TamperingSigner.from_file(tmp_path / "keys.json"))

    async def test_document_that_was_tampered_with_is_502_and_named_but_not_shown(
        self, client: aiohttp.ClientSession, documents: Documents
    ) -> None:
        document_id = documents.put_thing("a", count="s3cr3t")["_id"]
        async with client.get("/things/a") as response:
            problem = await problem_of(response, 502)
        assert document_id in problem["detail"]
        assert "s3cr3t" not in str(problem)

    @pytest.mark.parametrize("path", ["/things", "/things?limit=7"])
    async def test_list_says_how_many_documents_were_tampered_with(
        self, client: aiohttp.ClientSession, documents: Documents, path: str
    ) -> None:
        async with client.post("/things", json={"key": "a"}) as response:
            assert response.status == 201
        async with client.get(path) as response:
            assert "Tampered-Count" not in response.headers
        documents.put_thing("b")
        documents.put_thing("c")
        async with client.get(path) as response:
            assert [thing["key"] for thing in await response.json()] == ["a"]
            assert response.headers["Tampered-Count"] == "2"

    async def test_long_list_counts_its_first_page_in_a_header_or_all_pages_in_a_trailer(
        self, client: aiohttp.ClientSession, documents: Documents
    ) -> None:
        documents.put_many([{"type": "thing_v1.0", "key": f"{i:04d}", "count": 0} for i in range(600)])
        async with client.get("/things") as response:
            assert response.headers["Tampered-Count"] == "500"
            assert "Trailer" not in response.headers
            assert await response.json() == []
        async with client.get("/things", headers={"TE": "trailers"}) as response:
            assert response.headers["Trailer"] == "Tampered-Count"
            assert "Tampered-Count" not in response.headers
            assert await response.json() == []
        port = client._build_url("/").port
        assert port is not None
        assert (await _last_chunk(port)).endswith(b"]\n\r\n0\r\nTampered-Count: 600\r\n\r\n")


async def _last_chunk(port: int) -> bytes:
    """The end of a list for a client that takes trailers and asks for more on the same connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in ("/things", "/things/absent"):
        writer.write(b"GET %s HTTP/1.1\r\nHost: a\r\nTE: trailers\r\n\r\n" % path.encode())
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"HTTP/1.1 404")
    writer.close()
    return answer.removesuffix(b"HTTP/1.1 404")


async def test_lost_race_is_409_with_its_conflict_count(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    documents.put_thing("a")
    proxy.inject(changed_first(), "_bulk_docs")
    async with client.put("/things/a", json={"key": "a", "count": 1}) as response:
        await problem_of(response, 409)
        assert response.headers["Conflict-Count"] == "1"
    async with client.put("/things/a", json={"key": "a", "count": 1}) as response:
        assert response.status == 200
        assert "Conflict-Count" not in response.headers


Behavior = Callable[[Database], None]


class OddHandler(ServiceHandler):
    """Does what the test says."""

    async def get(self) -> None:
        self.settings["behave"](self.database)
        self.write_json({})


def odd_app(database: Database, behave: Behavior, parts: Parts | None = None) -> ServiceApplication:
    settings = {"behave": behave}
    return ServiceApplication([("/odd", OddHandler)], database, version="1", settings=settings, parts=parts)


def raise_(error: Exception) -> Behavior:
    def behave(database: Database) -> None:
        raise error

    return behave


async def test_unexpected_error_is_a_problem_and_is_logged(
    absent_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    app = odd_app(absent_database, raise_(ZeroDivisionError("s3cr3t")))
    async with serving(app) as client, client.get("/odd") as response:
        assert "s3cr3t" not in str(await problem_of(response, 500))
    assert any(record.exc_info for record in caplog.records)


async def test_expected_error_is_one_line_in_the_log(
    absent_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    app = odd_app(absent_database, raise_(errors.ConnectError("CouchDB is not there")))
    async with serving(app) as client, client.get("/odd") as response:
        await problem_of(response, 503)
    (record,) = [record for record in caplog.records if "CouchDB is not there" in record.getMessage()]
    assert record.levelno == logging.WARNING
    assert record.exc_info is None


@pytest.mark.parametrize("status", [200, 503])
async def test_conflicts_are_counted_on_every_answer(absent_database: Database, status: int) -> None:
    def behave(database: Database) -> None:
        for _ in range(7):
            database.observer.write_conflicted()
        if status == 503:
            raise errors.TransportError("gone")

    async with serving(odd_app(absent_database, behave)) as client, client.get("/odd") as response:
        assert response.status == status
        assert response.headers["Conflict-Count"] == "7"


@pytest.mark.parametrize("deadline_s", [5.0])
async def test_request_has_the_services_deadline(absent_database: Database, parts: Parts) -> None:
    remaining_s = []
    app = odd_app(absent_database, lambda _: remaining_s.append(deadline.current().remaining_s()), parts)
    async with serving(app) as client, client.get("/odd") as response:
        assert response.status == 200
    assert 4 < remaining_s[0] <= 5


async def test_error_with_a_status_of_its_own_keeps_it(absent_database: Database) -> None:
    app = odd_app(absent_database, raise_(tornado.web.HTTPError(418, "I'm a teapot.")))
    async with serving(app) as client, client.get("/odd") as response:
        assert (await problem_of(response, 418))["detail"] == "I'm a teapot."


def put_things(documents: Documents, count: int) -> list[str]:
    keys = [f"{number:05}" for number in range(count)]
    documents.put_many([{"type": "thing_v1.0", "key": key, "count": 0} for key in keys])
    return keys


async def pages(client: aiohttp.ClientSession, path: str) -> list[list[str]]:
    """The keys on all pages, by their links."""
    found = []
    while path:
        async with client.get(URL(path, encoded=True)) as response:
            assert response.status == 200
            found.append([thing["key"] for thing in await response.json()])
            link = re.fullmatch('<(.*)>; rel="next"', response.headers.get("Link", ""))
            path = "" if link is None else link[1]
    return found


async def test_pages_are_linked(client: aiohttp.ClientSession, documents: Documents) -> None:
    put_things(documents, 5)
    assert await pages(client, "/things?limit=2") == [["00000", "00001"], ["00002", "00003"], ["00004"]]
    assert [len(page) for page in await pages(client, "/things?limit=5")] == [5]


async def test_link_is_safe_for_any_key(client: aiohttp.ClientSession, documents: Documents) -> None:
    keys = ["a b", 'a"><&=%+', "ü/€?#"]
    for key in keys:
        documents.put_thing(key)
    found = await pages(client, "/things?limit=1")
    assert sorted(key for page in found for key in page) == sorted(keys)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "1e3", "٣", "9" * 30, "9" * 5000])
async def test_bad_limit_is_refused(lone_client: aiohttp.ClientSession, limit: str) -> None:
    async with lone_client.get("/things", params={"limit": limit}) as response:
        assert "from 1 to 1000" in (await problem_of(response, 400))["detail"]


@pytest.mark.parametrize("size", [1000, 5900])
async def test_page_may_start_at_a_long_key(
    client: aiohttp.ClientSession, documents: Documents, size: int
) -> None:
    keys = [letter * size for letter in "abc"]
    for key in keys:
        documents.put_thing(key)
    assert await pages(client, "/things?limit=1") == [[key] for key in keys]


@pytest.mark.parametrize(("key", "document_id"), [("a", "b" * 20_000), ("€" * 3000, "€" * 3000)])
async def test_page_may_start_at_any_document(
    client: aiohttp.ClientSession, documents: Documents, key: str, document_id: str
) -> None:
    documents.put_thing(key, _id=document_id)
    for limit in ("", "&limit=1"):
        async with client.get(f"/things?start={encoded_cursor(key, document_id)}{limit}") as response:
            assert response.status == 200, await response.text()
            assert [thing["key"] for thing in await response.json()] == [key]


def encoded_cursor(key: str, document_id: str) -> str:
    return encoded(json.dumps([key, document_id], ensure_ascii=False))


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "start",
    [
        "",
        "a",
        "8",
        "x" * 9000,
        "x" * 40_000,
        encoded("[]"),
        encoded('["a"]'),
        encoded('["a",1]'),
        encoded('["a","b","c"]'),
        encoded('{"key":"a"}'),
        encoded("7"),
        encoded('[1e999,"b"]'),
        encoded(f'[{"9" * 5000},"b"]'),
        encoded("[" * 5000),
        encoded('["\\ud800","b"]'),
        encoded('["a","bc"]').rstrip("="),
    ],
)
@pytest.mark.parametrize("limit", ["", "&limit=2"])
async def test_start_that_no_link_has_is_refused(
    lone_client: aiohttp.ClientSession, start: str, limit: str
) -> None:
    async with lone_client.get(f"/things?start={start}{limit}") as response:
        assert "link to the next page" in (await problem_of(response, 400))["detail"]


@pytest.mark.parametrize("count", [0, 500, 501])
async def test_whole_list_is_one_array(
    client: aiohttp.ClientSession, documents: Documents, count: int
) -> None:
    keys = put_things(documents, count)
    async with client.get("/things") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/json"
        assert [thing["key"] for thing in await response.json()] == keys


async def test_list_that_fails_before_its_first_byte_is_a_problem(
    client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    proxy.inject(answered(500), "_view", times=math.inf)
    async with client.get("/things") as response:
        await problem_of(response, 503)


async def test_list_that_fails_in_the_middle_is_never_taken_for_a_whole_one(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    put_things(documents, 501)
    proxy.inject(answered(500), "startkey", times=math.inf)
    async with client.get("/things") as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
        url = str(response.url)
    proxy.inject(cut_before, "startkey", times=math.inf)
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        await asyncio.to_thread(requests.get, url, timeout=30)


class EndlessThings(ThingsRetriever):
    """A list without end, of half a megabyte a page; `deadlines_s` has the deadline of each page."""

    def __init__(self, *, database: Database, deadlines_s: list[float]) -> None:
        super().__init__("thing_by_key", database=database)
        self._deadlines_s = deadlines_s

    async def fetch_page(self, size: int, start: Cursor | None = None) -> Page[Thing]:
        self._deadlines_s.append(deadline.current().at_s)
        return Page([Thing(key="x" * 1000) for _ in range(size)], Cursor("next", "id"))


class EndlessHandler(ServiceHandler):
    """Answers with the endless list."""

    async def get(self) -> None:
        deadlines_s = self.settings["deadlines_s"]
        await self.write_models(EndlessThings(database=self.database, deadlines_s=deadlines_s))


@dataclasses.dataclass
class Endless:
    """A service with an endless list, and the deadlines of the pages that it has read."""

    app: ServiceApplication
    client: aiohttp.ClientSession
    deadlines_s: list[float]


@pytest.fixture
async def endless(absent_database: Database, parts: Parts) -> AsyncIterator[Endless]:
    deadlines_s: list[float] = []
    app = ServiceApplication(
        [("/endless", EndlessHandler)],
        absent_database,
        version="1.0.0",
        settings={"deadlines_s": deadlines_s},
        parts=parts,
    )
    async with serving(app) as client:
        yield Endless(app, client, deadlines_s)


@pytest.mark.parametrize("deadline_s", [0.5])
async def test_list_is_read_at_the_pace_of_its_client_and_cut_off_when_the_client_stops(
    endless: Endless,
) -> None:
    async with endless.client.get("/endless") as response:
        assert await response.content.read(100)
        # The buffers between service and client hold a few pages.
        await wait_until(lambda: len(endless.deadlines_s) > 1)
        assert await endless.app.service.drain.wait(10) == 0
        assert len(endless.deadlines_s) < 60
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)):
            await response.read()


async def test_each_page_of_a_long_list_has_a_deadline_of_its_own(endless: Endless) -> None:
    async with endless.client.get("/endless") as response:
        while len(endless.deadlines_s) < 5:
            assert await response.content.read(200_000)
    assert endless.deadlines_s == sorted(set(endless.deadlines_s))


async def test_client_that_goes_away_ends_its_list(endless: Endless) -> None:
    async with endless.client.get("/endless") as response:
        assert json.loads((await response.content.read(1)) + b"]") == []
        response.close()
    assert await endless.app.service.drain.wait(10) == 0


async def test_draining_service_closes_its_connections(
    app: ServiceApplication, client: aiohttp.ClientSession
) -> None:
    async with client.get("/things") as response:
        assert response.headers.get("Connection") != "close"
    app.service.drain.announce()
    async with client.get("/things") as response:
        assert response.status == 200
        assert response.headers["Connection"] == "close"


async def test_draining_service_says_in_the_header_of_a_stream_that_it_closes_the_connection(
    app: ServiceApplication, client: aiohttp.ClientSession, documents: Documents
) -> None:
    put_things(documents, 600)
    app.service.drain.announce()
    async with client.get("/things") as response:
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert response.headers["Connection"] == "close"
        assert len(await response.json()) == 600


async def leave(client: aiohttp.ClientSession, proxy: FaultProxy, path: str, method: str = "GET") -> None:
    """Sends a request for the thing 'a', and leaves when the database has been asked for `path`."""

    async def ask() -> None:
        async with client.request(method, "/things/a" if method == "GET" else "/things", json={"key": "a"}):
            pass

    asking = asyncio.create_task(ask())
    await wait_until(lambda: any(path in request.path for request in proxy.requests))
    asking.cancel()
    await asyncio.wait([asking])


def answers(app: ServiceApplication, status: int) -> float:
    """How many requests for a thing the service has counted with this status."""
    labels = request_labels("GET", "/things/{key}", status, str(status) if status >= 500 else "")
    name = "http_server_request_duration_seconds_count"
    return app.service.metrics.registry.get_sample_value(name, labels) or 0


async def test_client_that_leaves_is_counted_as_such_and_not_as_an_error(
    app: ServiceApplication,
    client: aiohttp.ClientSession,
    proxy: FaultProxy,
    caplog: pytest.LogCaptureFixture,
) -> None:
    proxy.inject(never_answer)
    await leave(client, proxy, "_view")
    assert await app.service.drain.wait(10) == 0
    assert (answers(app, 499), answers(app, 500)) == (1, 0)
    assert "499 GET /things/a" in caplog.text
    assert "Traceback" not in caplog.text


async def test_read_for_a_client_that_leaves_is_cut_off(
    client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    proxy.inject(never_answer)
    await leave(client, proxy, "_view")
    (read,) = proxy.requests
    await wait_until(lambda: read.incoming.transport is None or read.incoming.transport.is_closing())


async def test_nothing_is_retried_for_a_client_that_leaves(
    app: ServiceApplication, client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    before = asyncio.all_tasks()
    proxy.inject(answered(503, headers={"Retry-After": "9"}))
    await leave(client, proxy, "_view")
    assert await app.service.drain.wait(5) == 0
    # The connections of client and proxy have tasks too. A retry would wait in one of the library's.
    await wait_until(lambda: not any("/wire/" in repr(task) for task in asyncio.all_tasks() - before))
    assert len(proxy.requests) == 1


async def test_write_that_was_sent_for_a_client_that_leaves_runs_to_its_end(
    app: ServiceApplication, client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    proxy.inject(delayed(0.5), "_bulk_docs")
    await leave(client, proxy, "_bulk_docs", "POST")
    assert await app.service.drain.wait(10) == 0
    assert documents.count() == 1
    await wait_until(lambda: documents.count() == 2)


async def test_client_that_leaves_in_the_middle_of_its_request_is_not_waited_for(
    app: ServiceApplication, client: aiohttp.ClientSession
) -> None:
    url = client._build_url("/things")
    _, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /things HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
    await writer.drain()
    await wait_until(lambda: app.service.drain.in_flight_count == 1)
    writer.close()
    assert await app.service.drain.wait(10) == 0


@pytest.mark.parametrize(
    ("request_bytes", "status_line"),
    [
        (b"GET http://a/_noop HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 404 Not Found"),
        (
            b"POST /things HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\n{}\r\n0\r\n\r\n",
            b"HTTP/1.1 400 Bad Request",
        ),
        (b"GET /_noop HTTP/1.1\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /_noop HTTP/2.0\r\nHost: a\r\n\r\n", b"HTTP/1.1 400 Bad Request"),
        (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 70_000), b""),
    ],
    ids=["absolute form", "chunk extension", "no host", "version", "long target"],
)
async def test_request_that_is_left_to_tornado_is_answered_as_the_readme_says(
    lone_client: aiohttp.ClientSession, request_bytes: bytes, status_line: bytes
) -> None:
    url = lone_client._build_url("/")
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(request_bytes)
    async with asyncio.timeout(20):
        try:
            assert (await reader.readline()).rstrip() == status_line
        except ConnectionResetError:
            assert status_line == b""
    writer.close()
