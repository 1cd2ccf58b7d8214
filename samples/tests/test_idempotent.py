"""What crud/idempotent promises: a client repeats a request, and nothing happens twice."""

import asyncio
import datetime
import math
import uuid
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from samples.crud.exp_backoff import service as exp_backoff
from samples.crud.idempotent.model import MAX_KEYS, WINDOW_S
from samples.crud.idempotent.service import make_app
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, changed_first, cut_after, cut_before
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.http.problems import OUTCOME_UNKNOWN
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import problem_of, serving

FRUITS = "/v1.0/fruits"
REPEATS = 6

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


Answer = tuple[int, Any]


async def ask(
    client: Client, method: str, path: str, key: str = "", color: str = "blue", client_id: str = "me"
) -> Answer:
    """Status and body of the answer to a request, under a new key unless one is given."""
    headers = {"Idempotency-Key": f'"{key or uuid.uuid4()}"', "Client-Id": client_id}
    body = None if method in ("DELETE", "GET") else {"color": color}
    async with client.request(method, path, headers=headers, json=body) as response:
        text = await response.text()
        if response.status >= 400:
            return response.status, await problem_of(response, response.status)
        return response.status, await response.json() if text else None


async def new_fruit(client: Client) -> str:
    """The path of a new fruit."""
    status, fruit = await ask(client, "POST", FRUITS, color="red")
    assert status == 201
    return f"{FRUITS}/{fruit['fruit_id']}"


async def test_repeat_answers_what_the_first_request_answered(client: Client) -> None:
    created = await ask(client, "POST", FRUITS, "k1", "red")
    path = f"{FRUITS}/{created[1]['fruit_id']}"
    changed = await ask(client, "PUT", path, "k1")
    again = await ask(client, "PUT", path, "k2", "green")
    assert (again[0], again[1]["change_count"]) == (200, 2)
    assert await ask(client, "POST", FRUITS, "k1", "red") == created
    assert await ask(client, "PUT", path, "k1") == changed
    deleted = await ask(client, "DELETE", path, "k3")
    assert deleted == (200, None)
    assert await ask(client, "DELETE", path, "k3") == deleted
    assert await ask(client, "PUT", path, "k2", "green") == again
    assert await ask(client, "PUT", path, "k1") == changed
    assert await ask(client, "POST", FRUITS, "k1", "red") == created


async def test_nothing_brings_a_deleted_fruit_back(client: Client, documents: Documents) -> None:
    created = await ask(client, "POST", FRUITS, "k1", "red")
    path = f"{FRUITS}/{created[1]['fruit_id']}"
    await ask(client, "PUT", path, "k2")
    await ask(client, "DELETE", path, "k3")
    for repeat in (("POST", FRUITS, "k1", "red"), ("PUT", path, "k2"), ("DELETE", path, "k3")):
        await ask(client, *repeat)
        assert (await ask(client, "GET", path))[0] == 404
    for new in (("PUT", path), ("DELETE", path)):
        assert (await ask(client, *new))[0] == 404
    assert [document for document in documents.all() if "fruit_id" in document] == []


async def test_key_stands_for_one_change(client: Client) -> None:
    path = await new_fruit(client)
    await ask(client, "POST", FRUITS, "k1", "red")
    assert (await ask(client, "POST", FRUITS, "k1", "green"))[0] == 422
    await ask(client, "PUT", path, "k2", "green")
    assert (await ask(client, "PUT", path, "k2", "black"))[0] == 422
    assert (await ask(client, "DELETE", path, "k2"))[0] == 422
    await ask(client, "DELETE", path, "k3")
    assert (await ask(client, "PUT", path, "k3"))[0] == 422


async def test_keys_of_two_clients_have_nothing_to_do_with_each_other(client: Client) -> None:
    mine = await ask(client, "POST", FRUITS, "k1", "red", "me")
    yours = await ask(client, "POST", FRUITS, "k1", "green", "you")
    assert (mine[0], yours[0]) == (201, 201)
    assert mine[1]["fruit_id"] != yours[1]["fruit_id"]


async def test_change_without_a_key_is_refused(client: Client) -> None:
    path = await new_fruit(client)
    async with client.post(FRUITS, json={"color": "red"}) as response:
        await problem_of(response, 400)
    async with client.put(path, json={"color": "red"}) as response:
        await problem_of(response, 400)
    async with client.delete(path) as response:
        await problem_of(response, 400)


