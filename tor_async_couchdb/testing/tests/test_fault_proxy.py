import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import (
    FaultProxy,
    Request,
    answered,
    changed_first,
    cut_after,
    cut_before,
    cut_within,
    delayed,
    never_answer,
)
from tor_async_couchdb.tests.things import Documents


class Client:
    """Sends requests to CouchDB through the proxy."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def get(self, path: str = "") -> aiohttp.ClientResponse:
        async with self._session.get(f"{self._url}{path}") as response:
            await response.read()
            return response

    async def write(self, **document: Any) -> dict[str, Any]:
        """CouchDB's result for one document."""
        async with self._session.post(f"{self._url}/_bulk_docs", json={"docs": [document]}) as response:
            results: list[dict[str, Any]] = await response.json()
            return results[0]


@pytest.fixture
async def client(couchdb: CouchDBServer, proxy: FaultProxy) -> AsyncIterator[Client]:
    headers = {"Authorization": aiohttp.encode_basic_auth(couchdb.username, couchdb.password)}
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        yield Client(session, proxy.url)


async def test_without_a_fault_requests_are_forwarded(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    assert (await (await client.get()).json())["db_name"] == documents.name
    assert (await client.get("/absent")).status == 404
    assert (await client.write(_id="a", n=1))["ok"] is True
    assert documents.get("a")["n"] == 1
    assert [(request.method, request.path) for request in proxy.requests] == [
        ("GET", f"/{documents.name}"),
        ("GET", f"/{documents.name}/absent"),
        ("POST", f"/{documents.name}/_bulk_docs"),
    ]


async def test_feed_is_relayed_as_it_comes(
    client: Client, proxy: FaultProxy, couchdb: CouchDBServer, documents: Documents
) -> None:
    async def relay(request: Request) -> web.StreamResponse:
        return await request.relay()

    proxy.inject(relay, "_changes")
    credentials = aiohttp.encode_basic_auth(couchdb.username, couchdb.password)
    url = f"{proxy.url}/_changes?feed=continuous&heartbeat=1000"
    async with (
        asyncio.timeout(20),
        aiohttp.ClientSession(headers={"Authorization": credentials}) as session,
        session.get(url) as feed,
    ):
        assert (await client.write(_id="a"))["ok"] is True
        while not (line := (await feed.content.readline()).strip()):
            pass  # a heartbeat
        assert json.loads(line)["id"] == "a"


async def test_proxy_can_forget_its_requests(couchdb: CouchDBServer) -> None:
    async with FaultProxy(couchdb.url, is_forgetful=True) as proxy, aiohttp.ClientSession() as session:
        async with session.get(proxy.url) as answer:
            assert answer.status in (200, 401)
        assert proxy.requests == []


async def test_request_that_is_cut_before_is_not_applied(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    proxy.inject(cut_before, "_bulk_docs")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.write(_id="a")
    assert documents.count() == 0


async def test_request_that_is_cut_after_is_applied(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    proxy.inject(cut_after, "_bulk_docs")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.write(_id="a")
    assert documents.count() == 1


async def test_answer_that_is_cut_within_is_incomplete(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    proxy.inject(cut_within)
    with pytest.raises(aiohttp.ClientPayloadError):
        await client.write(_id="a")
    assert documents.count() == 1


async def test_fault_happens_to_the_given_number_of_requests_and_in_order(
    client: Client, proxy: FaultProxy
) -> None:
    proxy.inject(answered(500), times=2)
    proxy.inject(answered(429, "busy"), "/a")
    assert [(await client.get(path)).status for path in ("", "", "", "/a", "/a")] == [
        500, 500, 200, 429, 404
    ]  # fmt: skip


async def test_fault_may_happen_for_ever_and_be_cleared(client: Client, proxy: FaultProxy) -> None:
    proxy.inject(answered(503), times=math.inf)
    assert {(await client.get()).status for _ in range(10)} == {503}
    proxy.clear()
    assert (await client.get()).status == 200


async def test_delayed_request_arrives_late(client: Client, proxy: FaultProxy) -> None:
    loop = asyncio.get_running_loop()
    proxy.inject(delayed(0.2))
    started_s = loop.time()
    assert (await client.get()).status == 200
    assert loop.time() - started_s >= 0.2


async def test_request_that_is_never_answered_does_not_keep_the_proxy_open(
    client: Client, proxy: FaultProxy
) -> None:
    proxy.inject(never_answer)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await client.get()


async def test_another_client_changes_a_document_before_it_is_written(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    rev = documents.put(_id="a/b", n=1)["_rev"]
    proxy.inject(changed_first(lambda document: document | {"n": document["n"] + 10}), "_bulk_docs")
    assert (await client.write(_id="a/b", _rev=rev, n=2))["error"] == "conflict"
    current = documents.get("a/b")
    assert current["n"] == 11
    assert (await client.write(_id="a/b", _rev=current["_rev"], n=3))["ok"] is True


async def test_saving_a_document_as_it_is_makes_a_conflict_too(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    rev = documents.put(_id="a", n=1)["_rev"]
    proxy.inject(changed_first(), times=3)
    for _ in range(3):
        assert (await client.write(_id="a", _rev=rev, n=2))["error"] == "conflict"
        rev = documents.get("a")["_rev"]
    assert rev.startswith("4-")
    assert documents.get("a")["n"] == 1


async def test_another_client_may_delete_or_create_a_document(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    rev = documents.put(_id="a", n=1)["_rev"]
    proxy.inject(changed_first(lambda document: document | {"_deleted": True}))
    assert (await client.write(_id="a", _rev=rev, n=2))["error"] == "conflict"
    proxy.inject(changed_first(lambda document: document | {"n": 7}))
    assert (await client.write(_id="b", n=2))["error"] == "conflict"
    assert documents.get("b")["n"] == 7
    assert documents.count() == 1


async def test_test_can_write_its_own_fault(client: Client, proxy: FaultProxy) -> None:
    async def teapot(request: Request) -> web.StreamResponse:
        names = json.loads((await request.forward()).text or "")
        return web.json_response({"was": sorted(names)}, status=418)

    proxy.inject(teapot)
    response = await client.get()
    assert response.status == 418
    assert "db_name" in (await response.json())["was"]


async def test_closed_proxy_refuses_connections_and_reopens_on_the_same_port(
    couchdb: CouchDBServer, database_url: str
) -> None:
    proxy = FaultProxy(database_url)
    async with aiohttp.ClientSession() as session:
        urls = []
        for _ in range(2):
            async with proxy, session.get(proxy.url) as response:
                assert response.status == 401
                urls.append(proxy.url)
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(proxy.url)
    assert urls[0] == urls[1]


async def test_unreachable_couchdb_looks_unreachable() -> None:
    async with FaultProxy("http://127.0.0.1:1/db") as proxy, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get(proxy.url)
