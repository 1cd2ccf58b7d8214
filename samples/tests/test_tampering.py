"""The attack matrix of the sample tampering: each test changes the database as its administrator could."""

import base64
import contextlib
import dataclasses
import logging
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from samples.crud.tampering.service import make_app
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.history.witness import DatabaseWitnessStore, WitnessStore
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection import key_set, signing
from tor_async_couchdb.protection.keyczar import KeyczarKeySet, KeyczarSigner, TransitionalSigner
from tor_async_couchdb.protection.signing import Signer, TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.couchdb.signing import SIGNING
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import problem_of, serving

Document = dict[str, Any]


@dataclasses.dataclass
class Attacked:
    """A service, and its database as its administrator sees it: with all rights, and without a key."""

    client: aiohttp.ClientSession
    documents: Documents

    async def create(self) -> Document:
        """The document of a new fruit that has been changed once; its colors are crimson, then emerald."""
        fruit = await self._answer("POST", "/v1.0/fruits", 201, {"color": "crimson"})
        await self.put(fruit)
        return self.document(fruit["fruit_id"])

    def document(self, fruit_id: str) -> Document:
        return next(doc for doc in self.documents.all() if doc.get("fruit_id") == fruit_id)

    async def put(self, doc: Document, status: int = 200) -> Document:
        return await self._answer("PUT", f"/v1.0/fruits/{doc['fruit_id']}", status, {"color": "emerald"})

    async def get(self, doc: Document, status: int = 200) -> Document:
        return await self._answer("GET", f"/v1.0/fruits/{doc['fruit_id']}", status)

    async def listed(self) -> tuple[set[str], str]:
        """The ids of the fruits in the list, and how many it leaves out because of tampering."""
        async with self.client.get("/v1.0/fruits") as response:
            assert response.status == 200
            return {fruit["fruit_id"] for fruit in await response.json()}, response.headers.get(
                "Tampered-Count", "0"
            )

    async def assert_caught(self, doc: Document, *hidden: str) -> None:
        """It is neither read, changed nor listed; the problem names the document and shows no value."""
        async with self.client.get(f"/v1.0/fruits/{doc['fruit_id']}") as response:
            problem = await problem_of(response, 502)
        assert doc["_id"] in problem["detail"]
        assert not any(value in str(problem) for value in ("emerald", "crimson", *hidden))
        await self.put(doc, 502)
        fruits, count = await self.listed()
        assert doc["fruit_id"] not in fruits
        assert int(count) >= 1

    async def _answer(self, method: str, path: str, status: int, body: Document | None = None) -> Document:
        async with self.client.request(method, path, json=body) as response:
            assert response.status == status, await response.text()
            answer: Document = await response.json(content_type=None)
            return answer


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    signing.new_key_set(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@contextlib.asynccontextmanager
async def running(
    couchdb: CouchDBServer, documents: Documents, signer: Signer, witness: WitnessStore | None = None
) -> AsyncIterator[Attacked]:
    """The service, as it runs with this key set and this witness."""
    parts = Parts(metrics=ServiceMetrics())
    async with (
        Database(
            f"{couchdb.url}/{documents.name}",
            username=couchdb.username,
            password=couchdb.password,
            guard=SIGNING.make(keyset=signer, witness=witness),
            observer=parts.metrics,
        ) as database,
        serving(make_app(database, parts=parts)) as client,
    ):
        yield Attacked(client, documents)


@pytest.fixture
async def attacked(couchdb: CouchDBServer, documents: Documents, keys: Path) -> AsyncIterator[Attacked]:
    """The service without a witness."""
    async with running(couchdb, documents, TamperingSigner.from_file(keys)) as attacked:
        yield attacked


@pytest.fixture
async def witnessed(couchdb: CouchDBServer, documents: Documents, keys: Path) -> AsyncIterator[Attacked]:
    """The service with a witness."""
    with couchdb.new_database() as url:
        store = DatabaseWitnessStore(Database(url, username=couchdb.username, password=couchdb.password))
        async with running(couchdb, documents, TamperingSigner.from_file(keys), store) as attacked:
            yield attacked


def _without(doc: Document, *names: str) -> Document:
    return {name: value for name, value in doc.items() if name not in names}


def _signed_by_another_key(doc: Document, tmp_path: Path) -> Document:
    signing.new_key_set(tmp_path / "own.json")
    return signing.sign(TamperingSigner.from_file(tmp_path / "own.json"), doc | {"color": "black"})


def _signed_as_keyczar_did(doc: Document, tmp_path: Path) -> Document:
    key_set = KeyczarKeySet({b"1234": b"another"}, b"1234")
    return signing.sign(KeyczarSigner(key_set, signs=True), doc | {"color": "black"})


def _forged_under_a_known_key_id(doc: Document, tmp_path: Path) -> Document:
    signature = base64.b64decode(doc[SIGNATURE_PROPERTY_NAME])
    forged = base64.b64encode(signature[:5] + bytes(len(signature) - 5)).decode()
    return doc | {SIGNATURE_PROPERTY_NAME: forged}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda doc, _: doc | {"color": "black"}, id="change a property"),
        pytest.param(lambda doc, _: doc | {"change_count": 0}, id="change a number"),
        pytest.param(lambda doc, _: doc | {"added": "black"}, id="add a property"),
        pytest.param(lambda doc, _: _without(doc, "color"), id="remove a property"),
        pytest.param(lambda doc, _: doc | {"type": "fruit_v1.1"}, id="change the version of the type"),
        pytest.param(lambda doc, _: _without(doc, SIGNATURE_PROPERTY_NAME), id="strip the signature"),
        pytest.param(lambda doc, _: doc | {SIGNATURE_PROPERTY_NAME: 7}, id="a signature that is a number"),
        pytest.param(lambda doc, _: doc | {SIGNATURE_PROPERTY_NAME: None}, id="a signature that is null"),
        pytest.param(_forged_under_a_known_key_id, id="forge under a known key id"),
        pytest.param(_signed_by_another_key, id="forge with an unknown key id"),
        pytest.param(_signed_as_keyczar_did, id="a signature of another type"),
    ],
)
async def test_changed_document_is_caught(
    attacked: Attacked, tmp_path: Path, change: Callable[[Document, Path], Document]
) -> None:
    doc = await attacked.create()
    untouched = await attacked.create()
    attacked.documents.put(**change(doc, tmp_path))
    await attacked.assert_caught(doc, "black")
    assert (await attacked.listed())[0] == {untouched["fruit_id"]}


