"""What each sample does when several clients change the same fruit. The conflicts are provoked."""

import asyncio
import contextlib
import dataclasses
import importlib
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from samples.crud.exp_backoff import async_action as exp_backoff
from samples.crud.group_commit import async_action as group_commit
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.retries import RetryStrategy, full_jitter
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, changed_first, cut_after, cut_before
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import Parts
from tor_async_service.http.problems import OUTCOME_UNKNOWN
from tor_async_service.tests.serving import problem_of, serving

LADDER = ["basic", "retry", "exp_backoff", "group_commit"]
PERSISTENT = LADDER[1:]  # those that retry


class Fruit:
    """A fruit of a running sample."""

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
async def fruit_of(
    sample: str, database: Database, parts: Parts, *, deadline_s: float = 20.0
) -> AsyncIterator[Fruit]:
    """A new fruit in the sample of this name."""
    parts = dataclasses.replace(parts, deadline_s=deadline_s)
    app = importlib.import_module(f"samples.crud.{sample}.service").make_app(database, parts=parts)
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
async def test_change_without_a_conflict_succeeds(database: Database, parts: Parts, sample: str) -> None:
    async with fruit_of(sample, database, parts) as fruit:
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


async def test_basic_gives_up_at_the_first_conflict(
    database: Database, parts: Parts, proxy: FaultProxy
) -> None:
    async with fruit_of("basic", database, parts) as fruit:
        for change in (fruit.put, fruit.delete):
            proxy.inject(changed_first(), "_bulk_docs")
            response = await change()
            await problem_of(response, 409)
            assert response.headers["Conflict-Count"] == "1"
        assert (await fruit.get())["change_count"] == 0


async def test_retry_settles_20_conflicts(database: Database, parts: Parts, proxy: FaultProxy) -> None:
    async with fruit_of("retry", database, parts) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=20)
        response = await fruit.put()
        assert response.status == 200
        assert response.headers["Conflict-Count"] == "20"
        assert (await response.json())["change_count"] == 1
        proxy.inject(changed_first(), "_bulk_docs", times=20)
        response = await fruit.delete()
        assert response.status == 200
        assert response.headers["Conflict-Count"] == "20"


async def test_retry_gives_up_after_20_retries(database: Database, parts: Parts, proxy: FaultProxy) -> None:
    async with fruit_of("retry", database, parts) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
        for change in (fruit.put, fruit.delete):
            response = await change()
            await problem_of(response, 409)
            assert response.headers["Conflict-Count"] == "21"
        assert (await fruit.get())["change_count"] == 0


async def test_exp_backoff_settles_more_conflicts_than_retry(
    database: Database, parts: Parts, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = RetryStrategy(full_jitter(base_s=0.001, cap_s=0.002), max_retries=None)
    monkeypatch.setattr(exp_backoff.AsyncFruitUpdater.update, "strategy", quick)
    async with fruit_of("exp_backoff", database, parts) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=40)
        response = await fruit.put()
        assert response.status == 200
        assert response.headers["Conflict-Count"] == "40"
        assert (await response.json())["change_count"] == 1


