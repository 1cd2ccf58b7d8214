"""The mainline as it is used: as a process of its own."""

import asyncio
import contextlib
import math
import re
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, answered, never_answer
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests.processes import TIMEOUT_S, Service, running
from tor_async_service.tests.serving import problem_of

SERVICE = "tor_async_service.tests.thing_service"


@pytest.fixture
async def service(couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents) -> AsyncIterator[Service]:
    documents.put_thing("a")
    arguments = ("--port", "0", "--database", proxy.url, "--deadline", "15")
    async with running(SERVICE, *arguments, username=couchdb.username, password=couchdb.password) as service:
        yield service


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_lets_the_request_in_flight_finish_and_the_service_end_well(
    service: Service, proxy: FaultProxy, documents: Documents, number: signal.Signals
) -> None:
    in_flight, go_on = asyncio.Event(), asyncio.Event()

    async def held_up(request: Request) -> web.StreamResponse:
        in_flight.set()
        await go_on.wait()
        return await request.forward()

    url = await service.url()
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:
        async with client.get("/things/a") as response:
            assert response.status == 200
        proxy.inject(held_up, "_bulk_docs")
        changing = asyncio.create_task(client.put("/things/a", json={"key": "a", "count": 7}))
        async with asyncio.timeout(TIMEOUT_S):
            await in_flight.wait()
        service.process.send_signal(number)
        await wait_until(lambda: "Shutting down ..." in service.log[-1], TIMEOUT_S)
        with pytest.raises(aiohttp.ClientConnectorError):
            async with aiohttp.ClientSession() as other:
                await other.get(url)
        go_on.set()
        async with asyncio.timeout(TIMEOUT_S), await changing as response:
            assert response.status == 200
            assert (await response.json())["count"] == 7
    assert await service.status() == 0
    assert not any("Traceback" in line for line in service.log)


async def test_draining_service_tells_a_client_that_it_has_that_it_is_red(
    service: Service, proxy: FaultProxy
) -> None:
    url = await service.url()
    async with aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client:
        async with client.get("/_health") as response:
            assert response.status == 200
        proxy.inject(never_answer)
        async with aiohttp.ClientSession(url) as other:
            waiting = asyncio.create_task(other.get("/things"))
            await wait_until(lambda: bool(proxy.requests))
            service.process.terminate()
            await wait_until(lambda: "Shutting down ..." in service.log[-1], TIMEOUT_S)
            async with client.get("/_health") as response:  # by the connection that it has
                assert response.status == 503
                assert "draining" in await response.text()
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting


async def test_log_is_utc_on_standard_output_and_has_no_password(
    couchdb: CouchDBServer, proxy: FaultProxy
) -> None:
    url = proxy.url.replace("://", "://somebody:s3cr3t@")
    async with running(SERVICE, "--port", "0", "--database", url, username=couchdb.username) as service:
        async with aiohttp.ClientSession(await service.url()) as client, client.get("/things/a") as response:
            await problem_of(response, 503)
        service.process.terminate()
        assert await service.status() == 0
    form = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00 (INFO|WARNING|ERROR) \w+ .+"
    assert [line for line in service.log if not re.fullmatch(form, line)] == []
    assert any("CouchDB took" in line for line in service.log)
    assert "s3cr3t" not in "\n".join(service.log)


async def test_port_in_use_is_one_line_and_status_1(proxy: FaultProxy) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with running(SERVICE, "--port", str(port), "--database", proxy.url) as service:
            assert await service.status() == 1
    assert service.log == [f"can't listen on 127.0.0.1 port {port}: Address already in use"]


async def test_address_that_is_not_ours_is_one_line_and_status_1(proxy: FaultProxy) -> None:
    async with running(SERVICE, "--ip", "192.0.2.1", "--port", "0", "--database", proxy.url) as service:
        assert await service.status() == 1
    (line,) = service.log
    assert line.startswith("can't listen on 192.0.2.1 port 0: ")


async def test_wrong_option_is_status_2(proxy: FaultProxy) -> None:
    async with running(SERVICE, "--deadline", "soon") as service:
        assert await service.status() == 2
    assert "argument --deadline" in service.log[-1]


async def test_service_starts_without_its_database_and_recovers_with_it(
    couchdb: CouchDBServer, database_url: str, documents: Documents
) -> None:
    documents.put_thing("a")
    proxy = FaultProxy(database_url)
    async with proxy:
        url = proxy.url
    async with running(
        SERVICE, "--port", "0", "--database", url, username=couchdb.username, password=couchdb.password
    ) as service:
        async with aiohttp.ClientSession(await service.url()) as client:
            for _ in range(2):
                async with client.get("/things/a") as response:
                    await problem_of(response, 503)
                    assert response.headers["Retry-After"] == "1"
                async with client.get("/_health?quick=false") as response:
                    assert response.status == 503
                async with proxy:
                    async with client.get("/things/a") as response:
                        assert response.status == 200
                    async with client.get("/_health?quick=false") as response:
                        assert response.status == 200
            proxy.inject(answered(500), times=math.inf)
        service.process.terminate()
        assert await service.status() == 0


FAILING = """
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.run import run

async def fail():
    raise RuntimeError("background work failed")

def make_app(database, parts):
    return ServiceApplication([], database, version="1", background_work=[fail], parts=parts)

run(make_app, "x")
"""


async def test_service_whose_background_work_fails_ends_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "failing_service.py").write_text(FAILING)
    async with running("failing_service", "--port", "0", folder=tmp_path) as service:
        assert await service.status() == 1
    assert service.log[-1] == "RuntimeError: background work failed"
