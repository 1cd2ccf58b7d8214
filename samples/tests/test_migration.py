"""What crud/migration promises: two versions of fruits and of the service side by side, and nothing lost."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import aiohttp
import pytest

from samples.crud.migration.model import VERSIONS, ExpandedFruitV2, Fruit, FruitV1, FruitV2
from samples.crud.migration.service import make_app
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.migrating import migrate
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.revision import child
from tor_async_service.app.application import Parts
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.processes import running
from tor_async_service.tests.serving import problem_of, serving

FRUITS = "/v1.0/fruits"
TIMEOUT_S = 120.0
MODULE = "samples.crud.migration.service"
COLORS = ("red", "dark red", "very dark red", " red", "red ", " ", "  ", "\u00a0x", "a  b")

Client = aiohttp.ClientSession


class Services:
    """A service of each version on one database; they share nothing else, as processes don't."""

    def __init__(self, clients: dict[str, Client]) -> None:
        self.clients = clients

    async def ask(self, version: str, method: str, path: str, color: str | None = None) -> dict[str, Any]:
        """The fruit that the service of a version answers with; fails if it doesn't."""
        body = None if color is None else {"color": color}
        async with self.clients[version].request(method, path, json=body) as response:
            assert response.status in (200, 201), await response.text()
            fruit: dict[str, Any] = {} if method == "DELETE" else await response.json()
            return fruit

    async def new(self, version: str, color: str = "dark red") -> str:
        """The path of a new fruit."""
        return f"{FRUITS}/{(await self.ask(version, 'POST', FRUITS, color))['fruit_id']}"


@pytest.fixture
async def services(database: Database, connect: Connect) -> AsyncIterator[Services]:
    async with contextlib.AsyncExitStack() as stack:
        clients = {}
        for name, version in VERSIONS.items():
            app = make_app(connect(), version, Parts(deadline_s=20.0, metrics=ServiceMetrics()))
            clients[name] = await stack.enter_async_context(serving(app))
        yield Services(clients)


@pytest.fixture
def stored(documents: Documents) -> Callable[[str], dict[str, Any]]:
    """Returns the document of the fruit at a path."""

    def find(path: str) -> dict[str, Any]:
        found = [doc for doc in documents.all() if path.endswith(str(doc.get("fruit_id")))]
        assert len(found) == 1
        return found[0]

    return find


@pytest.fixture
def rewrite(
    couchdb: CouchDBServer, database: Database, documents: Documents
) -> Callable[..., tuple[int, int]]:
    """Migrates all documents to a version; returns how many were written and how many current."""

    def run(version: type[Fruit], **options: Any) -> tuple[int, int]:
        credentials = UserPassword(couchdb.username, couchdb.password)
        with AdminClient(couchdb.url, credentials=credentials) as server:
            result = migrate(
                AdminDatabase(server, documents.name), version, lambda done, total: None, **options
            )
        assert not result.refused
        return result.written, result.current

    return run


@pytest.mark.parametrize("color", COLORS)
def test_every_color_survives_the_way_there_and_back(color: str) -> None:
    old = FruitV1.create(color)
    expanded = ExpandedFruitV2.from_doc(old.as_doc_for_store())
    new = FruitV2.from_doc(expanded.as_doc_for_store())
    assert FruitV1.from_doc(expanded.as_doc_for_store()) == old
    assert ExpandedFruitV2.from_doc(new.as_doc_for_store()) == expanded
    assert old.representation() == expanded.representation() == new.representation()
    assert new.change_color(color).representation()["change_count"] == 1


async def test_old_and_new_processes_change_the_same_fruit_in_turn(
    services: Services, stored: Callable[[str], dict[str, Any]]
) -> None:
    path = await services.new("1")
    for count, (version, color) in enumerate(
        (version, color) for color in ("pale blue", "red", "deep dark green") for version in ("2", "1", "2")
    ):
        before = await services.ask(version, "GET", path)
        changed = await services.ask(version, "PUT", path, color)
        assert (changed["color"], changed["change_count"]) == (color, count + 1)
        assert changed["updated_on"] > before["updated_on"]
        assert stored(path)["type"] == VERSIONS[version].type_name()
        for reader in VERSIONS:
            assert await services.ask(reader, "GET", path) == changed
            async with services.clients[reader].get(FRUITS) as response:
                assert await response.json() == [changed]
    await services.ask("1", "DELETE", path)


