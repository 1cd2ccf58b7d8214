from __future__ import annotations

import asyncio
import itertools
import shutil
import uuid
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd import (
    Client,
    CompVersion,
    ConflictError,
    Database,
    DbTransaction,
    Failed,
    KeySet,
    TransactionTooLargeError,
)
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.tests.amounts import examples


@pytest.fixture
def db(client: Client, prefix: bytes) -> Database:
    return Database(client, prefix)


async def keys_of(txn: DbTransaction, keys: KeySet, limit: int | None = None) -> list[tuple[bytes, bytes]]:
    return [item async for item in txn.scan(keys, limit=limit)]


EVERYTHING = KeySet(b"", prefix=True)


async def test_transaction_sees_its_own_writes_in_points_and_ranges(db: Database) -> None:
    async with db.begin(write=True) as txn:
        for key in (b"a", b"b", b"c"):
            txn.put(key, b"old")
    async with db.begin(write=True) as txn:
        txn.put(b"b", b"new")
        txn.put(b"bb", b"new")
        txn.delete(b"c")
        assert await txn.get(b"b") == b"new"
        assert await txn.get(b"c") is None
        assert await keys_of(txn, EVERYTHING) == [(b"a", b"old"), (b"b", b"new"), (b"bb", b"new")]
        assert await keys_of(txn, EVERYTHING, limit=2) == [(b"a", b"old"), (b"b", b"new")]


