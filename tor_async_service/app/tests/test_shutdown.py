import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, never_answer
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests.processes import TIMEOUT_S, Service, running

SERVICE = "tor_async_service.tests.thing_service"
NO_DATABASE = ("--port", "0", "--database", "http://127.0.0.1:1/absent")
TIMEOUT = aiohttp.ClientTimeout(total=TIMEOUT_S)


async def get(url: str) -> aiohttp.ClientResponse:
    """The answer to a request on a connection of its own."""
    async with aiohttp.ClientSession(timeout=TIMEOUT) as client, client.get(url) as response:
        await response.read()
        return response


async def refuses_connections(url: str) -> bool:
    try:
        await get(f"{url}/_noop")
    except aiohttp.ClientConnectorError:
        return True
    return False


@pytest.fixture
async def delaying() -> AsyncIterator[Service]:
    """A service that goes on for a minute after SIGTERM."""
    async with running(SERVICE, *NO_DATABASE, "--shutdown-delay", "60") as service:
        yield service


async def test_service_accepts_connections_during_the_delay_but_is_not_ready(delaying: Service) -> None:
    url = await delaying.url()
    async with aiohttp.ClientSession(url, timeout=TIMEOUT) as client:
        async with client.get("/_noop") as response:
            assert "Connection" not in response.headers
        delaying.process.send_signal(signal.SIGTERM)
        await delaying.says("not ready any more; accepting connections for another 60 s")
        async with client.get("/_noop") as response:  # on its open connection
            assert response.status == 200
            assert response.headers["Connection"] == "close"
    for path, status in (("/_noop", 200), ("/livez", 200), ("/readyz", 503), ("/_health", 503)):
        response = await get(url + path)
        assert response.status == status
        assert response.headers["Connection"] == "close"


async def test_second_sigterm_ends_the_delay(delaying: Service) -> None:
    url = await delaying.url()
    delaying.process.send_signal(signal.SIGTERM)
    await delaying.says("not ready any more")
    delaying.process.send_signal(signal.SIGTERM)
    assert await delaying.status() == 0
    assert await refuses_connections(url)


async def test_sigint_has_no_delay(delaying: Service) -> None:
    await delaying.url()
    delaying.process.send_signal(signal.SIGINT)
    assert await delaying.status() == 0
    assert not [line for line in delaying.log if "not ready any more" in line]


async def test_service_stops_to_listen_after_the_delay() -> None:
    async with running(SERVICE, *NO_DATABASE, "--shutdown-delay", "0.2") as service:
        url = await service.url()
        service.process.send_signal(signal.SIGTERM)
        assert await service.status() == 0
        assert await refuses_connections(url)
    assert "accepting connections for another 0.2 s" in service.log[-2]
    assert "Shutting down ..." in service.log[-1]


@pytest.fixture
async def busy(proxy: FaultProxy) -> AsyncIterator[Service]:
    """A service with a request in flight that takes as long as the drain may."""
    in_flight = asyncio.Event()

    async def held_up(request: Request) -> None:
        in_flight.set()
        await never_answer(request)

    arguments = ("--port", "0", "--database", proxy.url, "--drain-timeout", "60", "--deadline", "60")
    async with running(SERVICE, *arguments) as service:
        url = await service.url()
        proxy.inject(held_up, "_view")
        waiting = asyncio.create_task(get(f"{url}/things"))
        await wait_until(in_flight.is_set, TIMEOUT_S)
        yield service
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
            await waiting


async def test_second_sigint_cuts_off_what_is_in_flight(busy: Service) -> None:
    busy.process.send_signal(signal.SIGINT)
    await busy.says("Shutting down ...")
    busy.process.send_signal(signal.SIGINT)
    assert await busy.status() == 0
    assert [line for line in busy.log if "1 requests were still in flight after" in line]


async def test_sigterm_cuts_nothing_off_however_often_it_comes(busy: Service) -> None:
    url = await busy.url()
    for _ in range(5):
        busy.process.send_signal(signal.SIGTERM)
        await busy.says("Shutting down ...")
    assert await refuses_connections(url)
    assert busy.process.returncode is None
    assert not [line for line in busy.log if "still in flight" in line]


async def test_drain_ends_after_its_timeout(proxy: FaultProxy) -> None:
    proxy.inject(never_answer, "_view")
    arguments = ("--port", "0", "--database", proxy.url, "--drain-timeout", "0.1")
    async with running(SERVICE, *arguments) as service:
        url = await service.url()
        async with aiohttp.ClientSession(url, timeout=TIMEOUT) as client:
            waiting = asyncio.create_task(client.get("/things"))
            await wait_until(lambda: any("_view" in request.path for request in proxy.requests))
            service.process.terminate()
            assert await service.status() == 0
            with pytest.raises(aiohttp.ClientError):
                await waiting
    assert "1 requests were still in flight after 0.1 s" in "\n".join(service.log)
