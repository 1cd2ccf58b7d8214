"""What crud/migration promises: two versions of fruits, and of the service, side by side, and nothing lost."""

import asyncio
import contextlib
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
from tor_async_couchdb.tests.baskets import Conflicts
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.processes import running
from tor_async_service.tests.serving import problem_of, serving

FRUITS = "/v1.0/fruits"
COLORS = ("red", "dark red", "very dark red", " red", "red ", " ", "  ", "\u00a0x", "a  b")

Client = aiohttp.ClientSession


class Services:
    """A service of each version on one database; they share nothing else, as processes don't."""

    def __init__(self, clients: dict[str, Client]) -> None:
        self.clients = clients

    async def ask(self, version: str, method: str, path: str, color: str | None = None) -> dict[str, Any]:
        """The fruit that the service of a version answers with; fails if it doesn't."""
        body = {} if color is None else {"json": {"color": color}}
        async with self.clients[version].request(method, path, **body) as response:
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
) -> Callable[[type[Fruit]], tuple[int, int]]:
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
    rewrite: Callable[[type[Fruit]], tuple[int, int]],
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


async def test_conflict_between_a_leaf_of_each_version_merges_to_the_later_one(
    services: Services, conflicts: Conflicts, stored: Callable[[str], dict[str, Any]]
) -> None:
    for reader, later in (("1", "1"), ("1", "2"), ("2", "1"), ("2", "2"), ("2-only", "1"), ("2-only", "2")):
        path = await services.new("1")
        base = stored(path)
        leaves = [in_another_color(base, "1", "pale blue"), in_another_color(base, "2", "dark green")]
        for leaf in leaves if later == "2" else reversed(leaves):
            leaf |= in_another_color(leaf, str(leaf["type"])[7], leaf["color"])  # later than the one before
        conflicts.insert(base, *leaves)
        merged = await services.ask(reader, "GET", path)
        assert merged["color"] == ("dark green" if later == "2" else "pale blue")
        assert "_conflicts" not in conflicts.documents.get(base["_id"], conflicts="true")
        if reader != "2-only":
            for version in ("1", "2"):
                assert await services.ask(version, "GET", path) == merged


class Router:
    """Sends each request to one of the processes in turn, as a load balancer does."""

    def __init__(self) -> None:
        self._in_flight: dict[Client, int] = {}
        self._sent = 0
        self.failures: list[str] = []
        self.acknowledged: dict[str, int] = {}

    @contextlib.asynccontextmanager
    async def using(self, client: Client) -> AsyncIterator[None]:
        """Sends requests to a process, and at the end none any more and waits for their answers."""
        self._in_flight[client] = 0
        yield
        answered = self._in_flight
        self._in_flight = {other: count for other, count in answered.items() if other is not client}
        await wait_until(lambda: self._draining.get(client, 0) == 0)
