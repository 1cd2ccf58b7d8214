"""Services behind a real load balancer under load: no client notices that one of them is replaced."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, never_answer
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.tests import haproxy
from tor_async_service.tests.fleet import CLIENT_COUNT, Fleet, Load
from tor_async_service.tests.processes import running

pytestmark = pytest.mark.skipif(
    haproxy.PROGRAM is None, reason="haproxy is not installed; on Debian, apt-get install haproxy"
)

TIMES = pytest.mark.parametrize("times", [1, pytest.param(10, marks=pytest.mark.long)])


def fleet_of_things(database_url: str, couchdb: CouchDBServer, stack: contextlib.AsyncExitStack) -> Fleet:
    """Three processes of the service of things."""
    arguments = ("--database", database_url, "--shutdown-delay", "60")
    return Fleet(
        lambda port: running(
            "tor_async_service.tests.thing_service",
            *("--port", str(port), *arguments),
            username=couchdb.username,
            password=couchdb.password,
        ),
        stack,
    )


class LoadOfThings(Load):
    """Clients that create, change, read and list things."""

    def __init__(self, client: aiohttp.ClientSession) -> None:
        super().__init__(client)
        self.counts: dict[str, int] = {}

    async def work(self, number: int) -> None:
        for thing in itertools.count():
            key = f"{number}-{thing}"
            if not await self._count(key, "POST", "/things", 0):
                continue
            for count in range(1, 4):
                await self._count(key, "PUT", f"/things/{key}", count)
                await self.read(f"/things/{key}")
            await self.read("/things?limit=100")

    async def read(self, path: str, *, to: str = "") -> bool:
        """Whether a read succeeded."""
        response = await self.request("GET", path, to=to)
        assert response is None or (await response.text()).endswith("\n")
        return response is not None

    async def _count(self, key: str, method: str, path: str, count: int) -> bool:
        """Whether the thing has this count now."""
        is_done = await self.request(method, path, {"key": key, "count": count}) is not None
        if is_done:
            self.counts[key] = count
        return is_done


@pytest.fixture
async def stack() -> AsyncIterator[contextlib.AsyncExitStack]:
    async with contextlib.AsyncExitStack() as stack:
        yield stack


@TIMES
async def test_rolling_restart_fails_no_request(
    times: int,
    couchdb: CouchDBServer,
    database_url: str,
    documents: Documents,
    stack: contextlib.AsyncExitStack,
    tmp_path: Path,
) -> None:
    fleet = fleet_of_things(database_url, couchdb, stack)
    async with fleet.under(LoadOfThings, tmp_path) as load:
        for _ in range(times):
            await fleet.restart_one_by_one(load)
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
    fleet = fleet_of_things(proxy.url, couchdb, stack)
    async with fleet.under(LoadOfThings, tmp_path) as load:
        for number in range(times):
            if number:
                await fleet.start("b")
                await load.reaches(["a", "b", "c"])
            failed_before = len(load.failures)
            proxy.inject(never_answer, "in-flight")
            victim = asyncio.create_task(load.read("/things/in-flight", to="b"))
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
