"""Services behind a real load balancer under load: no client notices that one of them is replaced."""

import asyncio
import contextlib
import dataclasses
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, never_answer
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests import haproxy
from tor_async_service.tests.processes import TIMEOUT_S, Service, running

pytestmark = pytest.mark.skipif(
    haproxy.PROGRAM is None, reason="haproxy is not installed; on Debian, apt-get install haproxy"
)

NAMES = ("a", "b", "c")
CLIENT_COUNT = 6
PAUSE_S = 0.02  # what is under test is the restart, not the machine
TIMES = pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])


@dataclasses.dataclass(frozen=True)
class Failure:
    """A request that got no answer, or a wrong one, from the service `served_by` if that is known."""

    request: str
    started_s: float
    served_by: str | None
    reason: str


class UnansweredError(aiohttp.ClientError):
    """The connection broke."""


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keeps aiohttp from sending a request again, which would hide a failure."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise UnansweredError from error


class Fleet:
    """Three processes of a service, each on a port that it gets again after a restart."""

    def __init__(self, database_url: str, couchdb: CouchDBServer, stack: contextlib.AsyncExitStack) -> None:
        self._arguments = ("--database", database_url, "--shutdown-delay", "60")
        self._couchdb = couchdb
        self._stack = stack
        reserved = {name: stack.enter_context(haproxy.reserved_port()) for name in NAMES}
        self.ports = {name: port.getsockname()[1] for name, port in reserved.items()}
        self.services: dict[str, Service] = {}

    async def start(self, *names: str) -> None:
        for name in names:
            service = running(
                "tor_async_service.tests.thing_service",
                *("--port", str(self.ports[name]), *self._arguments),
                username=self._couchdb.username,
                password=self._couchdb.password,
            )
            self.services[name] = await self._stack.enter_async_context(service)
        for name in names:
            await self.services[name].url()

    async def stop(self, name: str, load: "Load") -> None:
        """Ends a process; its delay ends when the load balancer has noticed."""
        service = self.services[name]
        service.process.terminate()
        await load.avoids(name)
        service.process.terminate()
        assert await service.status() == 0
        assert not [line for line in service.log if "in flight" in line]

    async def kill(self, name: str) -> None:
        self.services[name].process.kill()
        await self.services[name].status()


class Load:
    """Clients that create, change, read and list things, one request after the other."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        self._client = client
        self.served = dict.fromkeys(NAMES, 0)
        self.failures: list[Failure] = []
        self.counts: dict[str, int] = {}
        self._numbers = itertools.count()
        self._in_flight: set[int] = set()

    async def run(self, number: int) -> None:
        """Makes requests until it is cancelled."""
        for thing in itertools.count():
            key = f"{number}-{thing}"
            if not await self._count(key, "POST", "/things", 0):
                continue
            for count in range(1, 4):
                await self._count(key, "PUT", f"/things/{key}", count)
                await self.request("GET", f"/things/{key}")
            await self.request("GET", "/things?limit=100")

    async def _count(self, key: str, method: str, path: str, count: int) -> bool:
        """Whether the thing has this count now."""
        is_done = await self.request(method, path, {"key": key, "count": count})
        if is_done:
            self.counts[key] = count
        return is_done

    async def request(self, method: str, path: str, body: object = None, *, to: str = "") -> bool:
        """Whether a request succeeded, which goes to the service `to` or to any."""
        await asyncio.sleep(PAUSE_S)
        number, started_s, served_by = next(self._numbers), time.monotonic(), None
        self._in_flight.add(number)
        try:
            async with self._client.request(method, path, json=body, headers={"To": to}) as response:
                served_by = response.headers.get("Served-By")
                text = await response.text()
                response.raise_for_status()
        except (aiohttp.ClientError, TimeoutError) as error:
            self.failures.append(Failure(f"{method} {path}", started_s, served_by, f"{error!r}"))
            return False
        finally:
            self._in_flight.remove(number)
        assert text.endswith("\n")
        self.served[served_by or ""] += 1
        return True

    async def avoids(self, name: str) -> None:
        """Returns once the load balancer sends this service no request, and has sent it none that is left."""
        async with asyncio.timeout(TIMEOUT_S):
            is_up = True
            while is_up:
                await asyncio.sleep(PAUSE_S)
                is_up = await self._is_up(name)
        begun = set(self._in_flight)
        await wait_until(lambda: begun.isdisjoint(self._in_flight), TIMEOUT_S)

    async def _is_up(self, name: str) -> bool:
        async with self._client.get(f"/up/{name}") as response:
            return response.status == 200

    async def reaches(self, names: Sequence[str]) -> None:
        """Returns once each of these services has answered another request."""
        before = dict(self.served)
        await wait_until(lambda: all(self.served[name] > before[name] for name in names), TIMEOUT_S)


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@contextlib.asynccontextmanager
async def loaded(fleet: Fleet, folder: Path) -> AsyncIterator[Load]:
    """The load on a fleet, once each process has a part of it. It ends with the block."""
    await fleet.start(*NAMES)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    async with (
        haproxy.balanced(fleet.ports, folder) as url,
        aiohttp.ClientSession(url, timeout=timeout, middlewares=[send_once]) as client,
    ):
        load = Load(client)
        async with asyncio.TaskGroup() as group:
            clients = [group.create_task(load.run(number)) for number in range(CLIENT_COUNT)]
            await load.reaches(NAMES)
            yield load
            for running_client in clients:
                running_client.cancel()


@TIMES
async def test_rolling_restart_fails_no_request(
    times: int,
    couchdb: CouchDBServer,
    database_url: str,
    documents: Documents,
    stack: contextlib.AsyncExitStack,
    tmp_path: Path,
) -> None:
    fleet = Fleet(database_url, couchdb, stack)
    async with loaded(fleet, tmp_path) as load:
        for _ in range(times):
            for name in NAMES:
                await fleet.stop(name, load)
                await fleet.start(name)
                await load.reaches(NAMES)
    assert load.failures == []
    stored = {thing["key"]: thing["count"] for thing in documents.all() if "key" in thing}
    # The last change of each client may have been made and not answered when the load ended.
    assert [key for key, count in load.counts.items() if stored.get(key, -1) < count] == []


@TIMES
async def test_killed_process_fails_only_the_requests_that_it_had(
    times: int,
    couchdb: CouchDBServer,
    proxy: FaultProxy,
    documents: Documents,
    stack: contextlib.AsyncExitStack,
    tmp_path: Path,
) -> None:
    fleet = Fleet(proxy.url, couchdb, stack)
    async with loaded(fleet, tmp_path) as load:
        for number in range(times):
            if number:
                await fleet.start("b")
                await load.reaches(NAMES)
            failed_before = len(load.failures)
            proxy.inject(never_answer, "in-flight")
            victim = asyncio.create_task(load.request("GET", "/things/in-flight", to="b"))
            await wait_until(lambda: any("in-flight" in request.path for request in proxy.requests))
            await fleet.kill("b")
            killed_s = time.monotonic()
            assert not await victim
            await load.reaches(["a", "c"])
            failures = load.failures[failed_before:]
            # haproxy closes the connection of a client that used it before: it may send its request again.
            assert {failure.served_by for failure in failures} <= {"b", None}
            assert len(failures) <= CLIENT_COUNT + 1
            assert [failure for failure in failures if failure.started_s > killed_s] == []
            proxy.requests.clear()
