"""The attacker and the forgetting of people, played on the samples."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import argon2
import pytest

from samples.crud.hash_and_encrypt.service import make_app as make_encrypting_app
from samples.crud.tampering.service import make_app as make_tampering_app
from tor_async_couchdb import Database
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.folder import Protector, new_protection
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.hashing import SlowHasher
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_service import Parts, ServiceMetrics
from tor_async_service.couchdb.protecting import PROTECTING
from tor_async_service.tests.serving import serving
from watch.attacks import ATTACKS, AsyncAttacker
from watch.people import AsyncPeople
from watch.plain_couchdb import MissingError, PlainDatabase, PlainDatabaseError
from watch.service_client import ServiceUnreachableError

_DESIGN_DOCS = Path(__file__).parents[2] / "db_installer" / "design_docs"
_QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def plain(couchdb: CouchDBServer, couchdb_database_url: str, session: aiohttp.ClientSession) -> PlainDatabase:
    name = couchdb_database_url.rpartition("/")[2]
    for path in _DESIGN_DOCS.glob("*.json"):
        couchdb.succeed("PUT", f"{name}/_design/{path.stem}", json=json.loads(path.read_text()))
    return PlainDatabase(couchdb_database_url, session, username=couchdb.username, password=couchdb.password)


@pytest.fixture
async def attacker(
    couchdb: CouchDBServer,
    couchdb_database_url: str,
    plain: PlainDatabase,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> AsyncIterator[AsyncAttacker]:
    signing.new_key_set(tmp_path / "keys.json")
    guard = ProtectingGuard(signer=TamperingSigner.from_file(tmp_path / "keys.json"))
    metrics = ServiceMetrics()
    async with (
        Database(
            couchdb_database_url,
            username=couchdb.username,
            password=couchdb.password,
            guard=guard,
            observer=metrics,
        ) as database,
        serving(make_tampering_app(database, parts=Parts(metrics=metrics))) as client,
    ):
        yield AsyncAttacker(str(client._base_url).rstrip("/"), plain, session)


@pytest.fixture
async def people(
    couchdb: CouchDBServer,
    couchdb_database_url: str,
    plain: PlainDatabase,
    session: aiohttp.ClientSession,
    tmp_path: Path,
) -> AsyncIterator[AsyncPeople]:
    new_protection(tmp_path / "protection")
    protection = Protector.from_folder(tmp_path / "protection")
    protection.slow_hasher = SlowHasher(protection.pepper, _QUICK)
    async with (
        Database(
            couchdb_database_url,
            username=couchdb.username,
            password=couchdb.password,
            guard=PROTECTING.make(protection=protection),
        ) as database,
        serving(make_encrypting_app(database, protection)) as client,
    ):
        yield AsyncPeople(str(client._base_url).rstrip("/"), plain, session)


@pytest.mark.parametrize("name", [*ATTACKS])
async def test_an_attack_is_caught_or_not_as_it_says(attacker: AsyncAttacker, name: str) -> None:
    result = await attacker.play(ATTACKS[name])
    assert result["is_caught"] == ATTACKS[name].is_caught
    assert result["alarms"] == (1 if ATTACKS[name].is_caught else 0)
    assert result["status"] == {"older": 200, "delete": 404}.get(name, 502)
    assert result["after"] != result["before"]


async def test_an_attack_leaves_nothing_behind(attacker: AsyncAttacker, plain: PlainDatabase) -> None:
    for attack in ATTACKS.values():
        await attacker.play(attack)
    assert await plain.recent(10) == []


async def test_a_person_is_shown_by_the_service_and_hidden_in_the_database(people: AsyncPeople) -> None:
    person = await people.add()
    assert person["answer"]["email"] == "jane@example.com"
    assert "jane@example.com" not in str(person["stored"])
    assert "Orchard" not in str(person["stored"])


async def test_a_person_who_was_forgotten_can_be_read_by_nobody(people: AsyncPeople) -> None:
    person = await people.add()
    forgotten = await people.forget(person["fruit_id"])
    assert forgotten["answer"]["email"] is None
    assert forgotten["stored"]["email"] == person["stored"]["email"]


async def test_a_fruit_without_an_owner_has_nobody_to_forget(people: AsyncPeople) -> None:
    async with people.session.post(f"{people.url}/v1.0/fruits", json={"color": "red"}) as answer:
        fruit_id = (await answer.json())["fruit_id"]
    with pytest.raises(MissingError, match="no owner"):
        await people.forget(fruit_id)
    with pytest.raises(MissingError):
        await people.look("0" * 32)


async def test_a_service_that_is_away_is_an_error(
    plain: PlainDatabase, session: aiohttp.ClientSession
) -> None:
    with pytest.raises(ServiceUnreachableError):
        await AsyncAttacker("http://127.0.0.1:1", plain, session).play(ATTACKS["change"])


async def test_a_database_that_is_away_or_refuses_is_an_error(
    couchdb_database_url: str, session: aiohttp.ClientSession
) -> None:
    for url, password in (("http://127.0.0.1:1/none", "x"), (couchdb_database_url, "wrong")):
        database = PlainDatabase(url, session, username="admin", password=password)
        with pytest.raises(PlainDatabaseError):
            await database.recent(1)


async def test_all_leaves_of_a_document_are_shown(
    plain: PlainDatabase, couchdb: CouchDBServer, couchdb_database_url: str
) -> None:
    docs = [
        {"_id": "x", "_rev": f"1-{letter * 32}", "_revisions": {"start": 1, "ids": [letter * 32]}}
        for letter in "ab"
    ]
    name = couchdb_database_url.rpartition("/")[2]
    couchdb.succeed("POST", f"{name}/_bulk_docs", json={"new_edits": False, "docs": docs})
    assert {leaf["_rev"][:3] for leaf in await plain.leaves("x")} == {"1-a", "1-b"}
    (document,) = await plain.recent(1)
    assert document["_conflicts"] == [f"1-{'a' * 32}"]
