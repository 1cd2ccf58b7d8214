from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping

import pytest

from tor_async_etcd import Client, Error, Expired, Lease
from tor_async_etcd.kv.lease import time_since_boot
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.tests.transports import WatchedTransport
from tor_async_etcd.tests.waiting import until
from tor_async_etcd.wire.connection import Reply
from tor_async_etcd.wire.encoding import LEASE_KEEPALIVE, LEASE_REVOKE
from tor_async_etcd.wire.transport import HttpTransport


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
    with pytest.raises(Expired, match="does not have it"):
        await lease.refresh()
    assert (await lease.lost).startswith("etcd does not have it")


async def test_lease_is_kept_alive_and_revoked_at_the_end(etcd: EtcdServer, prefix: bytes) -> None:
    transport = WatchedTransport(etcd.url, None)
    async with Client(etcd.url, transport=lambda *_: transport) as client:
        async with client.lease(ttl_s=1) as lease:
            await client.set(prefix, b"here", lease)
            await until(lambda: are_kept_alive(transport, 5))  # one is sent each third of its time
            assert not lease.lost.done()
            assert (await client.get(prefix)).count == 1
        assert (await client.get(prefix)).count == 0
        with pytest.raises(Expired, match="given back"):
            await lease.refresh()


async def are_kept_alive(transport: WatchedTransport, times: int) -> bool:
    return transport.answers[LEASE_KEEPALIVE.path] >= times


class FakeClock:
    """A clock that runs only when it is told to; the event loop's runs on, or stands still beside it."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.mark.parametrize("ttl_s", [10, 600])
async def test_lease_lasts_for_its_time_and_no_longer(client: Client, ttl_s: int) -> None:
    clock = FakeClock()
    lease = await Lease(client.gateway, ttl_s, clock=clock)
    clock.now_s += ttl_s - 0.001
    assert await lease.remaining() > 0
    assert not lease.lost.done()
    await lease.refresh()
    clock.now_s += ttl_s - 0.001
    assert await lease.remaining() > 0
    clock.now_s += 0.001
    for ask in (lease.remaining, lease.keys, lease.refresh, lease.revoke):
        with pytest.raises(Expired, match="its time ran out"):
            await ask()


async def test_lease_is_lost_though_the_event_loops_clock_stood_still(client: Client) -> None:
    """As it does while the machine is suspended: then no timer of the loop ends in time."""
    clock = FakeClock()
    async with Lease(client.gateway, 3600, clock=clock) as lease, asyncio.timeout(20):
        working = asyncio.create_task(lease.run(asyncio.sleep(60)))
        await asyncio.sleep(0)
        clock.now_s += 3600
        with pytest.raises(Expired, match="its time ran out"):
            await working
        assert await lease.lost == "its time ran out"


async def test_time_of_a_lease_runs_from_when_its_renewal_was_sent(etcd: EtcdServer) -> None:
    clock = FakeClock()
    answer_takes_s = 4.0

    class SlowTransport(HttpTransport):
        async def post(self, path: str, headers: Mapping[str, str], body: bytes, timeout_s: float) -> Reply:
            reply = await super().post(path, headers, body, timeout_s)
            clock.now_s += answer_takes_s
            return reply

    async with Client(etcd.url, transport=SlowTransport) as slow:
        lease = await Lease(slow.gateway, 10, clock=clock)
        await lease.refresh()
        answer_takes_s = 0.0
        clock.now_s += 5.999
        assert await lease.remaining() > 0
        clock.now_s += 0.001
        with pytest.raises(Expired, match="its time ran out"):
            await lease.remaining()


def test_time_since_boot_includes_what_the_monotonic_clock_counts() -> None:
    before, boot, after = time.monotonic(), time_since_boot(), time_since_boot()
    assert boot <= after
    if sys.platform == "linux":
        assert boot >= before


@pytest.mark.parametrize("lease_id", [None, 0])
async def test_id_that_was_not_chosen_is_chosen_here(
    client: Client, prefix: bytes, lease_id: int | None
) -> None:
    lease = await client.lease(30, lease_id)
    assert lease.lease_id > 0
    assert lease.lease_id in await client.lease_ids()
    await client.set(prefix, b"here", lease)
    assert (await client.get(prefix)).kvs[0].lease == lease.lease_id
    await lease.revoke()
    assert (await client.get(prefix)).count == 0


@pytest.mark.parametrize("lease_id", [1, 2**63 - 1])
async def test_id_may_be_chosen(client: Client, lease_id: int) -> None:
    lease = await client.lease(30, lease_id)
    assert lease_id in await client.lease_ids()
    await lease.revoke()


@pytest.mark.parametrize("lease_id", [True, False, 1.0, "7", b"7", -1, 2**63])
def test_what_is_no_id_is_refused(lease_id: int) -> None:
    with pytest.raises((TypeError, ValueError), match="is not the id of a lease"):
        Client().lease(10, lease_id)


async def test_key_of_a_lease_that_was_not_granted_is_refused(client: Client, prefix: bytes) -> None:
    with pytest.raises(Error, match="lease not found"):
        await client.set(prefix, b"", client.lease(30, 0))


async def test_lease_nobody_refreshes_is_lost_here_before_in_etcd(client: Client, prefix: bytes) -> None:
    lease = await client.lease(1)
    await client.set(prefix, b"here", lease)
    async with asyncio.timeout(lease.ttl_s + 5):
        assert await lease.lost == "its time ran out"
        assert (await client.get(prefix)).count == 1

    async def key_is_gone() -> bool:
        return (await client.get(prefix)).count == 0

    await until(key_is_gone)


async def test_lease_is_lost_when_etcd_hangs_though_nobody_asks_for_it(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url, timeout_s=2.0) as client, client.lease(ttl_s=2) as lease:
            server.pause()
            async with asyncio.timeout(20):
                assert await lease.lost == "its time ran out"
            server.resume()
            with pytest.raises(Expired):
                await lease.refresh()  # it is not granted anew, though etcd may still have it


async def test_lease_survives_a_restart_within_its_time(prefix: bytes) -> None:
    with EtcdServer() as server:
        transport = WatchedTransport(server.url, None)
        async with (
            Client(server.url, transport=lambda *_: transport) as client,
            client.lease(ttl_s=3) as lease,
        ):
            await client.set(prefix, b"here", lease)
            server.kill()
            server.start()
            server.wait_until_ready()
            transport.answers.clear()
            await until(lambda: are_kept_alive(transport, 4))
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
