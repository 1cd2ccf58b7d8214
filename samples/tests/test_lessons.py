"""What each sample does when others want the same fruit: the conflicts are provoked."""

import asyncio
import contextlib
import importlib
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from samples.crud.exp_backoff import async_action as exp_backoff
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.retries import full_jitter
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, changed_first, cut_after, cut_before
from tor_async_couchdb.tests.things import Documents
from tor_async_service.http.problems import OUTCOME_UNKNOWN
from tor_async_service.tests.serving import problem_of, serving

LADDER = ["basic", "retry", "exp_backoff", "group_commit"]
PERSISTENT = LADDER[1:]  # those that try again


class Fruit:
    """A fruit of a running sample, and what can be done to it."""

    def __init__(self, client: aiohttp.ClientSession, properties: dict[str, Any]) -> None:
        self._client = client
        self._path = f"/v1.0/fruits/{properties['fruit_id']}"
        self.properties = properties

    async def put(self, color: str = "blue") -> aiohttp.ClientResponse:
        return await self._client.put(self._path, json={"color": color})

    async def delete(self) -> aiohttp.ClientResponse:
        return await self._client.delete(self._path)

    async def get(self) -> dict[str, Any]:
        async with self._client.get(self._path) as response:
            assert response.status == 200
            fruit: dict[str, Any] = await response.json()
            return fruit


@contextlib.asynccontextmanager
async def fruit_of(sample: str, database: Database, *, deadline_s: float = 20.0) -> AsyncIterator[Fruit]:
    """A new fruit in the sample of this name."""
    app = importlib.import_module(f"samples.crud.{sample}.service").make_app(database)
    app.deadline_s = deadline_s
    async with serving(app) as client:
        async with client.post("/v1.0/fruits", json={"color": "red"}) as response:
            assert response.status == 201
            assert (await client.get(response.headers["Location"])).status == 200
            properties = await response.json()
        assert set(properties) == {"fruit_id", "color", "created_on", "updated_on", "change_count"}
        yield Fruit(client, properties)


def deleted(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"_deleted": True}


def writes(proxy: FaultProxy) -> int:
    return len([request for request in proxy.requests if "_bulk_docs" in request.path])


@pytest.mark.parametrize("sample", LADDER)
async def test_change_that_meets_nobody_succeeds(database: Database, sample: str) -> None:
    async with fruit_of(sample, database) as fruit:
        response = await fruit.put("blue")
        assert response.status == 200
        assert "Conflict-Count" not in response.headers
        changed = await response.json()
        assert (changed["color"], changed["change_count"]) == ("blue", 1)
        assert changed["updated_on"] > fruit.properties["updated_on"]
        assert changed["created_on"] == fruit.properties["created_on"]
        assert await fruit.get() == changed
        assert (await fruit.delete()).status == 200
        await problem_of(await fruit.put(), 404)
        await problem_of(await fruit.delete(), 404)


async def test_basic_gives_up_at_the_first_conflict(database: Database, proxy: FaultProxy) -> None:
    async with fruit_of("basic", database) as fruit:
        for change in (fruit.put, fruit.delete):
            proxy.inject(changed_first(), "_bulk_docs")
            response = await change()
            await problem_of(response, 409)
            assert response.headers["Conflict-Count"] == "1"
        assert (await fruit.get())["change_count"] == 0


async def test_retry_settles_20_conflicts(database: Database, proxy: FaultProxy) -> None:
    async with fruit_of("retry", database) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=20)
        response = await fruit.put()
        assert response.status == 200
        assert response.headers["Conflict-Count"] == "20"
        assert (await response.json())["change_count"] == 1
        proxy.inject(changed_first(), "_bulk_docs", times=20)
        response = await fruit.delete()
        assert response.status == 200
        assert response.headers["Conflict-Count"] == "20"


async def test_retry_gives_up_after_20_retries(database: Database, proxy: FaultProxy) -> None:
    async with fruit_of("retry", database) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
        for change in (fruit.put, fruit.delete):
            response = await change()
            await problem_of(response, 409)
            assert response.headers["Conflict-Count"] == "21"
        assert (await fruit.get())["change_count"] == 0


