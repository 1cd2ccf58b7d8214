"""What the sample hash_and_encrypt hides from readers of its database and of its log."""

import contextlib
import json
import shutil
import sqlite3
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import argon2
import pytest

from samples.crud.hash_and_encrypt.model import Fruit, Owner
from samples.crud.hash_and_encrypt.service import make_app
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.folder import Protector, new_protection
from tor_async_couchdb.protection.hashing import SlowHasher
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, changed_first
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.couchdb.protecting import PROTECTING
from tor_async_service.tests.processes import running
from tor_async_service.tests.serving import problem_of, serving

Document = dict[str, Any]

EMAIL, ADDRESS, PIN = "Marker.Jane@example.com", "Marker Orchard Lane 12", "73915582"
MARKERS = ("marker", PIN)
JANE = {"owner_id": uuid.uuid4().hex, "email": EMAIL, "address": ADDRESS, "pin": PIN}
JOE = {"owner_id": uuid.uuid4().hex, "email": "joe@example.com", "address": "Marker Street", "pin": "1234"}
QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    new_protection(tmp_path / "protection")
    return tmp_path / "protection"


@pytest.fixture
def protection(folder: Path) -> Protector:
    read = Protector.from_folder(folder)
    read.slow_hasher = SlowHasher(read.pepper, QUICK)
    return read


@pytest.fixture
def guard(protection: Protector) -> Guard:
    return PROTECTING.make(protection=protection)


@pytest.fixture
async def client(
    database: Database, protection: Protector, parts: Parts
) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(make_app(database, protection, parts=parts)) as client:
        yield client


