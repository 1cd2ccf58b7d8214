"""The latest state of every document reaches a client that reconnects, whatever was cut."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from samples.changes.model import fruit_changes
from samples.changes.service import make_app
from tor_async_couchdb import Database
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service import Parts
from tor_async_service.tests.serving import serving

TIMEOUT_S = 30.0
PATH = "/v1.0/changes"
MOMENT = "2015-06-17T19:54:02.133017+00:00"


class Browser:
    """What an EventSource does: it keeps the id of the last event, and sends it when it connects again."""

    def __init__(self) -> None:
        self.colors: dict[str, str] = {}
        self.event_id: str | None = None
        self.event_count = 0
        self.comment_count = 0

    @contextlib.asynccontextmanager
    async def connected(self, client: aiohttp.ClientSession) -> AsyncIterator[asyncio.Task[None]]:
        task = asyncio.create_task(self._read(client))
        try:
            yield task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, aiohttp.ClientError):
                await task

    async def _read(self, client: aiohttp.ClientSession) -> None:
        headers = {} if self.event_id is None else {"Last-Event-ID": self.event_id}
        async with client.get(PATH, headers=headers) as response:
            assert response.status == 200
            assert response.content_type == "text/event-stream"
            async for line in response.content:
                self._take(line.rstrip(b"\n"))

    def _take(self, line: bytes) -> None:
        name, _, value = line.partition(b": ")
        if name == b"id":
            self.event_id = value.decode()
        elif name == b"data":
            self.event_count += 1
            change = json.loads(value)
            self.colors.pop(change["document_id"], None)
            if change["fruit"] is not None:
                self.colors[change["document_id"]] = change["fruit"]["color"]
        elif line.startswith(b":"):
            self.comment_count += 1

    async def shows(self, colors: dict[str, str]) -> None:
        await wait_until(lambda: self.colors == colors, TIMEOUT_S)


class Fruits:
    """Fruits in the database, as another service writes them."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._stored: dict[str, dict[str, Any]] = {}

    def paint(self, name: str, color: str) -> None:
        fruit = self._stored.get(name, {"_id": name, "type": "fruit_v1.0", "fruit_id": name})
        times = {"created_on": MOMENT, "updated_on": MOMENT, "change_count": 0}
        self._stored[name] = self._documents.put(**fruit | times | {"color": color})

    def delete(self, name: str) -> None:
        self._documents.delete(self._stored.pop(name))

    @property
    def colors(self) -> dict[str, str]:
        return {name: fruit["color"] for name, fruit in self._stored.items()}


@pytest.fixture
def fruits(documents: Documents) -> Fruits:
    return Fruits(documents)


@contextlib.asynccontextmanager
async def changes_service(database: Database, parts: Parts) -> AsyncIterator[aiohttp.ClientSession]:
    app = make_app(database, parts)
    tasks = [asyncio.create_task(work()) for work in app.background_work]
    try:
        async with serving(app) as client:
            yield client
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_client_sees_what_is_there_what_comes_and_what_goes(
    database: Database, parts: Parts, fruits: Fruits, documents: Documents
) -> None:
    fruits.paint("apple", "green")
    documents.put(type="book_v1.0")
    browser = Browser()
    async with changes_service(database, parts) as client, browser.connected(client):
        await browser.shows({"apple": "green"})
        fruits.paint("apple", "red")
        fruits.paint("plum", "blue")
        await browser.shows({"apple": "red", "plum": "blue"})
        fruits.delete("apple")
        await browser.shows({"plum": "blue"})


async def test_client_that_reconnects_misses_nothing_wherever_it_was_cut(
    database: Database, parts: Parts, fruits: Fruits
) -> None:
    browser = Browser()
    for i in range(3):
        async with changes_service(database, parts) as client:  # each time another process, in effect
            for j in range(6):
                async with browser.connected(client):
                    fruits.paint(f"fruit-{j % 4}", f"color-{i}-{j}")
                    if j % 3 == 2:
                        await browser.shows(fruits.colors)
                fruits.paint("apple", f"color-{i}-{j}")  # while it is away
            fruits.delete("apple")
            async with browser.connected(client):
                await browser.shows(fruits.colors)


async def test_client_that_was_told_everything_is_not_told_again(
    database: Database, parts: Parts, fruits: Fruits
) -> None:
    for i in range(20):
        fruits.paint(f"fruit-{i}", "red")
    browser = Browser()
    async with changes_service(database, parts) as client:
        async with browser.connected(client):
            await browser.shows(fruits.colors)
        before = browser.event_count
        fruits.paint("fruit-0", "green")
        async with browser.connected(client):
            await browser.shows(fruits.colors)
    assert browser.event_count - before < 5


@pytest.mark.parametrize(
    "event_id",
    [
        "nonsense",
        "99999999-gone",
        "9" * 40,
        "%ff&since=now",
        *(pytest.param(start + "a" * 20_000, id=f"{start}, very long") for start in ("", "1-", "99999999-")),
        pytest.param("9" * 20_000, id="a very large number"),
        pytest.param("1-" + "a" * 7_000, id="as long as one of CouchDB's may be"),
    ],
)
async def test_id_that_is_of_no_database_stands_for_the_start(
    database: Database, parts: Parts, fruits: Fruits, event_id: str
) -> None:
    fruits.paint("apple", "green")
    browser = Browser()
    browser.event_id = event_id
    async with changes_service(database, parts) as client, browser.connected(client):
        await browser.shows({"apple": "green"})


@pytest.mark.parametrize("deep", ["[" * 1500 + "]" * 1500, '{"a":' * 1100 + "7" + "}" * 1100])
async def test_fruit_that_cannot_be_decoded_is_not_told_in_part(
    database: Database, documents: Documents, deep: str
) -> None:
    fruit = {
        "type": "fruit_v1.0",
        "fruit_id": "a",
        "color": "red",
        "created_on": MOMENT,
        "updated_on": MOMENT,
    }
    text = json.dumps(fruit)
    documents.put_json(
        f'{{"_id": "deep", "change_count": {deep}, {text[1:]}', f'{{"_id": "sound", {text[1:]}'
    )
    changes = (await database.revisions.changes(0, limit=10, timeout_s=1.0)).results
    assert [change.id for change in changes if change.error is not None] == ["deep"]
    assert [told.document_id for told in fruit_changes(changes)] == ["sound"]


async def test_page_is_served(database: Database, parts: Parts) -> None:
    async with changes_service(database, parts) as client, client.get("/v1.0/page") as response:
        assert response.status == 200
        assert "new EventSource('changes')" in await response.text()