async def test_fruit_is_read_as_version_2_and_written_as_it_only_by_a_change(
    services: Services, stored: Callable[[str], dict[str, Any]]
) -> None:
    path = await services.new("1")
    await services.ask("2", "GET", path)
    assert stored(path)["type"] == "fruit_v1.0"
    await services.ask("2", "PUT", path, "pale blue")
    doc = stored(path)
    assert (doc["type"], doc["shade"], doc["hue"], doc["color"]) == (
        "fruit_v2.0",
        "pale",
        "blue",
        "pale blue",
    )
    assert doc["changed_on"] == doc["updated_on"]


async def test_going_back_is_possible_until_the_last_step(
    services: Services,
    stored: Callable[[str], dict[str, Any]],
    rewrite: Callable[..., tuple[int, int]],
) -> None:
    paths = [await services.new(version) for version in ("1", "2", "2-only")]
    old, expanded, contracted = paths
    async with services.clients["1"].get(contracted) as response:
        await problem_of(response, 502)
    before = [await services.ask("2", "GET", path) for path in paths]
    for version, written in (
        (ExpandedFruitV2, 2),  # the one that is contracted gets back what version 1 needs
        (ExpandedFruitV2, 0),
        (FruitV1, 3),
        (FruitV2, 3),
        (ExpandedFruitV2, 3),
        (FruitV2, 3),
    ):
        assert rewrite(version)[0] == written
        assert {stored(path)["type"] for path in paths} == {version.type_name()}
        assert [await services.ask("2", "GET", path) for path in paths] == before
    assert not {"color", "updated_on"} & set(stored(old))
    async with services.clients["1"].put(expanded, json={"color": "red"}) as response:
        await problem_of(response, 502)
    assert "color" not in stored(expanded)


@pytest.mark.parametrize("reader", VERSIONS)
@pytest.mark.parametrize("writers", [(FruitV1, ExpandedFruitV2), (ExpandedFruitV2, FruitV1)])
async def test_conflict_between_a_leaf_of_each_version_merges_to_the_later_one(
    services: Services,
    database: Database,
    documents: Documents,
    stored: Callable[[str], dict[str, Any]],
    reader: str,
    writers: tuple[type[Fruit], type[Fruit]],
) -> None:
    path = await services.new("1")
    base = stored(path)
    for writer, color in zip(writers, ("pale blue", "dark green"), strict=True):
        leaf = writer.from_doc(base).change_color(color).as_doc_for_store()
        await database.revisions.insert([child(base, leaf)])
    assert "_conflicts" in documents.get(base["_id"], conflicts="true")
    merged = await services.ask(reader, "GET", path)
    assert merged["color"] == "dark green"
    assert "_conflicts" not in documents.get(base["_id"], conflicts="true")
    assert await services.ask("2", "GET", path) == merged


class Router:
    """Sends each request to one of the processes in turn, as a load balancer does, and counts."""

    def __init__(self) -> None:
        self._in_flight: dict[Client, int] = {}
        self._clients: list[Client] = []
        self.sent = 0
        self.failures: list[str] = []

    @contextlib.asynccontextmanager
    async def with_process(self, client: Client) -> AsyncIterator[None]:
        """Sends requests to a process; at the end it sends no more, and waits for the answers."""
        self._clients.append(client)
        self._in_flight[client] = 0
        yield
        self._clients.remove(client)
        await wait_until(lambda: self._in_flight[client] == 0, TIMEOUT_S)

    async def succeeds(self, method: str, path: str, color: str | None = None) -> bool:
        """Whether a request was answered with 200."""
        self.sent += 1
        client = self._clients[self.sent % len(self._clients)]
        self._in_flight[client] += 1
        try:
            async with client.request(
                method, path, json=None if color is None else {"color": color}
            ) as response:
                if response.status == 200:
                    return True
                self.failures.append(await response.text())
        except aiohttp.ClientError as error:
            self.failures.append(repr(error))
        finally:
            self._in_flight[client] -= 1
        return False

    async def change_and_read(self, path: str, acknowledged: dict[str, int], is_over: asyncio.Event) -> None:
        """Changes and reads a fruit again and again, and counts the changes that were acknowledged."""
        while not is_over.is_set():
            if await self.succeeds("PUT", path, f"shade {self.sent}"):
                acknowledged[path] += 1
            await self.succeeds("GET", path)

    async def sends(self, count: int) -> None:
        """Returns once it has sent so many more requests."""
        goal = self.sent + count
        await wait_until(lambda: self.sent >= goal, TIMEOUT_S)


Start = Callable[[str], contextlib.AbstractAsyncContextManager[Client]]


