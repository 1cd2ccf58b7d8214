from typing import Annotated

import aiohttp
import pytest

from tor_async_couchdb.conflicts.plan import child
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.history.tests.test_masters_witness import SIGNER
from tor_async_couchdb.history.tests.test_witness import MemoryStore
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import Immutable, Latest
from tor_async_couchdb.tests.things import Documents, Thing
from tor_async_service.app.application import ServiceApplication
from tor_async_service.couchdb.reconciling import reconcile
from tor_async_service.tests.serving import serving

CONFLICTS = {
    "language": "javascript",
    "views": {
        "conflicts": {
            "map": "function(doc) { if (doc._conflicts) { emit(doc._conflicts, null); } }",
            "reduce": "_count",
        }
    },
}


class Note(Model, tag="note_v1.0"):
    key: Annotated[str, Immutable()]
    noted_on: Annotated[int, Latest()]


async def metrics(client: aiohttp.ClientSession) -> list[str]:
    async with client.get("/_metrics", headers={"Accept": "text/plain"}) as answer:
        return (await answer.text()).splitlines()


async def test_documents_in_conflict_are_counted_as_they_are_now(
    database: Database, documents: Documents
) -> None:
    documents.put(_id="_design/conflicts", **CONFLICTS)
    app = ServiceApplication([], database, version="1")
    reconcile(app, Note, master="one")
    async with serving(app) as client:
        assert "replication_conflicts_unresolved 0.0" in await metrics(client)
        for _ in range(2):
            base = documents.put(type="note_v1.0", key="k", noted_on=1)
            leaves = [{"type": "note_v1.0", "key": "k", "noted_on": n} for n in (2, 3)]
            await database.revisions.insert([child(base, leaf) for leaf in leaves])
        assert "replication_conflicts_unresolved 2.0" in await metrics(client)
    assert len(app.background_work) == 1


def test_a_model_that_does_not_say_how_it_merges_is_refused(lone_database: Database) -> None:
    with pytest.raises(TypeError, match=r"Thing\.count"):
        reconcile(ServiceApplication([], lone_database, version="1"), Thing, master="one")


def test_signer_that_was_set_before_stays_where_no_key_set_is_given(lone_database: Database) -> None:
    lone_database.tampering_signer = SIGNER
    reconcile(ServiceApplication([], lone_database, version="1"), Note, master="one")
    assert lone_database.tampering_signer is SIGNER


def test_note_that_counts_no_changes_can_not_be_witnessed(lone_database: Database) -> None:
    app = ServiceApplication([], lone_database, version="1")
    with pytest.raises(TypeError, match="Note needs a Counter"):
        reconcile(app, Note, master="one", keyset=SIGNER, witness=MemoryStore())