async def test_exp_backoff_settles_more_conflicts_than_retry(
    database: Database, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exp_backoff, "full_jitter", lambda: full_jitter(base_s=0.001, cap_s=0.002))
    async with fruit_of("exp_backoff", database) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=40)
        response = await fruit.put()
        assert response.status == 200
        assert response.headers["Conflict-Count"] == "40"
        assert (await response.json())["change_count"] == 1


@pytest.mark.parametrize("sample", ["exp_backoff", "group_commit"])
async def test_sample_that_waits_gives_up_at_the_deadline(
    database: Database, proxy: FaultProxy, sample: str
) -> None:
    async with fruit_of(sample, database, deadline_s=1.0) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
        started_s = asyncio.get_running_loop().time()
        response = await fruit.put()
        took_s = asyncio.get_running_loop().time() - started_s
        await problem_of(response, 409)
        assert took_s < 1.5
        assert 1 < int(response.headers["Conflict-Count"]) < 60, "it hardly waited between its tries"


@pytest.mark.parametrize("sample", PERSISTENT)
async def test_fruit_that_is_deleted_meanwhile_is_404(
    database: Database, proxy: FaultProxy, sample: str
) -> None:
    async with fruit_of(sample, database) as fruit:
        proxy.inject(changed_first(deleted), "_bulk_docs")
        response = await fruit.put()
        await problem_of(response, 404)
        assert response.headers["Conflict-Count"] == "1"


@pytest.mark.parametrize("sample", PERSISTENT)
async def test_database_that_goes_down_after_a_conflict_is_503_with_the_conflict_count(
    database: Database, proxy: FaultProxy, sample: str
) -> None:
    async def conflict_and_then_nothing(request: Request) -> web.StreamResponse:
        answer = await changed_first()(request)
        proxy.inject(cut_before, times=math.inf)
        return answer

    async with fruit_of(sample, database) as fruit:
        proxy.inject(conflict_and_then_nothing, "_bulk_docs")
        response = await fruit.put()
        await problem_of(response, 503)
        assert response.headers["Conflict-Count"] == "1"
        assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("sample", LADDER)
async def test_change_of_unknown_outcome_is_not_tried_again(
    database: Database, proxy: FaultProxy, documents: Documents, sample: str
) -> None:
    async with fruit_of(sample, database) as fruit:
        before = writes(proxy)

        async def applied_and_then_nothing(request: Request) -> web.StreamResponse:
            proxy.inject(cut_before, times=math.inf)
            return await cut_after(request)

        proxy.inject(applied_and_then_nothing, "_bulk_docs")
        response = await fruit.put()
        assert (await problem_of(response, 503))["type"] == OUTCOME_UNKNOWN
        assert writes(proxy) == before + 1
        proxy.clear()
        assert (await fruit.get())["change_count"] == 1


@pytest.mark.parametrize("sample", LADDER)
async def test_no_change_of_many_at_once_is_lost_or_doubled(database: Database, sample: str) -> None:
    async with fruit_of(sample, database) as fruit:
        responses = await asyncio.gather(*(fruit.put() for _ in range(10)))
        acknowledged = [await response.json() for response in responses if response.status == 200]
        assert {response.status for response in responses} <= {200, 409}
        assert acknowledged
        counts = sorted(changed["change_count"] for changed in acknowledged)
        assert counts == list(range(1, len(acknowledged) + 1))
        assert (await fruit.get())["change_count"] == len(acknowledged)


async def test_group_commit_makes_many_changes_with_few_writes(database: Database, proxy: FaultProxy) -> None:
    async with fruit_of("group_commit", database) as fruit:
        before = writes(proxy)
        responses = await asyncio.gather(*(fruit.put() for _ in range(20)))
        assert {response.status for response in responses} == {200}
        assert (await fruit.get())["change_count"] == 20
        assert writes(proxy) - before < 15
