"""Streams of events: alive while nothing happens, ended by the drain, dropped if nobody reads them."""

import asyncio
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.events import EventStreamHandler, event, mark
from tor_async_service.tests.serving import serving

ENDLESS = "/endless"
TIMEOUT_S = 20.0


class Events:
    """Events that a test sends."""

    def __init__(self) -> None:
        self.texts: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.asked_count = 0
        self.closed = asyncio.Event()

    async def __call__(self) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                self.asked_count += 1
                text = await self.texts.get()
                if text is None:
                    return
                yield text
        finally:
            self.closed.set()


class Handler(EventStreamHandler):
    heartbeat_s = 0.05
    write_timeout_s = 0.2

    async def get(self) -> None:
        await self.write_events(self.settings["events"]())


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def app(events: Events) -> ServiceApplication:
    database = Database("http://127.0.0.1:1/never_asked")
    settings = {"events": events}
    return ServiceApplication(
        [("/events", Handler)], database, version="1.0.0", settings=settings, parts=Parts(deadline_s=0.1)
    )


@pytest.fixture
async def client(app: ServiceApplication) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(app) as client:
        yield client


async def line_that_starts(response: aiohttp.ClientResponse, start: bytes) -> bytes:
    async with asyncio.timeout(TIMEOUT_S):
        async for line in response.content:
            if line.startswith(start):
                return line.rstrip()
    raise AssertionError(f"the stream ended before {start!r}")


async def test_events_arrive_as_they_come_beyond_the_deadline_with_heartbeats(
    client: aiohttp.ClientSession, events: Events
) -> None:
    async with client.get("/events") as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        assert await line_that_starts(response, b"retry:")
        for _ in range(4):  # each after a heartbeat, so longer than the deadline of other requests
            assert await line_that_starts(response, b":") == b":"
        events.texts.put_nowait(event(b'{"n":1}') + mark("7-x"))
        assert await line_that_starts(response, b"data:") == b'data: {"n":1}'
        assert await line_that_starts(response, b"id:") == b"id: 7-x"


async def test_stream_ends_with_its_events(client: aiohttp.ClientSession, events: Events) -> None:
    events.texts.put_nowait(event(b"1"))
    events.texts.put_nowait(None)
    async with client.get("/events") as response:
        assert b"data: 1\n\n" in await response.read()


async def test_drain_ends_streams(
    client: aiohttp.ClientSession, app: ServiceApplication, events: Events
) -> None:
    async with client.get("/events") as response:
        await line_that_starts(response, b":")
        assert app.service.drain.in_flight_count == 1
        app.service.drain.announce()
        assert await app.service.drain.wait(TIMEOUT_S) == 0
        await response.read()  # it ends as it should, and is not cut off
    await events.closed.wait()


async def test_client_that_goes_ends_its_stream(
    client: aiohttp.ClientSession, app: ServiceApplication, events: Events
) -> None:
    async with client.get("/events") as response:
        await line_that_starts(response, b":")
    await wait_until(lambda: events.closed.is_set() and app.service.drain.in_flight_count == 0, TIMEOUT_S)


async def test_client_that_takes_nothing_is_dropped_and_its_events_are_not_collected(
    client: aiohttp.ClientSession, app: ServiceApplication, events: Events
) -> None:
    megabyte = event(b"x" * 1_000_000)
    for _ in range(100):
        events.texts.put_nowait(megabyte)
    url = urlsplit(str(client._base_url))
    with socket.create_connection((url.hostname, url.port), timeout=TIMEOUT_S) as reader:
        reader.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        await wait_until(lambda: events.closed.is_set() and app.service.drain.in_flight_count == 0, TIMEOUT_S)
        assert events.asked_count < 50  # what fits into the buffers of the kernel, and no more


async def test_head_has_no_events(client: aiohttp.ClientSession, events: Events) -> None:
    async with client.head("/events") as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
    assert events.asked_count == 0


async def test_last_event_id_is_that_of_the_client(app: ServiceApplication) -> None:
    class Echo(EventStreamHandler):
        async def get(self) -> None:
            self.write_json(self.last_event_id)

    echo = ServiceApplication([("/echo", Echo)], app.service.database, version="1.0.0")
    async with serving(echo) as client:
        for headers, seen in (({}, None), ({"Last-Event-ID": ""}, None), ({"Last-Event-ID": "5-a"}, "5-a")):
            async with client.get("/echo", headers=headers) as response:
                assert await response.json() == seen
