import asyncio
import contextlib
import logging
import math
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest
import tornado.netutil

from tor_async_couchdb.testing.fault_proxy import FaultProxy, never_answer
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import ServiceApplication
from tor_async_service.app.server import serve
from tor_async_service.app.shutdown import Shutdown, ShutdownTimes
from tor_async_service.tests.processes import TIMEOUT_S, running

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


class Ending:
    """A service that listens at `url`, and ends when `shutdown` says so."""

    def __init__(self, app: ServiceApplication, times: ShutdownTimes) -> None:
        sockets = tornado.netutil.bind_sockets(0, "127.0.0.1")
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self.app = app
        self.shutdown = Shutdown(app.service.drain, times)
        self.server = serve(app, sockets)
        self.ended = asyncio.create_task(self._run())

    async def _run(self) -> None:
        await self.shutdown.wanted()
        await self.shutdown.run(self.server)

    async def signalled(self, *numbers: signal.Signals) -> None:
        """Returns once the service knows of these signals."""
        for number in numbers:
            self.shutdown.receive(number)
        await wait_until(lambda: self.app.service.drain.is_draining)

    async def end(self) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            await self.ended


@contextlib.asynccontextmanager
async def ending(
    app: ServiceApplication, *, delay_s: float, drain_timeout_s: float = 60.0
) -> AsyncIterator[Ending]:
    service = Ending(app, ShutdownTimes(delay_s, drain_timeout_s))
    yield service
    await service.signalled(signal.SIGINT, signal.SIGINT)
    await service.end()
    assert await refuses_connections(service.url)


async def test_process_accepts_connections_between_the_first_sigterm_and_the_second() -> None:
    database = "http://127.0.0.1:1/absent"
    arguments = ("--port", "0", "--database", database, "--shutdown-delay", "60")
    async with running("tor_async_service.tests.thing_service", *arguments) as service:
        url = await service.url()
        service.process.send_signal(signal.SIGTERM)
        await service.says("not ready any more; accepting connections for another 60 s")
        assert (await get(f"{url}/_noop")).status == 200
        service.process.send_signal(signal.SIGTERM)
        assert await service.status() == 0
        assert await refuses_connections(url)


async def test_service_is_not_ready_during_the_delay_and_closes_connections(app: ServiceApplication) -> None:
    async with ending(app, delay_s=60) as service:
        async with aiohttp.ClientSession(service.url, timeout=TIMEOUT) as client:
            async with client.get("/_noop") as response:
                assert "Connection" not in response.headers
            await service.signalled(signal.SIGTERM)
            async with client.get("/_noop") as response:  # on its open connection
                assert response.status == 200
                assert response.headers["Connection"] == "close"
        for path, status in (("/_noop", 200), ("/livez", 200), ("/readyz", 503), ("/_health", 503)):
            response = await get(service.url + path)
            assert response.status == status
            assert response.headers["Connection"] == "close"


async def test_health_checks_say_why_a_service_ends_by_itself(app: ServiceApplication) -> None:
    async with ending(app, delay_s=60) as service:
        service.shutdown.begin("its background work feed.run has ended")
        await wait_until(lambda: service.app.service.drain.is_draining)
        for path in ("/readyz", "/_health"):
            response = await get(service.url + path)
            assert response.status == 503
            assert "its background work feed.run has ended" in await response.text()


async def test_second_sigterm_ends_the_delay(app: ServiceApplication) -> None:
    async with ending(app, delay_s=60) as service:
        await service.signalled(signal.SIGTERM, signal.SIGTERM)
        await service.end()


async def test_sigint_has_no_delay(app: ServiceApplication) -> None:
    async with ending(app, delay_s=60) as service:
        await service.signalled(signal.SIGINT)
        await service.end()


async def test_sigint_ends_the_delay_of_a_sigterm(app: ServiceApplication) -> None:
    async with ending(app, delay_s=60) as service:
        await service.signalled(signal.SIGTERM, signal.SIGINT)
        await service.end()


async def test_service_stops_to_listen_after_the_delay(app: ServiceApplication) -> None:
    async with ending(app, delay_s=0.1) as service:
        await service.signalled(signal.SIGTERM)
        await service.end()


@contextlib.asynccontextmanager
async def request_in_flight(service: Ending, proxy: FaultProxy) -> AsyncIterator[None]:
    """A request that is not answered before the service ends."""
    proxy.inject(never_answer, "_view", times=math.inf)
    waiting = asyncio.create_task(get(f"{service.url}/things"))
    await wait_until(lambda: service.app.service.drain.in_flight_count > 0)
    yield
    with pytest.raises(aiohttp.ClientError):
        await waiting


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, "tor_async_service.app.shutdown")
    return caplog


async def test_second_sigint_cuts_off_what_is_in_flight(
    app: ServiceApplication, proxy: FaultProxy, log: pytest.LogCaptureFixture
) -> None:
    async with ending(app, delay_s=60) as service, request_in_flight(service, proxy):
        await service.signalled(signal.SIGINT)
        await wait_until(lambda: "Shutting down ..." in log.text)
        assert not service.ended.done()
        await service.signalled(signal.SIGINT)
        await service.end()
    assert "1 requests were still in flight after" in log.text


async def test_sigterm_cuts_nothing_off_however_often_it_comes(
    app: ServiceApplication, proxy: FaultProxy, log: pytest.LogCaptureFixture
) -> None:
    async with ending(app, delay_s=60) as service, request_in_flight(service, proxy):
        await service.signalled(*[signal.SIGTERM] * 5)
        await wait_until(lambda: "Shutting down ..." in log.text)
        await service.signalled(*[signal.SIGTERM] * 5)
        assert await refuses_connections(service.url)
        assert not service.ended.done()
        await service.signalled(signal.SIGINT, signal.SIGINT)


async def test_drain_ends_after_its_timeout(
    app: ServiceApplication, proxy: FaultProxy, log: pytest.LogCaptureFixture
) -> None:
    async with ending(app, delay_s=0, drain_timeout_s=0.1) as service, request_in_flight(service, proxy):
        await service.signalled(signal.SIGTERM)
        await service.end()
    assert "1 requests were still in flight after 0.1 s" in log.text