async def test_exp_backoff_gives_up_before_a_pause_that_outlasts_the_deadline(
    database: Database, parts: Parts, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause_s(retry: int, previous_pause_s: float) -> float:
        return 0.01 if retry < 5 else 60.0

    monkeypatch.setattr(
        exp_backoff.AsyncFruitUpdater.update, "strategy", RetryStrategy(pause_s, max_retries=None)
    )
    async with fruit_of("exp_backoff", database, parts) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
        response = await fruit.put()
        await problem_of(response, 409)
        assert response.headers["Conflict-Count"] == "5"
    assert parts.metrics.registry.get_sample_value("retry_wait_seconds_sum") == pytest.approx(0.04)


async def test_group_commit_gives_up_at_the_deadline(
    database: Database, parts: Parts, proxy: FaultProxy
) -> None:
    async with fruit_of("group_commit", database, parts, deadline_s=1.0) as fruit:
        proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
        response = await fruit.put()
        # The outcome of a write that is not answered at this moment is unknown.
        if response.status == 503:
            assert (await problem_of(response, 503))["type"] == OUTCOME_UNKNOWN
        else:
            await problem_of(response, 409)
        assert int(response.headers["Conflict-Count"]) > 1
    waited_s = parts.metrics.registry.get_sample_value("retry_wait_seconds_sum")
    assert waited_s is not None
    assert 0.0 < waited_s <= 1.0


@pytest.mark.parametrize("sample", PERSISTENT)
async def test_change_of_a_fruit_that_is_deleted_meanwhile_is_404(
    database: Database, parts: Parts, proxy: FaultProxy, sample: str
) -> None:
    async with fruit_of(sample, database, parts) as fruit:
        proxy.inject(changed_first(deleted), "_bulk_docs")
        response = await fruit.put()
        await problem_of(response, 404)
        assert response.headers["Conflict-Count"] == "1"


@pytest.mark.parametrize("sample", PERSISTENT)
async def test_database_that_goes_down_after_a_conflict_is_503_with_the_conflict_count(
    database: Database, parts: Parts, proxy: FaultProxy, sample: str
) -> None:
    async def conflict_and_then_nothing(request: Request) -> web.StreamResponse:
        answer = await changed_first()(request)
        proxy.inject(cut_before, times=math.inf)
        return answer

    async with fruit_of(sample, database, parts) as fruit:
        proxy.inject(conflict_and_then_nothing, "_bulk_docs")
        response = await fruit.put()
        await problem_of(response, 503)
        assert response.headers["Conflict-Count"] == "1"
        assert response.headers["Retry-After"] == "1"


@pytest.mark.parametrize("sample", LADDER)
async def test_change_of_unknown_outcome_is_not_retried(
    database: Database, parts: Parts, proxy: FaultProxy, documents: Documents, sample: str
) -> None:
    async with fruit_of(sample, database, parts) as fruit:
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
@pytest.mark.parametrize(
    "moment",
    [
        "2024-02-30T00:00:00.000000+00:00",
        "2025-06-17T23:59:60.000000+00:00",
        "2025-06-17T24:00:00.000000+00:00",
        "9999-01-01T00:00:00.000000+00:00",
        "9999-12-31T23:59:59.999998+00:00",
        "9999-12-31T23:59:59.999999+00:00",
    ],
)
async def test_fruit_whose_timestamp_does_not_exist_is_502(
    database: Database, parts: Parts, documents: Documents, sample: str, moment: str
) -> None:
    async with fruit_of(sample, database, parts) as fruit:
        [doc] = [doc for doc in documents.all() if doc.get("fruit_id") == fruit.properties["fruit_id"]]
        documents.put(**doc | {"updated_on": moment})
        await problem_of(await fruit.put(), 502)
        await problem_of(await fruit.delete(), 502)


@pytest.mark.parametrize("sample", LADDER)
async def test_no_change_of_many_at_once_is_lost_or_doubled(
    database: Database, parts: Parts, sample: str
) -> None:
    async with fruit_of(sample, database, parts) as fruit:
        responses = await asyncio.gather(*(fruit.put() for _ in range(10)))
        acknowledged = [await response.json() for response in responses if response.status == 200]
        assert {response.status for response in responses} <= {200, 409}
        assert acknowledged
        counts = sorted(changed["change_count"] for changed in acknowledged)
        assert counts == list(range(1, len(acknowledged) + 1))
        assert (await fruit.get())["change_count"] == len(acknowledged)


async def test_group_commit_makes_all_changes_that_wait_with_one_write(
    database: Database, parts: Parts, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    update, started, go_on = group_commit.AsyncFruitUpdater.update, [], asyncio.Event()

    async def counted(updater: group_commit.AsyncFruitUpdater) -> Any:
        started.append(updater)
        return await update(updater)

    async def held_up(request: Request) -> web.StreamResponse:
        await go_on.wait()
        return await request.forward()

    monkeypatch.setattr(group_commit.AsyncFruitUpdater, "update", counted)
    async with fruit_of("group_commit", database, parts) as fruit:
        before = writes(proxy)
        proxy.inject(held_up, "_bulk_docs")
        changing = [asyncio.create_task(fruit.put())]
        await wait_until(lambda: writes(proxy) == before + 1)
        changing += [asyncio.create_task(fruit.put()) for _ in range(19)]
        await wait_until(lambda: len(started) == 20)
        go_on.set()
        responses = await asyncio.gather(*changing)
        assert {response.status for response in responses} == {200}
        counts = [(await response.json())["change_count"] for response in responses]
        assert sorted(counts) == list(range(1, 21))
        assert writes(proxy) == before + 2
