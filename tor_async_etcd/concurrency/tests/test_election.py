from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from tor_async_etcd import Client, Election, Expired, Failed, KeySet, NotHeldError, OpSet, Transaction
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.tests.transports import WatchedTransport
from tor_async_etcd.tests.waiting import until
from tor_async_etcd.wire.encoding import LEASE_REVOKE


async def test_one_leads_and_the_next_follows(client: Client, prefix: bytes) -> None:
    election = Election(client, prefix)
    assert await election.leader() is None
    async with election.campaign(b"first") as first, asyncio.timeout(10):
        leader = await election.leader()
        assert leader is not None
        assert (leader.key, leader.value, leader.create_revision) == (first.key, b"first", first.token)
        second = election.campaign(b"second")
        following = asyncio.create_task(second.__aenter__())
        await first.proclaim(b"still first")
        assert (await election.leader() or leader).value == b"still first"
        assert not following.done()
    async with asyncio.timeout(10):
        await following
        leader = await election.leader()
        assert leader is not None
        assert leader.value == b"second"
        assert second.token > first.token
        await second.__aexit__(None)


async def test_leader_that_was_replaced_can_neither_proclaim_nor_act(client: Client, prefix: bytes) -> None:
    election = Election(client, prefix)
    async with election.campaign(b"old") as old:
        leader = await election.leader()
        assert leader is not None
        await client.gateway.call(LEASE_REVOKE, {"ID": leader.lease})
        async with election.campaign(b"new"):
            with pytest.raises(Expired, match="does not lead any more"):
                await old.proclaim(b"me again")
            with pytest.raises(Failed):
                await client.submit(Transaction([old.guard()], [OpSet(prefix, b"")]))


async def test_observer_sees_each_leader(etcd: EtcdServer, prefix: bytes) -> None:
    async with (
        asyncio.timeout(20),
        Client(etcd.url) as client,
        Client(etcd.url) as other,
        aclosing(Election(client, prefix).observe()) as leaders,
    ):
        assert await anext(leaders) is None
        election = Election(other, prefix)
        seen = []
        async with election.campaign(b"1") as leadership:
            seen.append(await anext(leaders))
            await leadership.proclaim(b"2")
            seen.append(await anext(leaders))
        assert await anext(leaders) is None
        async with election.campaign(b"3"):
            seen.append(await anext(leaders))
    assert [kv.value for kv in seen if kv is not None] == [b"1", b"2", b"3"]


async def test_candidate_can_neither_proclaim_nor_act_before_it_leads(client: Client, prefix: bytes) -> None:
    election = Election(client, prefix)
    candidate = election.campaign(b"candidate")
    async with election.campaign(b"leader"), asyncio.timeout(20):
        following = asyncio.create_task(candidate.__aenter__())
        await until(lambda: are_candidates(client, prefix, 2))
        for _ in range(3):
            with pytest.raises(NotHeldError):
                await candidate.proclaim(b"candidate leads")
            with pytest.raises(Expired):
                await candidate.proclaim(b"candidate leads")
            with pytest.raises(NotHeldError):
                candidate.guard()
        leader = await election.leader()
        assert leader is not None
        assert leader.value == b"leader"
        candidates = await client.get(KeySet(prefix + b"/", prefix=True))
        assert sorted(kv.value for kv in candidates.kvs) == [b"candidate", b"leader"]
    async with asyncio.timeout(20):
        await following
    await candidate.proclaim(b"candidate leads")
    await candidate.__aexit__()


async def are_candidates(client: Client, name: bytes, count: int) -> bool:
    return (await client.get(KeySet(name + b"/", prefix=True), count_only=True)).count == count


async def test_leader_that_dies_is_followed_and_knows_it_before(etcd: EtcdServer, prefix: bytes) -> None:
    transport = WatchedTransport(etcd.url, None)
    async with (
        Client(etcd.url) as client,
        Client(etcd.url, transport=lambda *_: transport) as cut_off,
        Election(cut_off, prefix, ttl_s=2).campaign(b"dying") as dying,
        asyncio.timeout(30),
    ):
        transport.is_cut_off = True
        async with Election(client, prefix, ttl_s=2).campaign(b"next") as leadership:
            assert leadership.token > dying.token
            assert dying.lost.done()
        assert await dying.lost == "its time ran out"
