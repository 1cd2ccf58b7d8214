import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.traced import TracedDatabase
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.events import EventLog
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import problem_of

_TIMEOUT_S = 10.0


@pytest.fixture
def events() -> EventLog:
    return EventLog(max_listeners=2)


@pytest.fixture
def parts(metrics: ServiceMetrics, events: EventLog | None) -> Parts:
    return Parts(metrics=metrics, events=events)


@pytest.fixture
async def database(
    couchdb: CouchDBServer, proxy: FaultProxy, metrics: ServiceMetrics
) -> AsyncIterator[Database]:
    async with TracedDatabase(
        proxy.url, username=couchdb.username, password=couchdb.password, observer=metrics
    ) as database:
        yield database


class Reader:
    """Reads the events of a stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.events: list[dict[str, Any]] = []

    async def until(self, count: int) -> list[dict[str, Any]]:
        """All events, once so many requests have ended."""
        async with asyncio.timeout(_TIMEOUT_S):
            while sum(event["what"] == "end" for event in self.events) < count:
                line = await self._answer.content.readline()
                assert line, "the stream has ended"
                if line.startswith(b"data: "):
                    self.events += msgspec.json.decode(line.removeprefix(b"data: "))
        return self.events


async def test_steps_of_a_request_are_its_events(client: aiohttp.ClientSession) -> None:
    await client.post("/things", json={"key": "a"})
    async with client.get("/_events") as answer:
        assert answer.content_type == "text/event-stream"
        assert (await client.put("/things/a", json={"key": "a", "count": 1})).status == 200
        events = await Reader(answer).until(1)
    assert [event["what"] for event in events] == ["begin", "read", "write", "end"]
    begin, read, write, end = events
    assert (begin["method"], begin["path"]) == ("PUT", "/things/a")
    assert write["document_id"]
    assert end["status"] == 200
    assert end["duration_s"] >= read["duration_s"] + write["duration_s"]
    assert end["at_s"] >= begin["at_s"]


async def test_a_lost_race_is_a_conflict(client: aiohttp.ClientSession, proxy: FaultProxy) -> None:
    await client.post("/things", json={"key": "a"})
    async with client.get("/_events") as answer:
        changes = [client.put("/things/a", json={"key": "a", "count": count}) for count in range(2)]
        statuses = sorted([(await change).status for change in asyncio.as_completed(changes)])
        events = await Reader(answer).until(2)
    assert statuses == [200, 409]
    conflict = next(event for event in events if event["what"] == "conflict")
    end = next(each for each in events if each["what"] == "end" and each["request"] == conflict["request"])
    assert end["status"] == 409


async def test_requests_of_operators_are_no_events(client: aiohttp.ClientSession) -> None:
    async with client.get("/_events") as answer:
        await client.get("/_health")
        await client.get("/things/missing")
        events = await Reader(answer).until(1)
    assert {event.get("path") for event in events if event["what"] == "begin"} == {"/things/missing"}


@pytest.mark.parametrize("events", [None])
async def test_no_stream_without_the_option(lone_client: aiohttp.ClientSession) -> None:
    await problem_of(await lone_client.get("/_events"), 404)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example:8445"},
        {"Host": "127.0.0.1.attacker.example"},
        {"Origin": "http://attacker.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_pages_from_elsewhere_are_refused(
    client: aiohttp.ClientSession, headers: dict[str, str]
) -> None:
    await problem_of(await client.get("/_events", headers=headers), 403)


async def test_one_listener_too_many_is_refused(client: aiohttp.ClientSession, events: EventLog) -> None:
    async with client.get("/_events") as one, client.get("/_events") as two:
        assert (one.status, two.status) == (200, 200)
        await problem_of(await client.get("/_events"), 503)
    await wait_until(lambda: events.listener_count == 0, _TIMEOUT_S)


async def test_drain_ends_the_stream(client: aiohttp.ClientSession, app: ServiceApplication) -> None:
    async with client.get("/_events") as answer:
        app.service.drain.started.set()
        async with asyncio.timeout(_TIMEOUT_S):
            assert (await answer.content.read()).startswith(b"retry: ")
    assert await app.service.drain.wait(_TIMEOUT_S) == 0
