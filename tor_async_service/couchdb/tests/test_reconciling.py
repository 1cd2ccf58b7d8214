import asyncio
import time
from pathlib import Path
from typing import Annotated

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.history.witness import DatabaseWitnessStore, WitnessStore
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import Immutable, Latest
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.tests.things import Documents, Thing
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.revision import child
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.app.options import parse
from tor_async_service.couchdb.reconciling import MASTERS, Reconciling
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


async def metrics_lines(client: aiohttp.ClientSession) -> list[str]:
    async with client.get("/_metrics", headers={"Accept": "text/plain"}) as answer:
        return (await answer.text()).splitlines()


async def test_documents_in_conflict_are_counted_as_they_are_now(
    database: Database, documents: Documents, parts: Parts
) -> None:
    documents.put(_id="_design/conflicts", **CONFLICTS)
    reconciling = Reconciling(Note, database=database)
    app = ServiceApplication([], database, version="1", own_metrics=[reconciling], parts=parts)
    async with serving(app) as client:
        assert "replication_conflicts_unresolved 0.0" in await metrics_lines(client)
        for _ in range(2):
            base = documents.put(type="note_v1.0", key="k", noted_on=1)
            leaves = [{"type": "note_v1.0", "key": "k", "noted_on": n} for n in (2, 3)]
            await database.revisions.insert([child(base, leaf) for leaf in leaves])
        assert "replication_conflicts_unresolved 2.0" in await metrics_lines(client)


async def test_moment_when_all_changes_were_handled_is_shown(
    database: Database, documents: Documents, parts: Parts
) -> None:
    documents.put(_id="_design/conflicts", **CONFLICTS)
    reconciling = Reconciling(Note, database=database)
    app = ServiceApplication([], database, version="1", own_metrics=[reconciling], parts=parts)
    name = "replication_changes_handled_timestamp_seconds"
    registry, started_s = parts.metrics.registry, time.time()
    assert registry.get_sample_value(name) == 0
    running = asyncio.create_task(reconciling.run())
    await wait_until(lambda: (registry.get_sample_value(name) or 0) >= started_s)
    running.cancel()
    await asyncio.wait([running])
    assert app.service.metrics is parts.metrics


def test_model_that_does_not_say_how_it_merges_is_refused(absent_database: Database) -> None:
    with pytest.raises(TypeError, match=r"Thing\.count"):
        Reconciling(Thing, database=absent_database)


DOCUMENT: Document = {"_id": "a", "type": "note_v1.0"}


@pytest.fixture
def keyset(tmp_path: Path) -> TamperingSigner:
    signing.new_key_set(tmp_path / "keys.json")
    return TamperingSigner.from_file(tmp_path / "keys.json")


@pytest.fixture
def store(absent_database: Database) -> WitnessStore:
    return DatabaseWitnessStore(absent_database)


def test_guard_of_a_master_without_a_key_set_does_not_sign() -> None:
    guard: Guard = MASTERS.make(master="one", keyset=None, witness=None)
    assert guard.sign(dict(DOCUMENT)) == DOCUMENT
    assert not guard.keeps_history


def test_guard_of_a_master_signs_by_the_key_set_and_keeps_history_with_a_witness(
    keyset: TamperingSigner, store: WitnessStore
) -> None:
    for witness in (None, store):
        guard: Guard = MASTERS.make(master="one", keyset=keyset, witness=witness)
        assert signing.verify(keyset, guard.sign(dict(DOCUMENT)))
        assert guard.keeps_history is (witness is not None)


def test_model_that_counts_no_changes_can_not_be_witnessed(
    keyset: TamperingSigner, store: WitnessStore
) -> None:
    guard = MASTERS.make(master="one", keyset=keyset, witness=store)
    with pytest.raises(TypeError, match="Note needs a Counter"):
        Reconciling(Note, database=Database("http://127.0.0.1:1/absent", guard=guard))


@pytest.mark.parametrize(
    ("given", "lacks"),
    [
        (["--master=one", "--witness=http://host/witness"], "argument --master: needs --keyset too"),
        (["--witness=http://host/witness"], "argument --witness: needs --master too"),
    ],
)
def test_witness_of_a_master_needs_its_name_and_a_key_set(
    capsys: pytest.CaptureFixture[str], given: list[str], lacks: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("x", given, {}, own_options=MASTERS.options)
    assert lacks in capsys.readouterr().err.splitlines()[-1]


def test_guard_of_a_master_without_a_name_has_no_witness(
    keyset: TamperingSigner, store: WitnessStore
) -> None:
    assert not MASTERS.make(keyset=keyset).keeps_history
    with pytest.raises(ValueError, match="needs the name of the master"):
        MASTERS.make(keyset=keyset, witness=store)
