from __future__ import annotations

import asyncio

import pytest

from tor_async_etcd import Client, Expired, Lease
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.tests.waiting import until
from tor_async_etcd.wire.encoding import LEASE_REVOKE


async def test_key_lives_with_its_lease(client: Client, prefix: bytes) -> None:
    lease = await client.lease(30)
    assert await lease.keys() == []
    await client.set(prefix, b"here", lease)
    assert (await client.get(prefix)).kvs[0].lease == lease.lease_id
    assert await lease.keys() == [prefix]
    assert 25 <= await lease.remaining() <= 30
    assert lease.lease_id in await client.lease_ids()
    await lease.revoke()
    assert (await client.get(prefix)).kvs == []


async def test_revoked_lease_says_expired_without_asking(client: Client) -> None:
    lease = await client.lease(30)
    await lease.revoke()
    await client.close()  # asking would have to connect again
    for ask in (lease.remaining, lease.keys, lease.refresh, lease.revoke):
        with pytest.raises(Expired, match="it was revoked"):
            await ask()
    assert await lease.lost == "it was revoked"


async def test_lease_that_another_revoked_is_lost_at_the_next_question(client: Client) -> None:
    lease = await client.lease(30)
    thief = Lease(client.gateway, 30, lease.lease_id)
    with pytest.raises(RuntimeError, match="not granted yet"):
        await thief.remaining()
    await client.gateway.call(LEASE_REVOKE, {"ID": lease.lease_id})
    with pytest.raises(Expired, match="does not know it"):
        await lease.refresh()
    assert (await lease.lost).startswith("etcd does not know it")


async def test_lease_is_kept_alive_and_revoked_at_the_end(client: Client, prefix: bytes) -> None:
    async with client.lease(ttl_s=1) as lease:
        await client.set(prefix, b"here", lease)
        granted_s = lease.ttl_s
        await asyncio.sleep(granted_s + 1)
        assert not lease.lost.done()
        assert (await client.get(prefix)).count == 1
    assert (await client.get(prefix)).count == 0
    with pytest.raises(Expired, match="given back"):
        await lease.refresh()


async def test_lease_nobody_refreshes_is_lost_here_before_in_etcd(client: Client, prefix: bytes) -> None:
    lease = await client.lease(1)
    await client.set(prefix, b"here", lease)
    async with asyncio.timeout(lease.ttl_s + 5):
        assert await lease.lost == "its time ran out"
        assert (await client.get(prefix)).count == 1

    async def key_is_gone() -> bool:
        return (await client.get(prefix)).count == 0

    await until(key_is_gone)


async def test_lease_is_lost_in_time_when_etcd_hangs(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url, timeout_s=2.0) as client, client.lease(ttl_s=2) as lease:
            server.pause()
            async with asyncio.timeout(lease.ttl_s + 0.5):
                assert await lease.lost == "its time ran out"
            server.resume()
            with pytest.raises(Expired):
                await lease.refresh()  # it is not granted anew, though etcd may still have it


async def test_lease_survives_a_restart_within_its_time(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client, client.lease(ttl_s=3) as lease:
            await client.set(prefix, b"here", lease)
            server.kill()
            server.start()
            server.wait_until_ready()
            await asyncio.sleep(lease.ttl_s + 0.5)
            assert not lease.lost.done()
            assert (await client.get(prefix)).count == 1


async def test_cancelled_grant_leaves_no_lease(client: Client) -> None:
    before = set(await client.lease_ids())
    for turns in range(20):
        granting = asyncio.ensure_future(client.lease(60))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not granting.cancel():
            await granting.result().revoke()
        await asyncio.wait([granting])
    assert set(await client.lease_ids()) <= before


@pytest.mark.parametrize("ttl_s", [0, -1, 1.5, True, "10"])
def test_lease_without_a_time_in_seconds_is_refused(ttl_s: int) -> None:
    with pytest.raises(TypeError, match="whole number of seconds"):
        Client().lease(ttl_s)


async def test_lease_is_granted_once(client: Client) -> None:
    lease = await client.lease(5)
    with pytest.raises(RuntimeError, match="granted once"):
        await lease
    await lease.revoke()


async def test_work_does_not_even_begin_once_the_lease_is_lost(client: Client) -> None:
    begun = False

    async def work() -> None:
        nonlocal begun
        begun = True

    lease = await client.lease(10)
    await lease.revoke()
    with pytest.raises(Expired):
        await lease.run(work())
    assert not begun
