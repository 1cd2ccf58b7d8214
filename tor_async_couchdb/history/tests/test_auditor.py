"""An auditor reports documents that were tampered with, and has the witness record the others."""

from typing import Any

import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConnectError
from tor_async_couchdb.history.auditor import Auditor
from tor_async_couchdb.history.masters_witness import MastersWitness
from tor_async_couchdb.history.tests.test_masters_witness import SIGNER
from tor_async_couchdb.history.tests.test_witness import MemoryStore
from tor_async_couchdb.model import Document
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.tests.baskets import BLUE, RED, Basket, FragileBasket, body
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.wire.revision import child


class Alarms(RecordingObserver):
    @property
    def document_ids(self) -> list[str]:
        return [error.document_id for error in self.tampered]


@pytest.fixture
def alarms() -> Alarms:
    return Alarms()


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def auditor(connect: Connect, store: MemoryStore, alarms: Alarms) -> Auditor:
    guard = ProtectingGuard(signer=SIGNER, witness=MastersWitness(store, SIGNER, "east"))
    return Auditor([Basket], database=connect(guard=guard, observer=alarms))


def put(documents: Documents, **properties: Any) -> Document:
    return documents.put(**signing.sign(SIGNER, body(_id="basket", **properties)))


async def test_genuine_document_is_recorded(
    auditor: Auditor, documents: Documents, store: MemoryStore, alarms: Alarms
) -> None:
    put(documents, **RED)
    await auditor.audit("basket")
    assert store.records["id/basket"]["seen"] == {"east": {"": 0, "east": 2}}
    assert alarms.document_ids == []


async def test_document_that_cannot_be_decoded_is_left_to_its_readers(
    auditor: Auditor, documents: Documents, store: MemoryStore, alarms: Alarms
) -> None:
    documents.put_json('{"_id": "basket", "x": ' + "[" * 1500 + "]" * 1500 + "}")
    await auditor.audit("basket")
    assert alarms.document_ids == []
    assert store.records == {}


@pytest.mark.parametrize("change", [{"change_counts": {"east": 1}}, {"color": "black"}])
async def test_document_that_was_rolled_back_or_changed_is_an_alarm(
    auditor: Auditor, documents: Documents, alarms: Alarms, change: Document
) -> None:
    doc = put(documents, **RED)
    await auditor.audit("basket")
    forged = doc | change
    if "color" not in change:
        forged = signing.sign(SIGNER, forged)
    documents.put(**forged)
    await auditor.audit("basket")
    assert alarms.document_ids == ["basket"]


async def test_deletion_and_change_of_the_type_are_alarms(
    auditor: Auditor, documents: Documents, alarms: Alarms
) -> None:
    doc = put(documents, **RED)
    await auditor.audit("basket")
    doc = documents.put(**doc | {"type": "apple_v1.0"})
    await auditor.audit("basket")
    documents.delete(doc)
    await auditor.audit("basket")
    assert alarms.document_ids == ["basket"] * 2


async def test_documents_of_other_types_and_misfits_are_ignored(
    auditor: Auditor, documents: Documents, alarms: Alarms, store: MemoryStore
) -> None:
    other = documents.put(type="apple_v1.0")
    gone = documents.put(type="apple_v1.0")
    documents.delete(gone)
    misfit = documents.put(**signing.sign(SIGNER, {"_id": "misfit", "type": "basket_v1.0"}))
    for document_id in (other["_id"], gone["_id"], misfit["_id"]):
        await auditor.audit(document_id)
    assert (store.records, alarms.document_ids) == ({}, [])


async def test_conflict_is_merged_and_then_recorded(
    auditor: Auditor, documents: Documents, store: MemoryStore, database: Database
) -> None:
    base = put(documents)
    leaves = [signing.sign(SIGNER, body(_id="basket", **each)) for each in (RED, BLUE)]
    documents.put(**leaves[0] | {"_rev": base["_rev"]})
    revision = {**leaves[1], "_rev": "2-b", "_revisions": {"start": 2, "ids": ["b", base["_rev"][2:]]}}
    await database.revisions.insert([revision])
    await auditor.audit("basket")
    assert store.records["id/basket"]["seen"]["east"] == {"": 0, "east": 2, "west": 1}


async def test_change_that_lost_its_race_on_a_cluster_is_no_alarm(
    auditor: Auditor, documents: Documents, database: Database, store: MemoryStore, alarms: Alarms
) -> None:
    base = put(documents, **BLUE)
    sealed, lost = (
        child(base, signing.sign(SIGNER, body(_id="basket", **RED | {"color": color})))
        for color in ("green", "black")
    )
    undone = {"_id": "basket", "type": base["type"], "_deleted": True, "undone": {"rev": lost["_rev"]}}
    buried = child(lost, signing.sign(SIGNER, undone))
    await database.revisions.insert([lost])
    await auditor.audit("basket")
    await database.revisions.insert([sealed, buried])
    await auditor.audit("basket")
    assert alarms.document_ids == []
    leaves = await database.fetch_leaves("basket")
    assert {leaf["_rev"] for leaf in leaves} == {sealed["_rev"], buried["_rev"]}, "nothing was merged"
    assert store.records["id/basket"]["seen"]["east"]["east"] == 2


async def test_witness_that_is_down_is_an_error(
    auditor: Auditor, documents: Documents, store: MemoryStore
) -> None:
    put(documents, **RED)
    store.is_down = True
    with pytest.raises(ConnectError):
        await auditor.audit("basket")


async def test_model_that_may_lose_changes_by_itself_is_refused(database: Database) -> None:
    with pytest.raises(TypeError, match="FragileBasket"):
        Auditor([FragileBasket], database=database)
