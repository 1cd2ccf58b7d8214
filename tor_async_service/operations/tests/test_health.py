import math

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_before
from tor_async_couchdb.tests.pretended_cluster import cluster_of
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.operations.checks import UnhealthyError
from tor_async_service.tests.serving import problem_of, serving
from tor_async_service.tests.thing_service import make_app


@pytest.mark.parametrize("path", ["/_health", "/v1.0/_health"])
@pytest.mark.parametrize("query", ["", "?quick=true", "?quick=false", "?quick=NO&x=1"])
async def test_health_is_green_and_its_link_keeps_the_query(
    client: aiohttp.ClientSession, path: str, query: str
) -> None:
    async with client.get(path + query) as response:
        assert response.status == 200
        href = str(response.url)
        assert href.endswith(path + query)
        assert await response.json() == {"status": "green", "links": {"self": {"href": href}}}
        assert response.headers["Location"] == href


@pytest.mark.parametrize("query", ["", "?quick=false"])
async def test_head_of_health_is_its_status(
    client: aiohttp.ClientSession, proxy: FaultProxy, query: str
) -> None:
    async with client.head(f"/_health{query}") as response:
        assert response.status == 200
    proxy.inject(cut_before, times=math.inf)
    async with client.head(f"/_health{query}") as response:
        assert response.status == (503 if query else 200)


@pytest.mark.parametrize("quick", ["true", "t", "YES", "y", "1", "True"])
async def test_quick_health_asks_no_other_service(lone_client: aiohttp.ClientSession, quick: str) -> None:
    async with lone_client.get("/_health", params={"quick": quick}) as response:
        assert response.status == 200


@pytest.mark.parametrize("quick", ["false", "f", "No", "n", "0", "FALSE"])
async def test_thorough_health_asks_couchdb(
    client: aiohttp.ClientSession, proxy: FaultProxy, quick: str
) -> None:
    async with client.get("/_health", params={"quick": quick}) as response:
        assert response.status == 200
    assert proxy.requests


@pytest.mark.parametrize("quick", ["", "maybe", "2", "on", "truee", "null"])
async def test_other_spelling_of_quick_is_refused(lone_client: aiohttp.ClientSession, quick: str) -> None:
    async with lone_client.get("/_health", params={"quick": quick}) as response:
        assert "quick must be one of true, t," in (await problem_of(response, 400))["detail"]


async def reason(database: Database) -> str:
    """Why the database is red."""
    async with serving(make_app(database)) as client, client.get("/_health?quick=false") as response:
        assert response.status == 503
        body = await response.json()
        assert body["status"] == "red"
        assert body["links"] == {"self": {"href": str(response.url)}}
        assert set(body["details"]) == {"database"}
        assert body["details"]["database"]["status"] == "red"
        return str(body["details"]["database"]["reason"])


async def test_each_failure_of_the_database_has_its_reason(couchdb: CouchDBServer, proxy: FaultProxy) -> None:
    username, password = couchdb.username, couchdb.password
    async with Database(f"{proxy.url}_absent", username=username, password=password) as gone:
        assert await reason(gone) == "database gone"
    async with Database(proxy.url, username=username, password="wrong") as refused:
        assert await reason(refused) == "credentials refused"
    async with Database("http://127.0.0.1:1/db") as unreachable:
        assert await reason(unreachable) == "unreachable"
    async with Database(proxy.url, username=username, password=password) as broken:
        proxy.inject(cut_before, times=math.inf)
        assert await reason(broken) == "unreachable"
        proxy.clear()
        proxy.inject(answered(500), times=math.inf)
        assert await reason(broken) == "not working"
        for answer in ("{}", "[]", "null", '{"ok":true}', '{"db_name":"x"}', "<html></html>"):
            proxy.clear()
            proxy.inject(answered(200, answer), times=math.inf)
            assert await reason(broken) == "unreachable"


async def test_cluster_with_a_majority_is_well(client: aiohttp.ClientSession, proxy: FaultProxy) -> None:
    proxy.inject(cluster_of(proxy.url), times=math.inf)
    async with client.get("/_health?quick=false") as response:
        assert response.status == 200
    assert [request.method for request in proxy.requests] == ["GET", "PUT"]


async def test_cluster_without_a_majority_is_red(database: Database, proxy: FaultProxy) -> None:
    proxy.inject(cluster_of(proxy.url, has_majority=False), times=math.inf)
    expected = "most nodes of the cluster are down, so no write can be acknowledged"
    assert await reason(database) == expected


async def test_health_recovers_with_the_database(client: aiohttp.ClientSession, proxy: FaultProxy) -> None:
    proxy.inject(answered(404, '{"error":"not_found","reason":"Database does not exist."}'))
    statuses = []
    for _ in range(2):
        async with client.get("/_health?quick=false") as response:
            statuses.append(response.status)
    assert statuses == [503, 200]


@pytest.mark.parametrize("quick", ["true", "false"])
async def test_draining_service_is_red(
    app: ServiceApplication, client: aiohttp.ClientSession, quick: str
) -> None:
    app.service.drain.announce()
    async with client.get("/_health", params={"quick": quick}) as response:
        assert response.status == 503
        assert (await response.json())["details"] == {"service": {"status": "red", "reason": "draining"}}
        assert response.headers["Connection"] == "close"


async def test_service_may_have_checks_of_its_own(database: Database, parts: Parts) -> None:
    async def is_hungry() -> None:
        raise UnhealthyError("no fruit left")

    app = ServiceApplication([], database, version="1", health_checks={"stomach": is_hungry}, parts=parts)
    async with serving(app) as client:
        async with client.get("/_health?quick=false") as response:
            assert response.status == 503
            details = (await response.json())["details"]
            assert details == {"stomach": {"status": "red", "reason": "no fruit left"}}
        async with client.get("/_health") as response:
            assert response.status == 200