async def test_repeats_at_both_processes_at_once_have_one_answer(processes: list[Client]) -> None:
    async def race(method: str, path: str) -> Answer:
        key = f"a key for {method}"
        racing = [ask(processes[i % 2], method, path, key) for i in range(REPEATS)]
        answers = [answer for answer in await asyncio.gather(*racing) if answer[0] != 409]
        answers.append(await ask(processes[0], method, path, key))
        assert all(answer == answers[0] for answer in answers)
        return answers[0]

    status, fruit = await race("POST", FRUITS)
    assert status == 201
    path = f"{FRUITS}/{fruit['fruit_id']}"
    status, fruit = await race("PUT", path)
    assert (status, fruit["change_count"]) == (200, 1)
    assert await ask(processes[1], "GET", path) == (200, fruit)
    assert await race("DELETE", path) == (200, None)


async def test_repeat_settles_a_change_of_unknown_outcome(client: Client, proxy: FaultProxy) -> None:
    async def applied_and_then_nothing(request: Request) -> web.StreamResponse:
        proxy.inject(cut_before, times=math.inf)
        return await cut_after(request)

    path = await new_fruit(client)
    for method, at in (("PUT", path), ("POST", FRUITS), ("DELETE", path)):
        proxy.inject(applied_and_then_nothing, "_bulk_docs")
        status, problem = await ask(client, method, at, method)
        assert (status, problem["type"]) == (503, OUTCOME_UNKNOWN)
        proxy.clear()
        assert (await ask(client, method, at, method))[0] in (200, 201)
        if method == "PUT":
            assert (await ask(client, "GET", path))[1]["change_count"] == 1


async def test_change_that_loses_a_race_is_made_after_it_once(client: Client, proxy: FaultProxy) -> None:
    path = await new_fruit(client)
    proxy.inject(changed_first(), "_bulk_docs", times=3)
    status, fruit = await ask(client, "PUT", path, "k1")
    assert (status, fruit["change_count"]) == (200, 1)


def keys_of_the_past(count: int, age_s: float) -> list[list[Any]]:
    """What `count` changes leave in a document that were made `age_s` seconds ago."""
    moment = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=age_s)
    return [[f"{i:032x}", "0" * 32, moment.isoformat(timespec="microseconds"), i] for i in range(count)]


async def test_fruit_that_is_changed_too_often_says_when_to_come_again(
    client: Client, documents: Documents
) -> None:
    path = await new_fruit(client)
    document = documents.get(path.rpartition("/")[2])
    documents.put(**document | {"changes": keys_of_the_past(MAX_KEYS, WINDOW_S - 5)})
    headers = {"Idempotency-Key": '"k1"'}
    for request in (
        client.put(path, json={"color": "blue"}, headers=headers),
        client.delete(path, headers=headers),
    ):
        async with request as response:
            await problem_of(response, 503)
            assert 5 <= int(response.headers["Retry-After"]) <= 30
    assert len(documents.get(document["_id"])["changes"]) == MAX_KEYS


async def test_keys_older_than_the_window_make_room(client: Client, documents: Documents) -> None:
    path = await new_fruit(client)
    document = documents.get(path.rpartition("/")[2])
    documents.put(**document | {"changes": keys_of_the_past(MAX_KEYS, WINDOW_S + 60)})
    assert (await ask(client, "PUT", path))[0] == 200
    assert len(documents.get(document["_id"])["changes"]) == 1


async def test_document_and_change_are_one_write_without_the_clients_key(
    client: Client, proxy: FaultProxy, documents: Documents
) -> None:
    path = await new_fruit(client)
    proxy.requests.clear()
    await ask(client, "PUT", path, "secret key")
    assert len([request for request in proxy.requests if "_bulk_docs" in request.path]) == 1
    stored = documents.get(path.rpartition("/")[2])
    [[key, fingerprint, used_on, change_count]] = stored["changes"]
    assert (len(key), len(fingerprint), change_count) == (32, 32, 1)
    assert used_on == stored["updated_on"]
    assert "secret key" not in str(stored)


async def test_without_keys_a_client_that_sends_again_by_itself_changes_twice(
    database: Database, parts: Parts
) -> None:
    """aiohttp repeats a PUT when a kept-alive connection breaks, and its caller never learns of it."""
    async with serving(exp_backoff.make_app(database, parts=parts)) as client:
        async with client.post(FRUITS, json={"color": "red"}) as response:
            path = response.headers["Location"]
        url = str(client._base_url)
        async with FaultProxy(url) as link, aiohttp.ClientSession(link.url) as repeating:
            async with repeating.get(path) as response:
                assert response.status == 200
            link.inject(cut_after, "/fruits/")
            async with repeating.put(path, json={"color": "blue"}) as response:
                assert response.status == 200
                assert (await response.json())["change_count"] == 2
