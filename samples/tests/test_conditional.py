"""What crud/conditional promises: a change is made to what its client has seen, or not at all."""

import asyncio
import math
import uuid
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from samples.crud.conditional.service import make_app
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, changed_first, cut_after, cut_before
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.http.problems import OUTCOME_UNKNOWN
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import problem_of, serving

FRUITS = "/v1.0/fruits"
CLIENTS = 6
CHANGES = 5


@pytest.fixture
async def client(database: Database, parts: Parts) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_app(database, parts=parts)) as client:
        yield client


@pytest.fixture
async def processes(
    client: aiohttp.ClientSession, connect: Connect
) -> AsyncIterator[list[aiohttp.ClientSession]]:
    """Clients of two services on one database that share nothing else, as two processes do."""
    other = make_app(connect(), parts=Parts(deadline_s=20.0, metrics=ServiceMetrics()))
    async with serving(other) as other_client:
        yield [client, other_client]


async def new_fruit(client: aiohttp.ClientSession) -> tuple[str, str]:
    """Path and tag of a new fruit."""
    async with client.post(FRUITS, json={"color": "red"}) as response:
        assert response.status == 201
        return response.headers["Location"], response.headers["ETag"]


async def put(
    client: aiohttp.ClientSession, path: str, color: str = "blue", **conditions: str
) -> aiohttp.ClientResponse:
    headers = {name.replace("_", "-"): value for name, value in conditions.items()}
    async with client.put(path, json={"color": color}, headers=headers) as response:
        await response.read()
        return response


async def test_second_of_two_tabs_is_told_before_anything_is_lost(client: aiohttp.ClientSession) -> None:
    path, seen_by_both = await new_fruit(client)
    first = await put(client, path, "blue", if_match=seen_by_both)
    assert first.status == 200
    second = await put(client, path, "green", if_match=seen_by_both)
    await problem_of(second, 412)
    async with client.get(path) as response:
        assert (await response.json())["color"] == "blue"
        assert response.headers["ETag"] == second.headers["ETag"] == first.headers["ETag"]
    assert (await put(client, path, "green", if_match=second.headers["ETag"])).status == 200


async def test_deletion_holds_to_what_was_seen_too(client: aiohttp.ClientSession) -> None:
    path, etag = await new_fruit(client)
    changed = await put(client, path, if_match=etag)
    async with client.delete(path, headers={"If-Match": etag}) as response:
        await problem_of(response, 412)
        assert response.headers["ETag"] == changed.headers["ETag"]
    async with client.delete(path) as response:
        await problem_of(response, 428)
    async with client.delete(path, headers={"If-Match": changed.headers["ETag"]}) as response:
        assert response.status == 200
    await problem_of(await put(client, path, if_match="*"), 404)


async def test_any_version_will_do_if_the_client_says_so(client: aiohttp.ClientSession) -> None:
    path, etag = await new_fruit(client)
    await put(client, path, if_match=etag)
    assert (await put(client, path, if_match="*")).status == 200


@pytest.mark.parametrize("condition", ["the tag", "*"])
async def test_change_that_comes_between_read_and_write_is_not_overwritten(
    client: aiohttp.ClientSession, proxy: FaultProxy, condition: str
) -> None:
    path, etag = await new_fruit(client)
    proxy.requests.clear()
    proxy.inject(changed_first(lambda document: document | {"color": "black"}), "_bulk_docs")
    response = await put(client, path, if_match=etag if condition == "the tag" else "*")
    await problem_of(response, 412)
    assert len([request for request in proxy.requests if "_bulk_docs" in request.path]) == 1
    async with client.get(path) as current:
        assert (await current.json())["color"] == "black"
        assert current.headers["ETag"] == response.headers["ETag"]


async def test_each_version_is_changed_by_one_client_of_two_processes(
    processes: list[aiohttp.ClientSession],
) -> None:
    path, etag = await new_fruit(processes[0])
    for _ in range(CHANGES):
        racing = [put(processes[i % 2], path, f"color {i}", if_match=etag) for i in range(CLIENTS)]
        responses = await asyncio.gather(*racing)
        assert sorted(response.status for response in responses) == [200] + [412] * (CLIENTS - 1)
        [etag] = {response.headers["ETag"] for response in responses}
    async with processes[1].get(path) as response:
        assert (await response.json())["change_count"] == CHANGES


async def test_fruit_of_the_clients_id_is_created_once_by_two_processes(
    processes: list[aiohttp.ClientSession], documents: Documents
) -> None:
    path = f"{FRUITS}/{uuid.uuid4().hex}"
    racing = [put(processes[i % 2], path, f"color {i}", if_none_match="*") for i in range(CLIENTS)]
    responses = await asyncio.gather(*racing)
    assert sorted(response.status for response in responses) == [201] + [412] * (CLIENTS - 1)
    created = next(response for response in responses if response.status == 201)
    etag = created.headers["ETag"]
    if documents.copies() == 1:
        # On a cluster one that lost may be told of another one that lost, and is buried a moment later.
        assert {response.headers["ETag"] for response in responses} == {etag}
    assert created.headers["Location"] == path
    async with processes[1].get(path) as response:
        assert await response.json() == await created.json()
        assert response.headers["ETag"] == etag


async def test_fruit_that_another_sample_has_created_is_not_created_again(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    await new_fruit(client)
    [fruit] = [document for document in documents.all() if document.get("type") == "fruit_v1.0"]
    fruit_id = uuid.uuid4().hex
    documents.put(**{name: fruit[name] for name in fruit if name[0] != "_"} | {"fruit_id": fruit_id})
    response = await put(client, f"{FRUITS}/{fruit_id}", if_none_match="*")
    await problem_of(response, 412)
    assert response.headers["ETag"]


@pytest.mark.parametrize("odd_id", ["x", "A" * 32, "0" * 31, "_design"])
async def test_client_can_only_create_under_32_hexadecimal_digits(
    client: aiohttp.ClientSession, odd_id: str
) -> None:
    await problem_of(await put(client, f"{FRUITS}/{odd_id}", if_none_match="*"), 404)


async def test_list_has_no_tag(client: aiohttp.ClientSession) -> None:
    await new_fruit(client)
    for query in ("", "?limit=1"):
        async with client.get(f"{FRUITS}{query}", headers={"If-None-Match": "*"}) as response:
            assert response.status == 200
            assert "ETag" not in response.headers


async def test_answer_that_the_client_has_is_not_sent_again(client: aiohttp.ClientSession) -> None:
    path, etag = await new_fruit(client)
    async with client.get(path, headers={"If-None-Match": etag}) as response:
        assert (response.status, await response.read()) == (304, b"")
    await put(client, path, if_match=etag)
    async with client.get(path, headers={"If-None-Match": etag}) as response:
        assert (response.status, (await response.json())["change_count"]) == (200, 1)


async def test_repeat_of_a_change_of_unknown_outcome_can_not_change_anything_twice(
    client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    async def applied_and_then_nothing(request: Request) -> web.StreamResponse:
        proxy.inject(cut_before, times=math.inf)
        return await cut_after(request)

    path, etag = await new_fruit(client)
    proxy.inject(applied_and_then_nothing, "_bulk_docs")
    unknown = await put(client, path, if_match=etag)
    assert (await problem_of(unknown, 503))["type"] == OUTCOME_UNKNOWN
    proxy.clear()
    await problem_of(await put(client, path, if_match=etag), 412)
    async with client.get(path) as response:
        assert (await response.json())["change_count"] == 1
