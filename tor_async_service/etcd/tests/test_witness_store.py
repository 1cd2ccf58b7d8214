"""Records in a real etcd."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Annotated

import pytest

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import ConflictError, TamperedError, TransportError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.history.witness import Witness
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import ChangeCount, UniqueKey
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_etcd import Client
from tor_async_etcd.testing import EtcdServer
from tor_async_service.couchdb.signing import witness_store
from tor_async_service.etcd.witness_store import EtcdWitnessStore

RECORD = {"_id": "id/é 1", "type": "witness_v1.0", "change_count": 3}


class Note(Model, tag="note_v1.0"):
    key: Annotated[str, UniqueKey("note_by_key")]
    count: Annotated[int, ChangeCount()]


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> TamperingSigner:
    path: Path = tmp_path_factory.mktemp("keys") / "keys.json"
    signing.new_key_set(path)
    return TamperingSigner.from_file(path)


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    async with Client(etcd.url, timeout_s=2) as client:
        yield client


@pytest.fixture
def store(client: Client, request: pytest.FixtureRequest) -> EtcdWitnessStore:
    return EtcdWitnessStore(client, f"{request.node.nodeid}/".encode())


async def test_record_is_read_as_it_was_written(store: EtcdWitnessStore, signer: TamperingSigner) -> None:
    assert await store.fetch("id/é 1") is None
    await store.save(signing.sign(signer, dict(RECORD)))
    record = await store.fetch("id/é 1")
    assert record is not None
    assert record.items() >= RECORD.items()
    assert signing.verify(signer, record)


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


async def test_highest_count_of_many_that_write_at_once_stays(
    store: EtcdWitnessStore, signer: TamperingSigner
) -> None:
    witness = Witness(store, signer)
    notes = [Note(id="1", key="a", count=count) for count in range(20)]
    await asyncio.gather(*(witness.wrote(note) for note in notes))
    record = await store.fetch("note_by_key/a")
    assert record is not None
    assert record["change_count"] == 19


@pytest.mark.parametrize("value", [b"no JSON", b"[]", b"{}", b'{"_id": "note_by_key/a"}'])
async def test_record_that_was_replaced_is_caught(
    store: EtcdWitnessStore,
    client: Client,
    request: pytest.FixtureRequest,
    signer: TamperingSigner,
    value: bytes,
) -> None:
    await client.set(f"{request.node.nodeid}/note_by_key/a".encode(), value)

    async def read() -> None:
        return None

    async def fetch_leaves(document_id: str) -> list[Document]:
        return []

    witness, sought = Witness(store, signer), Sought(Note, "note_by_key", "a")
    with pytest.raises(TamperedError):
        await witness.check_not_rolled_back(None, sought, read, fetch_leaves)


async def test_etcd_that_hangs_is_waited_for_until_the_deadline_of_the_request(
    signer: TamperingSigner,
) -> None:
    with EtcdServer() as server:
        store = witness_store(f"etcd:{server.url}")
        server.pause()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: store.fetch("id/1"),
            lambda: store.save(dict(RECORD)),
        ]
        async with asyncio.timeout(20):  # without a deadline each takes 10 s
            for call in calls:
                with deadline.within(0.2), pytest.raises(TransportError):
                    await call()
            with deadline.within(0.2):
                await Witness(store, signer).wrote(Note(id="1", key="a", count=1))  # logs that it is late
        await store.close()


async def test_etcd_that_can_not_be_reached_is_an_error_and_no_answer() -> None:
    store = EtcdWitnessStore(Client("http://127.0.0.1:1", timeout_s=0.3), b"x/")
    with pytest.raises(TransportError, match="etcd, of the witness"):
        await store.fetch("id/1")
    with pytest.raises(TransportError):
        await store.save(dict(RECORD))
    await store.close()
