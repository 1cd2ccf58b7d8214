import asyncio
import math

import aiohttp
import pytest
from aiohttp import web

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, cut_before
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.operations.checks import UnhealthyError
from tor_async_service.tests.serving import problem_of, serving


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_service_that_is_well_is_alive_and_ready(client: aiohttp.ClientSession, path: str) -> None:
    async with client.get(path) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        assert await response.text() == "ok\n"
    async with client.head(path) as response:
        assert response.status == 200
    async with client.post(path) as response:
        await problem_of(response, 405)


async def test_verbose_probe_lists_the_checks_as_kube_apiserver_does(client: aiohttp.ClientSession) -> None:
    async with client.get("/livez?verbose") as response:
        assert await response.text() == "[+]ping ok\nlivez check passed\n"
    async with client.get("/readyz?verbose") as response:
        text = "[+]ping ok\n[+]shutdown ok\n[+]database ok\nreadyz check passed\n"
        assert await response.text() == text


async def test_service_without_its_database_is_alive_but_not_ready(
    lone_client: aiohttp.ClientSession,
) -> None:
    async with lone_client.get("/livez") as response:
        assert response.status == 200
    async with lone_client.get("/readyz") as response:
        assert response.status == 503
        text = "[+]ping ok\n[+]shutdown ok\n[-]database failed: unreachable\nreadyz check failed\n"
        assert await response.text() == text
    async with lone_client.head("/readyz") as response:
        assert response.status == 503


async def test_liveness_asks_no_other_service(client: aiohttp.ClientSession, proxy: FaultProxy) -> None:
    async with client.get("/livez?verbose") as response:
        assert response.status == 200
    assert not proxy.requests


async def test_excluded_check_does_not_count(lone_client: aiohttp.ClientSession) -> None:
    async with lone_client.get("/readyz?verbose&exclude=database&exclude=x") as response:
        assert response.status == 200
        assert (await response.text()).splitlines() == [
            "[+]ping ok",
            "[+]shutdown ok",
            "[+]database excluded: ok",
            "warn: there is no check 'x' to exclude",
            "readyz check passed",
        ]


async def test_service_that_ends_is_alive_but_not_ready(
    app: ServiceApplication, client: aiohttp.ClientSession
) -> None:
    async with client.get("/readyz") as response:
        assert response.status == 200
    app.service.drain.announce()
    async with client.get("/readyz") as response:  # at once: this is not remembered for a second
        assert response.status == 503
        assert "[-]shutdown failed: the service ends" in await response.text()
        assert response.headers["Connection"] == "close"
    async with client.get("/livez") as response:
        assert response.status == 200


async def test_checks_of_a_services_own_are_part_of_readiness(database: Database, parts: Parts) -> None:
    async def is_hungry() -> None:
        raise UnhealthyError("no fruit left")

    app = ServiceApplication([], database, version="1", health_checks={"stomach": is_hungry}, parts=parts)
    async with serving(app) as client, client.get("/readyz") as response:
        assert response.status == 503
        assert "[+]database ok\n[-]stomach failed: no fruit left\n" in await response.text()


async def test_many_probes_ask_the_database_once(
    app: ServiceApplication, client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    go_on = asyncio.Event()

    async def held_up(request: Request) -> web.StreamResponse:
        await go_on.wait()
        return await request.forward()

    proxy.inject(held_up)
    probes = [asyncio.create_task(client.get("/readyz")) for _ in range(20)]
    await wait_until(lambda: app.service.drain.in_flight_count == len(probes))
    go_on.set()
    assert [(await probe).status for probe in probes] == [200] * 20
    # On a cluster there is a PUT, too: only that shows a majority.
    assert [request.method for request in proxy.requests].count("GET") == 1


async def test_readiness_recovers_with_the_database(client: aiohttp.ClientSession, proxy: FaultProxy) -> None:
    proxy.inject(cut_before, times=math.inf)
    async with client.get("/readyz") as response:
        assert response.status == 503
    proxy.clear()
    async with asyncio.timeout(10):
        while response.status == 503:
            async with client.get("/readyz") as response:
                await asyncio.sleep(0.05)
    assert response.status == 200