async def test_document_of_a_changed_type_is_missing(
    attacked: Attacked,
) -> None:
    doc = await attacked.create()
    attacked.documents.put(**doc | {"type": "apple_v1.0"})
    await attacked.get(doc, 404)  # the view lacks it, as if it were deleted; a witness catches that


async def test_document_of_a_changed_type_is_caught_by_the_witness(witnessed: Attacked) -> None:
    doc = await witnessed.create()
    witnessed.documents.put(**doc | {"type": "apple_v1.0"})
    await witnessed.get(doc, 502)


async def test_copy_under_another_id_is_caught(attacked: Attacked) -> None:
    doc = await attacked.create()
    attacked.documents.put(**_without(doc, "_rev") | {"_id": "0"})  # before the original, for a view
    _, count = await attacked.listed()
    assert count == "1"


async def test_copy_of_what_keyczar_signed_is_not_caught(
    couchdb: CouchDBServer, documents: Documents, keys: Path
) -> None:
    """An old signature does not cover the id. Re-signing ends this."""
    old = KeyczarSigner(KeyczarKeySet({b"1234": b"key"}, b"1234"), signs=True)
    new = TamperingSigner.from_file(keys)
    async with running(couchdb, documents, old) as attacked:
        doc = await attacked.create()
    async with running(couchdb, documents, TransitionalSigner(new, old)) as attacked:
        documents.put(**_without(doc, "_rev") | {"_id": "0"})
        assert await attacked.listed() == ({doc["fruit_id"]}, "0")
    async with running(couchdb, documents, new) as attacked:
        assert await attacked.listed() == (set(), "1")


async def test_swapped_documents_are_caught(attacked: Attacked) -> None:
    one, other = await attacked.create(), await attacked.create()
    for doc, swapped in ((one, other), (other, one)):
        attacked.documents.put(**swapped | {"_id": doc["_id"], "_rev": doc["_rev"]})
    assert await attacked.listed() == (set(), "2")
    for doc in (one, other):
        await attacked.get(doc, 502)


async def _rolled_back(attacked: Attacked) -> Document:
    """A document that was put back to an older revision, with the signature of that time."""
    old = await attacked.create()
    await attacked.put(old)
    new = attacked.document(old["fruit_id"])
    attacked.documents.put(**old | {"_rev": new["_rev"]})
    return old


async def test_older_signed_revision_is_not_caught_without_a_witness(attacked: Attacked) -> None:
    doc = await _rolled_back(attacked)
    assert (await attacked.get(doc))["change_count"] == 1


async def test_older_signed_revision_is_caught_by_the_witness(witnessed: Attacked) -> None:
    await witnessed.assert_caught(await _rolled_back(witnessed))