@contextlib.asynccontextmanager
async def another_process(
    couchdb: CouchDBServer, database_url: str, protection: Protector, keyset: TamperingSigner | None = None
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of the service as another process runs it on the same database."""
    guard = PROTECTING.make(protection=protection, keyset=keyset)
    async with (
        Database(database_url, username=couchdb.username, password=couchdb.password, guard=guard) as database,
        serving(make_app(database, protection)) as client,
    ):
        yield client


async def answer(
    client: aiohttp.ClientSession, method: str, path: str, body: Any = None, status: int = 200
) -> Any:
    async with client.request(method, path, json=body) as response:
        assert response.status == status, await response.text()
        return await response.json(content_type=None)


async def create(client: aiohttp.ClientSession, owner: Document | None = None) -> Document:
    fruit: Document = await answer(client, "POST", "/v1.0/fruits", {"color": "red", "owner": owner}, 201)
    return fruit


def stored(documents: Documents, fruit: Document) -> Document:
    return next(doc for doc in documents.all() if doc.get("fruit_id") == fruit["fruit_id"])


def assert_no_marker(text: str) -> None:
    assert not [marker for marker in MARKERS if marker in text.lower()], text


def test_each_property_is_classified() -> None:
    with pytest.raises(TypeError, match=r"Pear\.taste is not classified"):

        class Pear(Fruit, tag="pear_v1.0"):
            taste: str


def test_owner_and_fruit_show_nothing_sensitive() -> None:
    owner = Owner(**JANE)
    fruit = Fruit.create("red").given_to(owner, email_hash="marker", pin_hash="marker")
    assert_no_marker(repr(owner) + repr(fruit) + str(fruit))


async def test_fruit_has_its_owner_and_the_database_nothing_sensitive(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    fruit = await create(client, JANE)
    shown = {name: JANE[name] for name in ("owner_id", "email", "address")}
    assert fruit.items() >= shown.items()
    assert await answer(client, "GET", f"/v1.0/fruits/{fruit['fruit_id']}") == fruit
    assert fruit in await answer(client, "GET", "/v1.0/fruits")
    doc = stored(documents, fruit)
    assert_no_marker(json.dumps(doc))
    assert doc["pin_hash"].startswith("$argon2id$")
    assert len(bytes.fromhex(doc["email_hash"])) == 64
    changed = await answer(client, "PUT", f"/v1.0/fruits/{fruit['fruit_id']}", {"color": "blue"})
    assert changed.items() >= shown.items()
    assert stored(documents, fruit)["pin_hash"] == doc["pin_hash"]


async def test_fruits_are_found_by_an_email_address(client: aiohttp.ClientSession) -> None:
    fruits = [await create(client, owner) for owner in (JANE, JOE, JANE, None)]
    found = await answer(client, "POST", "/v1.0/fruits/by_email", {"email": EMAIL.upper()})
    assert sorted(fruit["fruit_id"] for fruit in found) == sorted(fruits[i]["fruit_id"] for i in (0, 2))
    assert await answer(client, "POST", "/v1.0/fruits/by_email", {"email": "nobody@example.com"}) == []


async def test_pin_is_compared(client: aiohttp.ClientSession) -> None:
    fruit, ownerless = await create(client, JANE), await create(client)
    path = "/v1.0/fruits/{}/pin_check"
    await answer(client, "POST", path.format(fruit["fruit_id"]), {"pin": PIN})
    await answer(client, "POST", path.format(fruit["fruit_id"]), {"pin": "0000"}, 403)
    await answer(client, "POST", path.format(ownerless["fruit_id"]), {"pin": PIN}, 403)
    await answer(client, "POST", path.format("0" * 32), {"pin": PIN}, 404)


async def test_erased_owner_is_erased_from_all_fruits_and_revisions(
    client: aiohttp.ClientSession,
    documents: Documents,
    couchdb: CouchDBServer,
    database_url: str,
    folder: Path,
) -> None:
    fruits = [await create(client, JANE), await create(client, JANE)]
    other = await create(client, JOE)
    old = stored(documents, fruits[0])
    await answer(client, "PUT", f"/v1.0/fruits/{fruits[0]['fruit_id']}", {"color": "blue"})
    await answer(client, "DELETE", f"/v1.0/owners/{JANE['owner_id']}")
    for fruit in fruits:
        shown = await answer(client, "GET", f"/v1.0/fruits/{fruit['fruit_id']}")
        assert (shown["owner_id"], shown["email"], shown["address"]) == (JANE["owner_id"], None, None)
        check = f"/v1.0/fruits/{fruit['fruit_id']}/pin_check"
        assert "erased" in (await answer(client, "POST", check, {"pin": PIN}, 410))["detail"]
    assert await answer(client, "GET", f"/v1.0/fruits/{other['fruit_id']}") == other
    # A backup of the database does not bring the owner back.
    documents.put(**old | {"_rev": stored(documents, fruits[0])["_rev"]})
    async with another_process(couchdb, database_url, Protector.from_folder(folder)) as restarted:
        shown = await answer(restarted, "GET", f"/v1.0/fruits/{fruits[0]['fruit_id']}")
        assert (shown["color"], shown["email"]) == ("red", None)
    changed = await answer(client, "PUT", f"/v1.0/fruits/{fruits[0]['fruit_id']}", {"color": "pink"})
    assert (changed["color"], changed["email"]) == ("pink", None)
    refusal = {"color": "red", "owner": JANE}
    assert "erased" in (await answer(client, "POST", "/v1.0/fruits", refusal, 410))["detail"]


async def test_value_that_was_moved_to_another_fruit_is_not_shown(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    fruit, other = await create(client, JANE), await create(client, JANE)
    doc = stored(documents, fruit)
    documents.put(**doc | {"address": stored(documents, other)["address"]})
    async with client.get(f"/v1.0/fruits/{fruit['fruit_id']}") as response:
        assert doc["_id"] in (await problem_of(response, 502))["detail"]
    assert await answer(client, "GET", "/v1.0/fruits") == [other]


async def test_it_signs_when_it_has_a_key_set(
    couchdb: CouchDBServer, database_url: str, documents: Documents, protection: Protector, tmp_path: Path
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    async with another_process(couchdb, database_url, protection, signer) as client:
        fruit = await create(client, JANE)
        doc = stored(documents, fruit)
        assert signing.verify(signer, doc)
        documents.put(**doc | {"pin_hash": None})
        await answer(client, "GET", f"/v1.0/fruits/{fruit['fruit_id']}", status=502)


@contextlib.contextmanager
def without_data_keys(folder: Path) -> Iterator[None]:
    """The store of the data keys can't be read."""
    path = folder / "data_keys.sqlite"
    shutil.copyfile(path, folder / "saved")
    path.write_bytes(b"no database " * 1000)
    try:
        yield
    finally:
        shutil.copyfile(folder / "saved", path)


async def test_unreadable_data_keys_are_a_503_and_erase_no_owner(
    couchdb: CouchDBServer, database_url: str, folder: Path
) -> None:
    other_process = Protector.from_folder(folder)
    async with another_process(couchdb, database_url, Protector.from_folder(folder)) as client:
        fruit = await create(client, JANE)
    with without_data_keys(folder):
        async with another_process(couchdb, database_url, other_process) as client:
            await answer(client, "GET", f"/v1.0/fruits/{fruit['fruit_id']}", status=503)
            await answer(client, "PUT", f"/v1.0/fruits/{fruit['fruit_id']}", {"color": "blue"}, 503)
            await answer(client, "POST", "/v1.0/fruits", {"color": "red", "owner": JANE}, 503)
            await answer(client, "DELETE", f"/v1.0/owners/{JANE['owner_id']}", status=503)
    async with another_process(couchdb, database_url, Protector.from_folder(folder)) as client:
        assert await answer(client, "GET", f"/v1.0/fruits/{fruit['fruit_id']}") == fruit


async def bad_requests(client: aiohttp.ClientSession) -> None:
    """Bodies with sensitive values in wrong places."""
    for body in (
        {"color": 7, "owner": JANE},
        {"color": "red", "owner": JANE | {"email": "marker"}},
        {"color": "red", "owner": JANE | {"pin": "marker"}},
        {"color": "red", "owner": JANE | {"owner_id": "marker"}},
        {"color": "red", "owner": JANE | {"address": ["marker"]}},
        {"color": "red", "owner": [JANE]},
        {"color": "red", "owner": JANE | {"more": "marker"}},
    ):
        await answer(client, "POST", "/v1.0/fruits", body, 400)
    for path, name in (("by_email", "email"), (f"{'0' * 32}/pin_check", "pin")):
        await answer(client, "POST", f"/v1.0/fruits/{path}", {name: "marker"}, 400)
        async with client.post(
            f"/v1.0/fruits/{path}",
            data=b'{"x": "marker\xff',
            headers={"Content-Type": "application/json"},
        ) as response:
            await problem_of(response, 400)


async def test_nothing_sensitive_is_printed_or_measured(
    proxy: FaultProxy, documents: Documents, couchdb: CouchDBServer, folder: Path, tmp_path: Path
) -> None:
    """The service, as a process, meets all kinds of errors. Only its answers show sensitive values."""
    signing.new_key_set(tmp_path / "keys.json")
    arguments = {"protection": folder, "keyset": tmp_path / "keys.json", "database": proxy.url, "port": 0}
    async with (
        running(
            "samples.crud.hash_and_encrypt.service",
            *(f"--{name}={value}" for name, value in arguments.items()),
            username=couchdb.username,
            password=couchdb.password,
        ) as service,
        aiohttp.ClientSession(await service.url()) as client,
    ):
        with contextlib.closing(sqlite3.connect(folder / "data_keys.sqlite")) as store, store:
            store.execute("INSERT INTO data_keys VALUES (?, 7)", [JOE["owner_id"]])
        await answer(client, "POST", "/v1.0/fruits", {"color": "red", "owner": JOE}, 500)
        fruit, tampered = await create(client, JANE), await create(client, JANE)
        path = f"/v1.0/fruits/{fruit['fruit_id']}"
        await bad_requests(client)
        for pin, status in ((PIN, 200), ("73915583", 403)):
            await answer(client, "POST", f"{path}/pin_check", {"pin": pin}, status)
        await answer(client, "POST", "/v1.0/fruits/by_email", {"email": EMAIL})
        proxy.inject(changed_first(), "_bulk_docs")
        await answer(client, "PUT", path, {"color": "blue"})
        doc = stored(documents, tampered)
        documents.put(**doc | {"address": doc["email"]})
        await answer(client, "GET", f"/v1.0/fruits/{tampered['fruit_id']}", status=502)
        await answer(client, "GET", "/v1.0/fruits")
        with without_data_keys(folder):
            await answer(client, "DELETE", f"/v1.0/owners/{JOE['owner_id']}", status=503)
        await answer(client, "DELETE", f"/v1.0/owners/{JANE['owner_id']}")
        await answer(client, "POST", f"{path}/pin_check", {"pin": PIN}, 410)
        for accept in ("text/plain", "application/json"):
            async with client.get("/_metrics", headers={"Accept": accept}) as response:
                assert_no_marker(await response.text())
        service.process.terminate()
        assert await service.status() == 0
    printed = "\n".join(service.log)
    for said in (
        "400 POST",
        "502 GET",
        "500 POST",
        "503 DELETE",
        "410 POST",
        "403 POST",
        "ALARM",
        "Traceback",
    ):
        assert said in printed, said
    assert_no_marker(printed)
    for request in proxy.requests:
        assert_no_marker(f"{request.path} {request.body.decode()}")
