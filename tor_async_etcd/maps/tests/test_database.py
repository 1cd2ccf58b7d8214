from __future__ import annotations

import asyncio
import random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd import (
    Client,
    ConflictError,
    Database,
    DbTransaction,
    OutcomeUnknownError,
    TransportError,
    pmap,
)
from tor_async_etcd.maps.database import LONGEST_PAUSE_S, pause_after
from tor_async_etcd.testing import EtcdServer

DICE = random.Random()  # noqa: S311 - not for secrets


async def test_status_is_the_revision(client: Client, prefix: bytes) -> None:
    written = await client.set(prefix, b"")
    assert await Database(client).status() == written.header.revision


async def test_database_opened_to_read_refuses_to_write(client: Client) -> None:
    with pytest.raises(RuntimeError, match="to read only"):
        Database(client, readonly=True).begin(write=True)


async def test_databases_with_other_prefixes_do_not_meet(client: Client, prefix: bytes) -> None:
    fruits = pmap.MapStringString(1)
    one, other = Database(client, prefix + b"1"), Database(client, prefix + b"2")
    async with one.begin(write=True) as txn:
        fruits[txn, "apple"] = "green"
    async with one.begin() as txn, other.begin() as other_txn:
        assert [item async for item in fruits.select(txn)] == [("apple", "green")]
        assert [item async for item in fruits.select(other_txn)] == []


async def test_8_clients_increment_25_times_to_200(etcd: EtcdServer, prefix: bytes) -> None:
    counters = pmap.MapStringOid(1)

    async def increment(txn: DbTransaction) -> None:
        counters[txn, "n"] = (await counters[txn, "n"] or 0) + 1

    async def work() -> None:
        async with Client(etcd.url) as client:
            for _ in range(25):
                await Database(client, prefix).run(increment)

    async with asyncio.timeout(40):
        await asyncio.gather(*[work() for _ in range(8)])
    async with Client(etcd.url) as client, Database(client, prefix).begin() as txn:
        assert await counters[txn, "n"] == 200


async def test_money_is_neither_made_nor_lost_between_accounts(etcd: EtcdServer, prefix: bytes) -> None:
    accounts = pmap.MapOidOid(1)

    async def transfer(txn: DbTransaction) -> None:
        source, target = DICE.sample(range(5), 2)
        amount = min(DICE.randrange(50), await accounts[txn, source] or 0)
        accounts[txn, source] = (await accounts[txn, source] or 0) - amount
        accounts[txn, target] = (await accounts[txn, target] or 0) + amount

    async def clerk() -> None:
        async with Client(etcd.url) as client:
            for _ in range(10):
                await Database(client, prefix).run(transfer)

    async def auditor(client: Client) -> None:
        for _ in range(20):
            async with Database(client, prefix).begin() as txn:
                assert sum([balance async for _, balance in accounts.select(txn)]) == 500

    async with Client(etcd.url) as client:
        async with Database(client, prefix).begin(write=True) as txn:
            for number in range(5):
                accounts[txn, number] = 100
        async with asyncio.timeout(40):
            await asyncio.gather(*[clerk() for _ in range(5)], auditor(client))
        await auditor(client)


async def test_run_gives_up_when_its_time_is_over(client: Client, prefix: bytes) -> None:
    db = Database(client, prefix)
    tries = 0

    async def lose(txn: DbTransaction) -> None:
        nonlocal tries
        tries += 1
        await txn.get(b"hot")
        txn.put(b"hot", b"mine")
        await client.set(prefix + b"hot", b"theirs")

    with pytest.raises(ConflictError):
        await db.run(lose, timeout_s=0.3)
    assert tries > 1


@pytest.mark.parametrize("timeout_s", [0.2, 0.5])
async def test_run_lasts_no_longer_than_it_may_when_etcd_hangs(timeout_s: float) -> None:
    with EtcdServer() as server:
        async with Client(server.url, timeout_s=60.0) as client, asyncio.timeout(30):

            async def read(txn: DbTransaction) -> None:
                await txn.get(b"a")

            async def write(txn: DbTransaction) -> None:
                txn.put(b"a", b"1")

            server.pause()
            with pytest.raises(TransportError, match="did not answer"):
                await Database(client).run(read, timeout_s=timeout_s)
            with pytest.raises(OutcomeUnknownError):
                await Database(client).run(write, timeout_s=timeout_s)
            with pytest.raises(TransportError):
                await Database(client).attach_table(Names, timeout_s=timeout_s)
            server.resume()


@pmap.table(UUID("7a5c0f5e-4a77-4c0f-8f0d-0d5f0c7f3a11"))
class Names(pmap.MapStringString):
    """A table that no test writes."""


@given(conflicts=st.integers(1, 1000), took_s=st.floats(0, 10))
def test_pause_is_a_multiple_of_what_a_try_took_and_bounded(conflicts: int, took_s: float) -> None:
    longest = {1: 4, 2: 8, 3: 16}.get(conflicts, 32)
    assert 0 <= pause_after(conflicts, took_s) <= min(longest * took_s, LONGEST_PAUSE_S)


def test_pauses_are_spread_over_all_of_their_range() -> None:
    pauses_s = [pause_after(4, 0.001) for _ in range(500)]
    assert min(pauses_s) < 0.004
    assert max(pauses_s) > 0.028


async def test_run_returns_what_the_function_returns_and_raises_what_it_raises(
    client: Client, prefix: bytes
) -> None:
    db = Database(client, prefix)

    async def write_and_fail(txn: DbTransaction) -> None:
        txn.put(b"a", b"")
        raise LookupError

    async def answer(txn: DbTransaction) -> bytes | None:
        return await txn.get(b"a")

    with pytest.raises(LookupError):
        await db.run(write_and_fail)
    assert await db.run(answer) is None