async def test_nothing_is_written_before_the_end_nor_after_an_error(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        await write_and_fail(db)
    async with db.begin() as txn:
        assert await txn.get(b"a") is None


async def write_and_fail(db: Database) -> None:
    async with db.begin(write=True) as txn:
        txn.put(b"a", b"1")
        raise ZeroDivisionError


async def test_reads_are_of_one_revision_whatever_others_write(db: Database) -> None:
    async with db.begin(write=True) as setup:
        setup.put(b"a", b"old")
        setup.put(b"b", b"old")
    async with db.begin() as txn:
        assert await txn.get(b"a") == b"old"
        async with db.begin(write=True) as other:
            other.put(b"b", b"new")
            other.put(b"c", b"new")
        assert await txn.get(b"b") == b"old"
        assert await keys_of(txn, EVERYTHING) == [(b"a", b"old"), (b"b", b"old")]


async def test_reads_that_begin_together_are_of_one_revision_too(db: Database) -> None:
    keys = [b"%d" % number for number in range(20)]
    for value in (b"1", b"2", b"3"):
        async with db.begin(write=True) as setup:
            for key in keys:
                setup.put(key, value)
        async with db.begin() as txn, db.begin(write=True) as other:
            for key in keys:
                other.put(key, b"x")
            values = asyncio.gather(*[txn.get(key) for key in keys])
        assert len(set(await values)) == 1


@pytest.mark.parametrize(
    ("read", "interference"),
    [
        ("get a", ("put", b"a")),
        ("get a", ("delete", b"a")),
        ("get missing", ("put", b"missing")),
        ("scan", ("put", b"a")),
        ("scan", ("put", b"new")),
        ("scan", ("delete", b"a")),
        ("scan nothing", ("put", b"y5")),
    ],
)
async def test_change_of_what_was_read_is_a_conflict(
    db: Database, read: str, interference: tuple[str, bytes]
) -> None:
    async with db.begin(write=True) as setup:
        setup.put(b"a", b"1")
        setup.put(b"b", b"1")
    txn = db.begin(write=True)
    await txn.__aenter__()
    match read:
        case "get a":
            await txn.get(b"a")
        case "get missing":
            await txn.get(b"missing")
        case "scan":
            await keys_of(txn, EVERYTHING)
        case "scan nothing":
            assert await keys_of(txn, KeySet(b"y", b"z")) == []
    txn.put(b"result", b"2")
    what, key = interference
    async with db.begin(write=True) as other:
        other.put(key, b"2") if what == "put" else other.delete(key)
    with pytest.raises(ConflictError, match="has changed since"):
        await txn.__aexit__(None)
    async with db.begin() as check:
        assert await check.get(b"result") is None


async def test_change_of_what_was_not_read_is_none(db: Database) -> None:
    async with db.begin(write=True) as txn:
        await txn.get(b"a")
        assert await keys_of(txn, KeySet(b"k", b"l")) == []
        txn.put(b"blind", b"mine")
        async with db.begin(write=True) as other:
            other.put(b"b", b"2")
            other.put(b"l", b"2")
            other.put(b"blind", b"theirs")
    async with db.begin() as check:
        assert await check.get(b"blind") == b"mine"


async def test_range_is_read_in_pages_at_one_revision(db: Database) -> None:
    async with db.begin(write=True) as setup:
        for number in range(7):
            setup.put(b"%d" % number, b"old")
    async with DbTransaction(db.client, db.prefix, write=False, page_size=2) as txn:
        seen = []
        async for key, value in txn.scan(EVERYTHING):
            seen.append((key, value))
            async with db.begin(write=True) as other:
                other.delete(b"5")
                other.put(b"9", b"new")
    assert seen == [(b"%d" % number, b"old") for number in range(7)]


async def test_limit_ends_what_was_read(db: Database) -> None:
    async with db.begin(write=True) as setup:
        for number in range(5):
            setup.put(b"%d" % number, b"old")
    async with db.begin(write=True) as txn:
        assert len(await keys_of(txn, EVERYTHING, limit=2)) == 2
        txn.put(b"result", b"")
        async with db.begin(write=True) as other:
            other.put(b"4", b"new")  # behind what was read, so no conflict


@pytest.mark.parametrize("count", [128, 129])
async def test_more_than_etcd_takes_at_once_is_said_and_not_split(db: Database, count: int) -> None:
    async def write(txn: DbTransaction) -> None:
        for number in range(count):
            txn.put(b"%d" % number, b"")

    async def read(txn: DbTransaction) -> None:
        for number in range(count):
            await txn.get(b"%d" % number)
        txn.put(b"result", b"")

    for function in (write, read):
        if count <= 128:
            await db.run(function)
        else:
            with pytest.raises(TransactionTooLargeError, match=r"129 keys .* takes 128 of each"):
                await db.run(function)


async def test_required_comparison_that_fails_is_no_conflict(db: Database, prefix: bytes) -> None:
    async def write(txn: DbTransaction) -> None:
        txn.require(CompVersion(prefix + b"lock", "==", 1))
        txn.put(b"a", b"1")

    with pytest.raises(Failed):
        await db.run(write)
    await db.client.set(prefix + b"lock", b"")
    await db.run(write)


async def test_transaction_that_reads_only_refuses_to_write(db: Database) -> None:
    async with db.begin() as txn:
        with pytest.raises(RuntimeError, match=r"begin\(write=True\)"):
            txn.put(b"a", b"")
        with pytest.raises(RuntimeError, match=r"begin\(write=True\)"):
            txn.delete(b"a")


Step: TypeAlias = tuple[Any, ...]
NAMES = st.sampled_from([b"a", b"b", b"c", b"d"])
STEPS = st.one_of(
    st.tuples(st.just("get"), NAMES),
    st.tuples(st.just("scan"), NAMES, st.sampled_from([None, 1, 2])),
    st.tuples(st.just("put"), NAMES),
    st.tuples(st.just("delete"), NAMES),
    st.tuples(st.just("pause"), st.integers(0, 3)),
)


class Run:
    """What one transaction did and saw, each time it was tried; the last time counts."""

    def __init__(self, number: int, steps: list[Step]) -> None:
        self.number = number
        self.steps = steps
        self.committed = 0
        self.seen: list[Any] = []

    async def play(self, txn: DbTransaction) -> DbTransaction:
        self.seen = []
        for step in self.steps:
            match step:
                case "get", key:
                    self.seen.append(await txn.get(key))
                case "scan", key, limit:
                    self.seen.append(await keys_of(txn, KeySet(key, b"e"), limit))
                case "put", key:
                    txn.put(key, b"%d" % self.number)
                case "delete", key:
                    txn.delete(key)
                case "pause", turns:
                    await asyncio.sleep(turns / 2000)
        txn.put(b"last", b"%d" % self.number)
        return txn

    def replay(self, state: dict[bytes, bytes]) -> list[Any]:
        """Do the same alone on a dictionary, and return what would be seen."""
        seen: list[Any] = []
        for step in self.steps:
            match step:
                case "get", key:
                    seen.append(state.get(key))
                case "scan", key, limit:
                    items = sorted(item for item in state.items() if key <= item[0] < b"e")
                    seen.append(items[:limit])
                case "put", key:
                    state[key] = b"%d" % self.number
                case "delete", key:
                    state.pop(key, None)
        state[b"last"] = b"%d" % self.number
        return seen


@examples
@given(programs=st.lists(st.lists(STEPS, max_size=6), min_size=2, max_size=5))
async def test_concurrent_runs_are_as_if_one_came_after_the_other(
    etcd: EtcdServer, programs: list[list[Step]]
) -> None:
    async with Client(etcd.url) as client:
        db = Database(client, uuid.uuid4().bytes)
        runs = [Run(number, steps) for number, steps in enumerate(programs)]
        transactions = await asyncio.gather(*[db.run(run.play) for run in runs])
        for run, txn in zip(runs, transactions, strict=True):
            assert txn.committed is not None
            run.committed = txn.committed
        state: dict[bytes, bytes] = {}
        for run in sorted(runs, key=lambda run: run.committed):
            assert run.replay(state) == run.seen
        async with db.begin() as txn:
            assert dict(await keys_of(txn, EVERYTHING)) == state
    assert all(a < b for a, b in itertools.pairwise(sorted(run.committed for run in runs)))


async def test_transaction_whose_revision_is_gone_with_the_store_is_a_conflict() -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client:
            for _ in range(10):
                await client.set(b"a", b"1")
            txn = Database(client).begin()
            assert await txn.get(b"a") == b"1"
            server.stop()
            shutil.rmtree(server.data_folder)
            server.start()
            server.wait_until_ready()
            with pytest.raises(ConflictError, match="was replaced"):
                await txn.get(b"b")
            assert await Database(client).run(lambda txn: txn.get(b"a")) is None
