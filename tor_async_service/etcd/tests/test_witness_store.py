"""Records in a real etcd."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tor_async_couchdb.errors import ConflictError, TamperedError, TransportError
from tor_async_couchdb.history.tests.test_masters_witness import SIGNER
from tor_async_couchdb.history.tests.test_witness import KeyedThing
from tor_async_couchdb.history.witness import Witness
from tor_async_couchdb.protection import signing
from tor_async_etcd import Client
from tor_async_etcd.testing import EtcdServer
from tor_async_service.etcd.witness_store import EtcdWitnessStore

RECORD = {"_id": "id/é 1", "type": "witness_v1.0", "change_count": 3}


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    async with Client(etcd.url, timeout_s=2) as client:
        yield client


@pytest.fixture
def store(client: Client, request: pytest.FixtureRequest) -> EtcdWitnessStore:
    return EtcdWitnessStore(client, f"{request.node.nodeid}/".encode())


async def test_record_is_read_as_it_was_written(store: EtcdWitnessStore) -> None:
    assert await store.fetch("id/é 1") is None
    await store.save(signing.sign(SIGNER, dict(RECORD)))
    record = await store.fetch("id/é 1")
    assert record is not None
    assert record.items() >= RECORD.items()
    assert signing.verify(SIGNER, record)


async def test_record_is_written_only_over_the_one_that_was_read(store: EtcdWitnessStore) -> None:
    await store.save(dict(RECORD))
    with pytest.raises(ConflictError):
        await store.save(dict(RECORD))
    record = await store.fetch("id/é 1")
    assert record is not None
    await store.save(record | {"change_count": 4})
    with pytest.raises(ConflictError):
        await store.save(record | {"change_count": 5})
    now = await store.fetch("id/é 1")
    assert now is not None
    assert now["change_count"] == 4


async def test_highest_of_many_that_write_at_once_stays(store: EtcdWitnessStore) -> None:
    witness = Witness(store, SIGNER)
    things = [KeyedThing(id="1", key="a", count=count) for count in range(20)]
    await asyncio.gather(*(witness.wrote(thing) for thing in things))
    record = await store.fetch("thing_by_key/a")
    assert record is not None
    assert record["change_count"] == 19


@pytest.mark.parametrize("value", [b"no JSON", b"[]", b"{}", b'{"_id": "id/1"}'])
async def test_record_that_somebody_replaced_is_caught(
    store: EtcdWitnessStore, client: Client, request: pytest.FixtureRequest, value: bytes
) -> None:
    await client.set(f"{request.node.nodeid}/id/1".encode(), value)

    async def read() -> None:
        return None

    with pytest.raises(TamperedError):
        await Witness(store, SIGNER).check_not_rolled_back(None, "id/1", read)


async def test_etcd_that_is_away_is_no_answer() -> None:
    store = EtcdWitnessStore(Client("http://127.0.0.1:1", timeout_s=0.3), b"x/")
    with pytest.raises(TransportError, match="etcd, of the witness"):
        await store.fetch("id/1")
    with pytest.raises(TransportError):
        await store.save(dict(RECORD))
    await store.close()
