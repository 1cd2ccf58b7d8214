"""What must hold of tor_async_etcd while many clients work at the same time: counted, not assumed."""

import asyncio
import random
import time
from typing import NamedTuple

from tor_async_etcd import Client, Database, DbTransaction, Failed, Lock, OpSet, Transaction, pmap
from tor_async_etcd.wire.encoding import LEASE_REVOKE

ACCOUNTS = 8
BALANCE = 1000

_NUMBERS = pmap.MapOidOid(1)
_DICE = random.Random()  # noqa: S311 - not for secrets


class Bank(NamedTuple):
    """How many transfers were made, how often all accounts were added up meanwhile, and with wrong sums."""

    transfers: int
    audits: int
    wrong: int


class Fence(NamedTuple):
    """How many writes were refused: of those that had lost their lock, and of those that held it."""

    stale_refused: int
    held_refused: int


async def increments(url: str, clients: int, times: int) -> int:
    """Return the number that so many clients reach, each of which increments it so many times."""

    async def increment(txn: DbTransaction) -> None:
        _NUMBERS[txn, 0] = (await _NUMBERS[txn, 0] or 0) + 1

    async def work() -> None:
        async with Client(url) as client:
            for _ in range(times):
                await Database(client, b"increments/").run(increment)

    await asyncio.gather(*[work() for _ in range(clients)])
    async with Client(url) as client, Database(client, b"increments/").begin() as txn:
        return await _NUMBERS[txn, 0] or 0


async def bank(url: str, clerks: int, seconds: float) -> Bank:
    """Let clerks transfer money between accounts, each for itself, while an auditor adds the accounts up."""
    transfers = audits = wrong = 0
    end = time.monotonic() + seconds

    async def transfer(txn: DbTransaction) -> None:
        source, target = _DICE.sample(range(ACCOUNTS), 2)
        amount = min(_DICE.randrange(100), await _NUMBERS[txn, source] or 0)
        _NUMBERS[txn, source] = (await _NUMBERS[txn, source] or 0) - amount
        _NUMBERS[txn, target] = (await _NUMBERS[txn, target] or 0) + amount

    async def clerk() -> None:
        nonlocal transfers
        async with Client(url) as client:
            while time.monotonic() < end:
                await Database(client, b"bank/").run(transfer)
                transfers += 1

    async def auditor(database: Database) -> None:
        nonlocal audits, wrong
        while time.monotonic() < end:
            async with database.begin() as txn:
                balances = [balance async for _, balance in _NUMBERS.select(txn)]
            audits += 1
            wrong += sum(balances) != ACCOUNTS * BALANCE

    async with Client(url) as client:
        async with Database(client, b"bank/").begin(write=True) as txn:
            for number in range(ACCOUNTS):
                _NUMBERS[txn, number] = BALANCE
        await asyncio.gather(auditor(Database(client, b"bank/")), *[clerk() for _ in range(clerks)])
    return Bank(transfers, audits, wrong)


async def fence(url: str, times: int) -> Fence:
    """End a holder's lease behind its back, let another get the lock, and let both write."""
    refused = Fence(0, 0)
    async with Client(url) as stalled, Client(url) as other:
        for number in range(times):
            name = b"fence/%d" % number
            async with Lock(stalled, name) as stale:
                lease_id = int(stale.key.rpartition(b"/")[2], 16)
                await other.gateway.call(LEASE_REVOKE, {"ID": lease_id})
                async with Lock(other, name) as held:
                    late = Transaction([stale.guard()], [OpSet(b"fenced", b"stale")])
                    right = Transaction([held.guard()], [OpSet(b"fenced", b"held")])
                    refused = Fence(
                        refused.stale_refused + await _is_refused(stalled, late),
                        refused.held_refused + await _is_refused(other, right),
                    )
    return refused


async def _is_refused(client: Client, transaction: Transaction) -> bool:
    try:
        await client.submit(transaction)
    except Failed:
        return True
    return False