async def test_deleted_document_is_not_caught_without_a_witness(attacked: Attacked) -> None:
    doc = await attacked.create()
    attacked.documents.delete(doc)
    await attacked.get(doc, 404)


async def test_deleted_document_is_caught_by_the_witness(witnessed: Attacked) -> None:
    doc = await witnessed.create()
    witnessed.documents.delete(doc)
    problem = await witnessed.get(doc, 502)
    assert doc["_id"] in problem["detail"]
    await witnessed.put(doc, 502)


async def test_deleted_fruit_that_was_restored_is_caught(witnessed: Attacked) -> None:
    doc = await witnessed.create()
    async with witnessed.client.delete(f"/v1.0/fruits/{doc['fruit_id']}") as response:
        assert response.status == 200
    await witnessed.get(doc, 404)
    witnessed.documents.put(**_without(doc, "_rev"))
    await witnessed.assert_caught(doc)


@pytest.mark.parametrize(("rev", "is_caught"), [("9-f", True), ("1-0", False)])
async def test_conflicting_leaf_is_caught_if_couchdb_shows_it(
    attacked: Attacked, couchdb: CouchDBServer, rev: str, is_caught: bool
) -> None:
    """A leaf that loses is never read. A merge verifies each leaf (see test_resolver)."""
    doc = await attacked.create()
    leaf = doc | {"color": "black", "_rev": rev.replace("-", "-" + "0" * 31)}
    body = {"docs": [leaf], "new_edits": False}
    couchdb.succeed("POST", f"{attacked.documents.name}/_bulk_docs", json=body)
    assert attacked.documents.get(doc["_id"], conflicts="true")["_conflicts"]
    if is_caught:
        await attacked.assert_caught(doc, "black")
    else:
        assert (await attacked.get(doc))["color"] == "emerald"


async def test_change_that_is_replicated_from_another_database_is_caught(
    attacked: Attacked, couchdb: CouchDBServer
) -> None:
    doc = await attacked.create()
    with couchdb.new_database() as url:
        elsewhere = Documents(couchdb, url)
        _replicate(couchdb, attacked.documents.name, elsewhere.name)
        elsewhere.put(**elsewhere.get(doc["_id"]) | {"color": "black"})
        _replicate(couchdb, elsewhere.name, attacked.documents.name)
    assert attacked.documents.get(doc["_id"])["color"] == "black"
    await attacked.assert_caught(doc, "black")


def _replicate(couchdb: CouchDBServer, source: str, target: str) -> None:
    auth = {"basic": {"username": couchdb.username, "password": couchdb.password}}
    source_and_target = [{"url": f"{couchdb.url}/{name}", "auth": auth} for name in (source, target)]
    job = dict(zip(("source", "target"), source_and_target, strict=True))
    assert couchdb.succeed("POST", "_replicate", json=job).json()["ok"]


async def test_what_a_retired_key_signed_is_caught(
    couchdb: CouchDBServer, documents: Documents, keys: Path, tmp_path: Path
) -> None:
    stolen = tmp_path / "stolen.json"
    shutil.copyfile(keys, stolen)
    old = next(iter(key_set.key_states(keys)))
    key_set.promote_key(keys, key_set.add_key(keys))
    async with running(couchdb, documents, TamperingSigner.from_file(keys)) as attacked:
        doc = await attacked.create()
        forged = signing.sign(TamperingSigner.from_file(stolen), doc | {"color": "black"})
        forged["_rev"] = documents.put(**forged)["_rev"]
        assert (await attacked.get(doc))["color"] == "black"  # until the key that was stolen is retired
    key_set.retire_key(keys, old)
    async with running(couchdb, documents, TamperingSigner.from_file(keys)) as attacked:
        await attacked.assert_caught(doc, "black")


async def test_alarm_is_logged_once_for_each_document_and_counted_each_time(
    attacked: Attacked, caplog: pytest.LogCaptureFixture
) -> None:
    doc = await attacked.create()
    attacked.documents.put(**doc | {"color": "black"})
    for _ in range(3):
        await attacked.get(doc, 502)
    await attacked.listed()
    alarms = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert [alarm.getMessage() for alarm in alarms] == [
        f"ALARM: tampering detected in document {doc['_id']!r}"
    ]
    assert "black" not in caplog.text
    async with attacked.client.get("/_metrics", headers={"Accept": "text/plain"}) as response:
        lines = (await response.text()).splitlines()
    assert "tampering_detected_total 4.0" in lines
    assert 'documents_left_out_total{error="TamperedError"} 1.0' in lines
