import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import KeyReusedError, KeysFullError
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.idempotent import IdempotentHandler, KeysInUse, key_of
from tor_async_service.tests.serving import problem_of, serving


class Gate:
    """Holds requests up until it is opened."""

    def __init__(self) -> None:
        self.waiting = 0
        self.is_open = asyncio.Event()

    async def pass_through(self) -> None:
        self.waiting += 1
        await self.is_open.wait()


class ThingHandler(IdempotentHandler):
    """Answers what a key stands for."""

    async def put(self, name: str) -> None:
        with self.idempotency_key(self.json_body(dict)) as use:
            if name == "slow":
                await self.settings["gate"].pass_through()
            if name == "reused":
                raise KeyReusedError
            if name == "full":
                raise KeysFullError(71.2)
            self.write_json(list(use))

    async def delete(self, name: str) -> None:
        with self.idempotency_key() as use:
            self.write_json(list(use))


@pytest.fixture
async def gate() -> Gate:
    return Gate()


@pytest.fixture
async def client(absent_database: Database, parts: Parts, gate: Gate) -> AsyncIterator[aiohttp.ClientSession]:
    settings = {"keys_in_use": KeysInUse(), "gate": gate}
    routes = [("/things/([a-z]+)", ThingHandler)]
    app = ServiceApplication(routes, absent_database, version="1", settings=settings, parts=parts)
    async with serving(app) as client:
        yield client


async def put(
    client: aiohttp.ClientSession,
    key: str | None = '"a"',
    *,
    path: str = "/things/one",
    body: str = '{"color": "red"}',
    client_id: str = "",
    method: str = "PUT",
) -> aiohttp.ClientResponse:
    headers = {"Content-Type": "application/json", "Client-Id": client_id}
    headers |= {} if key is None else {"Idempotency-Key": key}
    async with client.request(method, path, data=body, headers=headers) as response:
        await response.read()
        return response


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ('"8e03978e-40d5"', "8e03978e-40d5"),
        (' "a b" ', "a b"),
        (r'"a\"b\\c"', r'a"b\c'),
        (f'"{"x" * 255}"', "x" * 255),
    ],
)
def test_key_is_a_quoted_string(header: str, key: str) -> None:
    assert key_of(header) == key


@pytest.mark.parametrize(
    "header",
    ["", "a", '""', '"a', 'a"', '"a"b"', r'"a\b"', '"ü"', '"a\tb"', f'"{"x" * 256}"', '"a", "b"', '"a\\"'],
)
def test_other_keys_are_refused(header: str) -> None:
    with pytest.raises(ValueError, match="quoted string of 1 to 255 bytes"):
        key_of(header)


async def test_change_without_a_key_is_refused(client: aiohttp.ClientSession) -> None:
    for method in ("PUT", "DELETE"):
        problem = await problem_of(await put(client, None, method=method), 400)
        assert "Idempotency-Key" in problem["detail"]
    problem = await problem_of(await put(client, "a"), 400)
    assert "quoted string" in problem["detail"]


async def test_same_request_of_a_client_has_the_same_name(client: aiohttp.ClientSession) -> None:
    first = await (await put(client, body='{"color": "red", "size": 1}')).json()
    assert await (await put(client, body='{"size":1,"color":"\\u0072ed"}')).json() == first
    assert all(len(digits) == 32 for digits in first)


async def test_key_counts_for_one_client_and_one_path(client: aiohttp.ClientSession) -> None:
    responses = [
        await put(client),
        await put(client, '"b"'),
        await put(client, client_id="x"),
        await put(client, path="/things/two"),
    ]
    names = [await response.json() for response in responses]
    assert len({key for key, _ in names}) == 4
    assert len({fingerprint for _, fingerprint in names}) == 1


async def test_another_body_or_method_has_another_fingerprint(client: aiohttp.ClientSession) -> None:
    responses = [await put(client), await put(client, body="{}"), await put(client, method="DELETE")]
    names = [await response.json() for response in responses]
    assert len({key for key, _ in names}) == 1
    assert len({fingerprint for _, fingerprint in names}) == 3


async def test_repeat_while_the_first_is_under_way_is_refused(
    client: aiohttp.ClientSession, gate: Gate
) -> None:
    first = asyncio.create_task(put(client, path="/things/slow"))
    await wait_until(lambda: gate.waiting == 1)
    await problem_of(await put(client, path="/things/slow"), 409)
    assert (await put(client, '"b"')).status == 200
    gate.is_open.set()
    assert (await first).status == 200
    assert (await put(client, path="/things/slow")).status == 200


async def test_key_is_free_again_after_an_error(client: aiohttp.ClientSession) -> None:
    for _ in range(2):
        await problem_of(await put(client, path="/things/reused"), 422)


async def test_full_document_is_answered_with_when_to_come_again(client: aiohttp.ClientSession) -> None:
    response = await put(client, path="/things/full")
    await problem_of(response, 503)
    assert response.headers["Retry-After"] == "72"
