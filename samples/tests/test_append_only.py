"""What crud/append_only promises: nothing is in conflict, and each change counts once."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from samples.crud.append_only.async_action import AsyncFruitRetriever
from samples.crud.append_only.service import make_app
from samples.tests.folders import ROOT
from tor_async_couchdb import AsyncFolder
from tor_async_couchdb.actions import append_only
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, cut_after
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import problem_of, serving

FRUITS = "/v1.0/fruits"
CHANGES = 12

Client = aiohttp.ClientSession


@pytest.fixture
async def client(database: Database, parts: Parts) -> AsyncIterator[Client]:
    async with serving(make_app(database, parts=parts)) as client:
        yield client


@pytest.fixture
async def processes(client: Client, connect: Connect) -> AsyncIterator[list[Client]]:
    """Clients of two services on one database that share nothing else, as two processes do."""
    other = make_app(connect(), parts=Parts(deadline_s=20.0, metrics=ServiceMetrics()))
    async with serving(other) as other_client:
        yield [client, other_client]


async def new_fruit(client: Client) -> str:
    """The path of a new fruit."""
    async with client.post(FRUITS, json={"color": "red"}) as response:
        assert response.status == 201
        return response.headers["Location"]


async def put(client: Client, path: str, color: str = "blue") -> dict[str, Any]:
    async with client.put(path, json={"color": color}) as response:
        assert response.status == 200, await response.text()
        assert "Conflict-Count" not in response.headers
        fruit: dict[str, Any] = await response.json()
        return fruit


async def get(client: Client, path: str) -> dict[str, Any]:
    async with client.get(path) as response:
        assert response.status == 200
        fruit: dict[str, Any] = await response.json()
        return fruit


def histories(documents: Documents) -> list[dict[str, Any]]:
    return [document for document in documents.all() if "fruit_id" in document]


async def test_changes_of_two_processes_at_once_meet_no_conflict_and_all_count(
    processes: list[Client], documents: Documents
) -> None:
    path = await new_fruit(processes[0])
    await asyncio.gather(*(put(processes[i % 2], path, f"color {i}") for i in range(CHANGES)))
    one, other = [await get(client, path) for client in processes]
    assert one == other
    assert one["change_count"] == CHANGES
    assert {document["_rev"][:2] for document in histories(documents)} == {"1-"}


async def test_changes_of_several_fruits_at_once_all_count(client: Client) -> None:
    paths = [await new_fruit(client) for _ in range(3)]
    await asyncio.gather(*(put(client, paths[i % 3]) for i in range(CHANGES)))
    assert [(await get(client, path))["change_count"] for path in paths] == [CHANGES // 3] * 3


async def test_fruit_has_the_color_of_the_latest_change(client: Client) -> None:
    path = await new_fruit(client)
    for color in ("blue", "green", "black"):
        changed = await put(client, path, color)
        assert changed == await get(client, path)
        assert changed["color"] == color


async def test_change_whose_answer_is_lost_counts_once(client: Client, proxy: FaultProxy) -> None:
    path = await new_fruit(client)
    proxy.inject(cut_after, "_bulk_docs")
    assert (await put(client, path))["change_count"] == 1
    assert (await get(client, path))["change_count"] == 1


async def test_one_of_two_deletions_wins_and_changes_after_it_find_nothing(processes: list[Client]) -> None:
    path = await new_fruit(processes[0])
    await put(processes[1], path)
    statuses = []
    for client in processes:
        async with client.delete(path) as response:
            statuses.append(response.status)
    assert statuses == [200, 404]
    for client in processes:
        async with client.put(path, json={"color": "blue"}) as response:
            await problem_of(response, 404)
        async with client.get(path) as response:
            await problem_of(response, 404)
        async with client.get(FRUITS) as response:
            assert await response.json() == []


async def test_deleted_fruit_takes_no_more_entries(client: Client, documents: Documents) -> None:
    path = await new_fruit(client)
    async with client.delete(path) as response:
        assert response.status == 200
    before = len(histories(documents))
    for _ in range(3):
        async with client.put(path, json={"color": "blue"}) as response:
            await problem_of(response, 404)
    assert len(histories(documents)) == before


async def test_unknown_fruit_is_not_made_by_a_change(client: Client, documents: Documents) -> None:
    path = f"{FRUITS}/{uuid.uuid4().hex}"
    async with client.put(path, json={"color": "blue"}) as response:
        await problem_of(response, 404)
    async with client.delete(path) as response:
        await problem_of(response, 404)
    assert histories(documents) == []


async def test_fruit_is_the_same_before_and_after_it_is_folded(
    client: Client, database: Database, documents: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_only, "_CLUSTER_OVERLAP_S", 0.0)
    path = await new_fruit(client)
    for i in range(CHANGES):
        await put(client, path, f"color {i}")
    before = await get(client, path)
    folder = AsyncFolder(AsyncFruitRetriever, database=database, max_parts=5, settle_s=0.0)
    await folder.fold_all()
    assert len(histories(documents)) == 1
    assert await get(client, path) == before
    after = await put(client, path, "black")
    assert (after["change_count"], after["created_on"]) == (CHANGES + 1, before["created_on"])


async def replicate(source: Database, target: Database) -> None:
    """What a replicator does once: all leaves, tombstones too, in the order of their last change."""
    changes = await source.revisions.changes(0, limit=1000, timeout_s=0.1)
    for change in changes.results:
        if not change.id.startswith("_design/"):
            await target.revisions.insert(await source.fetch_leaves(change.id))


@pytest.fixture
async def other_master(couchdb: CouchDBServer, connect: Connect) -> AsyncIterator[Database]:
    """Another database with the same views."""
    with couchdb.new_database() as url:
        path = ROOT / "db_installer" / "design_docs" / "fruit_history_by_fruit_id.json"
        Documents(couchdb, url).put(_id=f"_design/{path.stem}", **json.loads(path.read_text()))
        yield connect(url)


async def test_two_masters_that_both_fold_and_exchange_their_documents_have_the_same_fruit(
    client: Client, database: Database, other_master: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_only, "_CLUSTER_OVERLAP_S", 0.0)
    path = await new_fruit(client)
    await replicate(database, other_master)
    app = make_app(other_master, parts=Parts(deadline_s=20.0, metrics=ServiceMetrics()))
    async with serving(app) as other:
        for number in range(6):
            await put(client, path, f"east {number}")
            await put(other, path, f"west {number}")
        await replicate(database, other_master)
        for master in (database, other_master):
            await AsyncFolder(AsyncFruitRetriever, database=master, max_parts=3, settle_s=0.0).fold_all()
        for _ in range(2):
            await replicate(database, other_master)
            await replicate(other_master, database)
        fruits = [await get(each, path) for each in (client, other)]
        assert fruits[0] == fruits[1]
        assert (fruits[0]["change_count"], fruits[0]["color"]) == (12, "west 5")


async def test_deleted_fruit_stays_deleted_when_it_is_folded(
    client: Client, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_only, "_CLUSTER_OVERLAP_S", 0.0)
    path = await new_fruit(client)
    for _ in range(5):
        await put(client, path)
    async with client.delete(path) as response:
        assert response.status == 200
    await AsyncFolder(AsyncFruitRetriever, database=database, max_parts=3, settle_s=0.0).fold_all()
    async with client.get(path) as response:
        await problem_of(response, 404)


@pytest.mark.parametrize("update", ["lazy", "false"])
async def test_reads_but_no_changes_may_leave_the_view_as_it_is(
    database: Database, proxy: FaultProxy, update: str
) -> None:
    async with serving(make_app(database, update=update)) as client:
        path = await new_fruit(client)
        assert (await put(client, path))["change_count"] == 1
        assert "update=true" in proxy.requests[-1].path
        async with client.get(path) as response:
            assert response.status in (200, 404)  # an older fruit, or none yet
        assert f"update={update}" in proxy.requests[-1].path


async def test_process_may_leave_the_folding_to_others(database: Database) -> None:
    assert make_app(database, folds="no").background_work == []
    assert len(make_app(database).background_work) == 1
