"""The witness detects each rollback and each deletion, and raises no false alarm in any interleaving."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, ConnectError, NotFoundError, TamperedError, TransportError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.history.witness import DatabaseWitnessStore, Witness
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.change_sets import ChangeSet
from tor_async_couchdb.model.properties import ChangeCount, CountedOnce, Counter, UniqueKey
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, changed_first, cut_before
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents, Thing, ThingByIDRetriever, ThingsRetriever

VIEW = "thing_by_key"


class KeyedThing(Model, tag="thing_v1.0"):
    """A thing that is found by its unique key."""

    key: Annotated[str, UniqueKey(VIEW)]
    count: Annotated[int, ChangeCount()] = 0


class KeyedThingRetriever(AsyncModelRetriever[KeyedThing]):
    """Finds a thing by its unique key."""


class MemoryStore:
    """A store in memory. Each of its steps takes some iterations of the event loop, by chance."""

    def __init__(self) -> None:
        self.records: dict[str, Document] = {}
        self.random = random.Random(0)  # noqa: S311 - chooses an order, not a secret
        self.is_down = False

    async def pause(self) -> None:
        for _ in range(self.random.randrange(4)):
            await asyncio.sleep(0)

    async def fetch(self, record_id: str) -> Document | None:
        await self.pause()
        if self.is_down:
            raise ConnectError("down")
        return self.records.get(record_id)

    async def save(self, record: Document) -> None:
        await self.pause()
        current = self.records.get(record["_id"], {}).get("_rev", 0)
        if record.get("_rev", 0) != current:
            raise ConflictError(409, "conflict", "x", method="POST", path="x")
        self.records[record["_id"]] = record | {"_rev": current + 1}

    async def close(self) -> None:
        pass


# All tests in memory are about the thing with this id.
SOUGHT = Sought(Thing, None, "1")


async def no_leaves(document_id: str) -> list[Document]:
    raise AssertionError("a witness of one database needs no leaves")


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> TamperingSigner:
    path = tmp_path_factory.mktemp("keys") / "keys.json"
    signing.new_key_set(path)
    return TamperingSigner.from_file(path)


class World:
    """One document in memory, its witness, and the tasks that use it at the same time."""

    def __init__(self, signer: TamperingSigner, seed: int) -> None:
        self.store = MemoryStore()
        self.random = self.store.random = random.Random(seed)  # noqa: S311
        self.witness = Witness(self.store, signer)
        self.thing: Thing | None = None
        self.reads = 0

    async def read(self) -> Thing | None:
        await self.store.pause()
        return self.thing

    async def check_not_rolled_back(self) -> Thing | None:
        self.reads += 1
        return await self.witness.check_not_rolled_back(await self.read(), SOUGHT, self.read, no_leaves)

    def crashes(self) -> bool:
        return self.random.random() < 0.1

    async def reader(self) -> None:
        for _ in range(20):
            await self.check_not_rolled_back()

    async def updater(self) -> None:
        for _ in range(10):
            thing = await self.check_not_rolled_back()
            await self.store.pause()
            if thing is None or self.thing is not thing:  # a conflict: another task was faster
                continue
            self.thing = written = Thing(id="1", key="a", count=thing.count + 1)
            if not self.crashes():
                await self.store.pause()
                await self.witness.wrote(written)

    async def deleter(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        thing = await self.check_not_rolled_back()
        if thing is not None:
            await self.witness.deletes(thing)
            await self.store.pause()
            if self.thing is thing:
                self.thing = None
                if not self.crashes():
                    await self.store.pause()
                    await self.witness.deleted(thing)

    async def run(self) -> None:
        self.thing = Thing(id="1", key="a")
        actors = [self.updater() for _ in range(3)] + [self.reader() for _ in range(3)]
        actors += [self.deleter() for _ in range(self.random.randrange(3))]
        await asyncio.gather(self.witness.wrote(self.thing), *actors)


@settings(deadline=None)
@given(seed=st.integers(0, 2**32))
def test_no_interleaving_raises_a_false_alarm(signer: TamperingSigner, seed: int) -> None:
    world = World(signer, seed)
    asyncio.run(world.run())  # it raises the TamperedError of any task
    assert world.reads >= 60


async def test_model_that_is_deleted_during_the_check_is_absent_and_no_alarm(
    signer: TamperingSigner,
) -> None:
    world = World(signer, 0)
    changed = Thing(id="1", key="a", count=1)
    await world.witness.wrote(changed)

    async def read_again() -> Thing | None:
        await world.witness.deletes(changed)
        return None

    old = Thing(id="1", key="a")
    assert await world.witness.check_not_rolled_back(old, SOUGHT, read_again, no_leaves) is None


@pytest.mark.parametrize("count", [0, 2, None])
async def test_model_that_is_behind_its_record_is_an_alarm(
    signer: TamperingSigner, count: int | None
) -> None:
    world = World(signer, 0)
    await world.witness.wrote(Thing(id="1", key="a", count=3))
    world.thing = None if count is None else Thing(id="1", key="a", count=count)
    with pytest.raises(TamperedError) as caught:
        await world.check_not_rolled_back()
    assert caught.value.document_id == "1"


async def test_model_that_is_put_back_after_its_deletion_is_an_alarm(signer: TamperingSigner) -> None:
    world = World(signer, 0)
    world.thing = Thing(id="1", key="a", count=3)
    await world.witness.wrote(world.thing)
    await world.witness.deletes(world.thing)
    assert await world.check_not_rolled_back() == world.thing
    await world.witness.deleted(world.thing)
    with pytest.raises(TamperedError):
        await world.check_not_rolled_back()


async def test_crash_leaves_one_change_uncovered_until_the_next_change(signer: TamperingSigner) -> None:
    world = World(signer, 0)
    await world.witness.wrote(Thing(id="1", key="a", count=1))
    world.thing = Thing(id="1", key="a", count=2)  # written by a process that crashed then
    assert await world.check_not_rolled_back() == world.thing
    world.thing = Thing(id="1", key="a", count=1)
    assert await world.check_not_rolled_back() == world.thing  # uncovered
    await world.witness.wrote(Thing(id="1", key="a", count=3))
    with pytest.raises(TamperedError):
        await world.check_not_rolled_back()


async def test_record_that_is_written_late_replaces_no_newer_one(signer: TamperingSigner) -> None:
    world = World(signer, 0)
    for count in (1, 3, 2):
        await world.witness.wrote(Thing(id="1", key="a", count=count))
    assert world.store.records["id/1"]["change_count"] == 3


async def test_model_without_a_record_is_trusted(signer: TamperingSigner) -> None:
    world = World(signer, 0)
    assert await world.check_not_rolled_back() is None
    world.thing = Thing(id="1", key="a")
    assert await world.check_not_rolled_back() is world.thing


@pytest.mark.parametrize("change", [{"change_count": 0}, {"state": "deleted"}, {"document_id": "2"}])
async def test_changed_record_is_an_alarm(signer: TamperingSigner, change: dict[str, Any]) -> None:
    world = World(signer, 0)
    world.thing = Thing(id="1", key="a", count=1)
    await world.witness.wrote(world.thing)
    world.store.records["id/1"] |= change
    with pytest.raises(TamperedError) as caught:
        await world.check_not_rolled_back()
    assert caught.value.document_id == "id/1"


async def test_record_of_another_model_is_an_alarm(signer: TamperingSigner) -> None:
    world = World(signer, 0)
    world.thing = Thing(id="1", key="a")
    await world.witness.wrote(Thing(id="2", key="b"))
    world.store.records["id/1"] = world.store.records["id/2"]
    with pytest.raises(TamperedError):
        await world.check_not_rolled_back()


async def test_write_does_not_fail_while_the_witness_is_down_but_a_deletion_does(
    signer: TamperingSigner, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(signer, 0)
    world.store.is_down = True
    await world.witness.wrote(Thing(id="1", key="a"))
    await world.witness.deleted(Thing(id="1", key="a"))
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["document '1' is not covered by the witness: down"] * 2
    with pytest.raises(ConnectError):
        await world.witness.deletes(Thing(id="1", key="a"))


def test_counts_of_several_masters_are_summed(signer: TamperingSigner) -> None:
    class Counted(Model, tag="counted_v1.0"):
        counts: Annotated[dict[str, int], Counter()]

    world = World(signer, 0)
    asyncio.run(world.witness.wrote(Counted(id="1", counts={"east": 3, "west": 4})))
    assert world.store.records["id/1"]["change_count"] == 7


def test_changes_of_several_processes_are_counted(signer: TamperingSigner) -> None:
    class Listed(Model, tag="listed_v1.0"):
        changes: Annotated[ChangeSet, CountedOnce()]

    world = World(signer, 0)
    changes = {"2026-10-27": [(1, 812)], "2026-11-26.a": [(1, 4), (6, 6)]}
    asyncio.run(world.witness.wrote(Listed(id="1", changes=changes)))
    assert world.store.records["id/1"]["change_count"] == 817


@pytest.fixture
async def witness_proxy(couchdb: CouchDBServer) -> AsyncIterator[FaultProxy]:
    with couchdb.new_database() as url:
        async with FaultProxy(url) as proxy:
            yield proxy


@pytest.fixture
async def witness_database(connect: Connect, witness_proxy: FaultProxy) -> Database:
    return connect(witness_proxy.url)


@pytest.fixture
async def witnessed(
    connect: Connect, witness_database: Database, signer: TamperingSigner, documents: Documents
) -> Database:
    documents.put_view()
    witness = Witness(DatabaseWitnessStore(witness_database), signer)
    return connect(guard=ProtectingGuard(signer=signer, witness=witness))


async def test_rollback_in_couchdb_is_an_alarm(witnessed: Database, documents: Documents) -> None:
    thing = await AsyncPersister(Thing(key="a"), database=witnessed).persist()
    old = documents.get(str(thing.id))
    thing = await AsyncPersister(thing.replace(count=1), database=witnessed).persist()
    assert await ThingByIDRetriever(str(thing.id), database=witnessed).fetch() == thing
    documents.put(**old | {"_rev": thing.rev})
    with pytest.raises(TamperedError):
        await ThingByIDRetriever(str(thing.id), database=witnessed).fetch()
    assert await ThingsRetriever(VIEW, database=witnessed).fetch() == []


async def test_deletion_in_couchdb_is_an_alarm(witnessed: Database, documents: Documents) -> None:
    thing = await AsyncPersister(KeyedThing(key="a"), database=witnessed).persist()
    assert await KeyedThingRetriever(VIEW, "a", database=witnessed).fetch() == thing
    documents.delete(documents.get(str(thing.id)))
    with pytest.raises(TamperedError) as caught:
        await KeyedThingRetriever(VIEW, "a", database=witnessed).fetch()
    assert caught.value.document_id == thing.id
    assert await KeyedThingRetriever(VIEW, "b", database=witnessed).fetch() is None


async def test_deletion_by_the_service_is_no_alarm(witnessed: Database) -> None:
    thing = await AsyncPersister(KeyedThing(key="a"), database=witnessed).persist()
    await AsyncDeleter(thing, database=witnessed).delete()
    assert await KeyedThingRetriever(VIEW, "a", database=witnessed).fetch() is None
    assert await ThingsRetriever(VIEW, database=witnessed).fetch() == []


async def test_lost_race_for_a_record_is_retried(
    witnessed: Database, witness_database: Database, witness_proxy: FaultProxy
) -> None:
    thing = await AsyncPersister(KeyedThing(key="a"), database=witnessed).persist()
    witness_proxy.inject(changed_first(), "_bulk_docs")
    written_before = len(_writes(witness_proxy))
    await AsyncPersister(thing.replace(count=5), database=witnessed).persist()
    assert len(_writes(witness_proxy)) == written_before + 2
    record = await witness_database.fetch(f"{VIEW}/a")
    assert record["change_count"] == 5


def _writes(proxy: FaultProxy) -> list[str]:
    return [request.path for request in proxy.requests if "_bulk_docs" in request.path]


async def test_read_fails_while_the_witness_can_not_be_asked(
    witnessed: Database, witness_proxy: FaultProxy
) -> None:
    await AsyncPersister(KeyedThing(key="a"), database=witnessed).persist()
    witness_proxy.inject(cut_before, "_bulk_get", times=math.inf)
    with pytest.raises(TransportError):
        await KeyedThingRetriever(VIEW, "a", database=witnessed).fetch()


async def test_witness_whose_database_is_missing_is_an_error(
    connect: Connect, couchdb: CouchDBServer, signer: TamperingSigner, documents: Documents
) -> None:
    absent = connect(f"{couchdb.url}/tor_async_couchdb_test_absent")
    witness = Witness(DatabaseWitnessStore(absent), signer)
    database = connect(guard=ProtectingGuard(witness=witness))
    thing = documents.put_thing("a")
    with pytest.raises(NotFoundError, match="Database does not exist"):
        await ThingByIDRetriever(thing["_id"], database=database).fetch()