class Place:
    """Where a process runs; an upgrade starts the new one before it ends the old one."""

    def __init__(self, start: Start, router: Router) -> None:
        self._start = start
        self._router = router
        self._process = contextlib.AsyncExitStack()

    async def upgrade_to(self, version: str) -> None:
        process = contextlib.AsyncExitStack()
        client = await process.enter_async_context(self._start(version))
        await process.enter_async_context(self._router.with_process(client))
        await self.end()
        self._process = process

    async def end(self) -> None:
        await self._process.aclose()


async def upgraded_under_load(
    start: Start,
    migrated: Callable[[type[Fruit]], Awaitable[None]],
    paths: Sequence[str],
    steps: Sequence[str],
    dwell: int,
) -> tuple[Router, dict[str, int]]:
    """Replaces two processes of "1" one by one by those of each step, and migrates all fruits after each.

    Meanwhile two clients change and read each fruit; there are at least `dwell` requests between two steps.
    Returns how often each fruit was changed as its clients know it.
    """
    router, acknowledged, is_over = Router(), dict.fromkeys(paths, 0), asyncio.Event()
    places = [Place(start, router), Place(start, router)]
    for place in places:
        await place.upgrade_to("1")
    async with asyncio.TaskGroup() as group:
        for path in (*paths, *paths):
            group.create_task(router.change_and_read(path, acknowledged, is_over))
        for version in steps:
            for place in places:
                await router.sends(dwell)
                await place.upgrade_to(version)
            await migrated(VERSIONS[version])
        await router.sends(dwell)
        is_over.set()
    for place in places:
        await place.end()
    return router, acknowledged


async def assert_nothing_is_lost(
    services: Services,
    documents: Documents,
    rewrite: Callable[..., tuple[int, int]],
    start: Start,
    *,
    steps: Sequence[str],
    fruit_count: int,
    dwell: int,
    max_writes_per_s: float,
) -> None:
    """Upgrades under load; fails if a request fails or a change is lost or doubled."""
    paths = [await services.new("1") for _ in range(fruit_count)]

    async def migrated(model_class: type[Fruit]) -> None:
        await asyncio.to_thread(partial(rewrite, model_class, max_writes_per_s=max_writes_per_s))
        assert {doc["type"] for doc in documents.all() if "fruit_id" in doc} == {model_class.type_name()}

    router, acknowledged = await upgraded_under_load(start, migrated, paths, steps, dwell)
    counts = {path: (await services.ask("2-only", "GET", path))["change_count"] for path in paths}
    lost = {path: acknowledged[path] - counts[path] for path in paths}
    figures = f"{router.sent} requests, {sum(counts.values())} changes, {len(router.failures)} failed"
    sys.stdout.write(f"\n{figures}, {sum(lost.values())} lost\n")
    assert router.failures == []
    assert set(lost.values()) == {0}
    assert not [doc for doc in documents.all() if "color" in doc]


async def test_rolling_upgrade_and_going_back_under_load_fail_no_request_and_lose_no_change(
    services: Services,
    documents: Documents,
    rewrite: Callable[..., tuple[int, int]],
    connect: Connect,
) -> None:
    def start(version: str) -> contextlib.AbstractAsyncContextManager[Client]:
        parts = Parts(deadline_s=20.0, metrics=ServiceMetrics())
        return serving(make_app(connect(), VERSIONS[version], parts))

    await assert_nothing_is_lost(
        services,
        documents,
        rewrite,
        start,
        steps=("2", "1", "2", "2-only"),
        fruit_count=5,
        dwell=20,
        max_writes_per_s=50.0,
    )


@pytest.mark.long
async def test_rolling_upgrade_of_processes_under_load_fails_no_request_and_loses_no_change(
    couchdb: CouchDBServer,
    couchdb_database_url: str,
    services: Services,
    documents: Documents,
    rewrite: Callable[..., tuple[int, int]],
) -> None:
    @contextlib.asynccontextmanager
    async def start(version: str) -> AsyncIterator[Client]:
        options = (f"--version={version}", f"--database={couchdb_database_url}", "--port=0")
        async with running(MODULE, *options, username=couchdb.username, password=couchdb.password) as service:
            async with aiohttp.ClientSession(await service.url()) as client:
                yield client
            service.process.terminate()
            assert await service.status() == 0

    await assert_nothing_is_lost(
        services,
        documents,
        rewrite,
        start,
        steps=("2", "1", "2", "2-only"),
        fruit_count=50,
        dwell=2_000,
        max_writes_per_s=20.0,
    )
