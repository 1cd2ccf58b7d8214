from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import shutil
import time
from pathlib import Path

import pytest

from tor_async_etcd import (
    Change,
    Client,
    Compacted,
    CompVersion,
    Error,
    EtcdError,
    KeySet,
    OpDel,
    OpGet,
    OpSet,
    StoreReplacedError,
    Transaction,
    TransportError,
    Watch,
)
from tor_async_etcd.kv.watch import Filter
from tor_async_etcd.testing import EtcdServer, etcd_cluster
from tor_async_etcd.tests.amounts import KILLS
from tor_async_etcd.tests.waiting import until, watchers_are

DICE = random.Random()  # noqa: S311 - not for secrets


async def take(watch: Watch, count: int = 1) -> list[Change]:
    async with asyncio.timeout(20):
        return [await anext(watch) for _ in range(count)]


def seen(changes: list[Change]) -> list[tuple[str, bytes]]:
    return [(event.type, event.kv.value) for change in changes for event in change.events]


async def test_everything_after_the_entering_is_seen_in_order(client: Client, prefix: bytes) -> None:
    async with client.watch(KeySet(prefix, prefix=True)) as watch:
        revisions = [(await client.set(prefix + name, name)).header.revision for name in (b"b", b"a")]
        revisions.append((await client.delete(prefix + b"b")).header.revision)
        changes = await take(watch, 3)
    assert [change.revision for change in changes] == revisions
    assert seen(changes) == [("PUT", b"b"), ("PUT", b"a"), ("DELETE", b"")]
    assert changes[2].events[0].kv.key == prefix + b"b"


async def test_what_happened_at_one_revision_comes_as_one_change(client: Client, prefix: bytes) -> None:
    await client.set(prefix + b"old", b"1")
    async with client.watch(KeySet(prefix, prefix=True), return_previous=True) as watch:
        operations = [OpSet(prefix + b"%d" % number, b"x") for number in range(100)]
        done = await client.submit(Transaction(success=[*operations, OpDel(prefix + b"old")]))
        [change] = await take(watch)
    assert change.revision == done.header.revision
    assert len(change.events) == 101
    deleted = change.events[-1]
    assert deleted.previous is not None
    assert (deleted.type, deleted.previous.value) == ("DELETE", b"1")


async def test_large_revision_comes_whole_though_sent_in_parts(client: Client, prefix: bytes) -> None:
    value = DICE.randbytes(100_000)
    for number in range(30):
        await client.set(prefix + b"%d" % number, value)
    async with client.watch(KeySet(prefix, prefix=True), return_previous=True) as watch:
        deleted = await client.delete(KeySet(prefix, prefix=True))
        [change] = await take(watch)
    assert change.revision == deleted.header.revision
    assert len(change.events) == 30
    assert all(event.previous is not None and event.previous.value == value for event in change.events)


async def test_several_key_sets_are_one_watch_without_doubles(client: Client, prefix: bytes) -> None:
    keys: list[bytes | KeySet] = [
        prefix + b"a",
        KeySet(prefix + b"c", prefix=True),
        KeySet(prefix + b"c", prefix + b"d"),
    ]
    async with client.watch(keys) as watch:
        for name in (b"a", b"b", b"c1", b"d", b"c2"):
            await client.set(prefix + name, name)
        assert seen(await take(watch, 3)) == [("PUT", b"a"), ("PUT", b"c1"), ("PUT", b"c2")]


async def test_watch_can_begin_in_the_past_and_leave_kinds_out(client: Client, prefix: bytes) -> None:
    first = await client.set(prefix, b"1")
    await client.delete(prefix)
    await client.set(prefix, b"2")
    start = first.header.revision
    async with client.watch(prefix, start_revision=start) as watch:
        assert seen(await take(watch, 3)) == [("PUT", b"1"), ("DELETE", b""), ("PUT", b"2")]
    async with client.watch(prefix, start_revision=start, filters=["NODELETE"]) as watch:
        assert seen(await take(watch, 2)) == [("PUT", b"1"), ("PUT", b"2")]
    async with client.watch(prefix, start_revision=start, filters=["NOPUT"]) as watch:
        assert seen(await take(watch)) == [("DELETE", b"")]


async def test_giving_up_waiting_loses_nothing(client: Client, prefix: bytes) -> None:
    async with client.watch(prefix) as watch:
        writing = asyncio.create_task(write(client, prefix, 200))
        numbers: list[int] = []
        async with asyncio.timeout(20):
            while len(numbers) < 200:
                try:
                    async with asyncio.timeout(DICE.uniform(0, 0.002)):
                        numbers += [int(event.kv.value) for event in (await anext(watch)).events]
                except TimeoutError:
                    continue
        await writing
    assert numbers == list(range(200))


async def write(client: Client, key: bytes, count: int) -> None:
    for number in range(count):
        await client.set(key, b"%d" % number)


async def test_key_that_a_filter_hid_is_missed_when_it_is_gone(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client, Client(server.url) as other:
            keys = KeySet(prefix, prefix=True)
            async with client.watch(keys, resync=True, filters=["NOPUT"]) as watch:
                await other.set(prefix + b"hidden", b"1")
                await other.set(prefix + b"shown", b"1")
                await other.delete(prefix + b"shown")
                assert seen(await take(watch)) == [("DELETE", b"")]
                await client.close()  # the watch has to begin again, behind the compaction
                await other.delete(prefix + b"hidden")
                await other.compact((await other.set(prefix + b"new", b"")).header.revision)
                [change] = await take(watch)
                assert [event.kv.key for event in change.events] == [prefix + b"hidden"]


async def test_leaving_the_watch_ends_it_in_etcd(etcd: EtcdServer, prefix: bytes) -> None:
    async with Client(etcd.url) as client:
        await until(lambda: watchers_are(etcd, 0))  # those of the tests before end in a moment
        async with client.watch(prefix):
            assert await watchers_are(etcd, 1)
        waiting = asyncio.create_task(enter_and_wait(client, prefix))
        await until(lambda: watchers_are(etcd, 1))
        waiting.cancel()
        await until(lambda: watchers_are(etcd, 0))


async def enter_and_wait(client: Client, key: bytes) -> None:
    async with client.watch(key) as watch:
        await anext(watch)


async def test_compaction_of_what_comes_next_is_said(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client:
            first = await client.set(prefix, b"1")
            last = await client.set(prefix, b"2")
            await client.compact(last.header.revision)
            async with client.watch(prefix, start_revision=first.header.revision) as watch:
                with pytest.raises(Compacted) as compacted:
                    await take(watch)
            assert compacted.value.compact_revision == last.header.revision


async def test_resynchronising_watch_gets_over_a_compaction_with_the_difference(prefix: bytes) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client, Client(server.url) as other:
            for name in (b"same", b"changed", b"deleted"):
                await client.set(prefix + name, b"1")
            async with client.watch(KeySet(prefix, prefix=True), resync=True) as watch:
                await client.set(prefix + b"new", b"1")
                assert seen(await take(watch)) == [("PUT", b"1")]
                await client.close()  # the watch has to begin again, behind the compaction
                await other.set(prefix + b"changed", b"2")
                await other.set(prefix + b"passing", b"")
                await other.delete(KeySet(prefix + b"deleted", prefix + b"q"))
                await other.set(prefix + b"new", b"2")
                await other.compact((await other.set(prefix + b"changed", b"3")).header.revision)
                [change] = await take(watch)
                assert change.resynchronised
                assert [(event.type, event.kv.key, event.kv.value) for event in change.events] == [
                    ("PUT", prefix + b"changed", b"3"),
                    ("PUT", prefix + b"new", b"2"),
                    ("DELETE", prefix + b"deleted", b""),
                ]
                await other.set(prefix + b"same", b"2")
                [after] = await take(watch)
                assert not after.resynchronised
                assert seen([after]) == [("PUT", b"2")]


@pytest.mark.parametrize("start_revision", [None, 0])
@pytest.mark.parametrize("keys", [1, 2])
async def test_what_happens_while_a_new_watch_is_cut_off_is_not_lost(
    etcd: EtcdServer, prefix: bytes, start_revision: int | None, keys: int
) -> None:
    watched = [KeySet(prefix + b"%d" % number, prefix=True) for number in range(keys)]
    async with (
        Client(etcd.url) as client,
        Client(etcd.url) as other,
        client.watch(watched, start_revision=start_revision) as watch,
    ):
        await client.close()  # the watch has to begin again, before it has seen anything
        await other.set(prefix + b"0", b"1")
        await other.delete(prefix + b"0")
        assert seen(await take(watch, 2)) == [("PUT", b"1"), ("DELETE", b"")]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["NOPUT"], [("DELETE", b"deleted")]),
        (["NODELETE"], [("PUT", b"changed"), ("PUT", b"new")]),
        (["NOPUT", "NODELETE"], []),
        ([], [("PUT", b"changed"), ("PUT", b"new"), ("DELETE", b"deleted")]),
    ],
)
async def test_resynchronising_watch_keeps_its_filters(
    prefix: bytes, filters: list[Filter], expected: list[tuple[str, bytes]]
) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client, Client(server.url) as other:
            for name in (b"same", b"changed", b"deleted"):
                await client.set(prefix + name, b"1")
            keys = KeySet(prefix, prefix=True)
            async with client.watch(keys, resync=True, filters=filters) as watch:
                await client.close()  # the watch has to begin again, behind the compaction
                await other.set(prefix + b"changed", b"2")
                await other.delete(prefix + b"deleted")
                await other.compact((await other.set(prefix + b"new", b"1")).header.revision)
                [change] = await take(watch)
                assert change.resynchronised
                events = [(event.type, event.kv.key.removeprefix(prefix)) for event in change.events]
                assert events == expected


@pytest.mark.parametrize("resync", [False, True])
@pytest.mark.parametrize("how", ["wiped", "restored"])
async def test_watch_says_that_the_store_was_replaced(
    prefix: bytes, how: str, resync: bool, tmp_path: Path
) -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client, asyncio.timeout(60):
            if how == "restored":
                await client.set(prefix + b"kept", b"1")
                server.stop()
                shutil.copytree(server.data_folder, tmp_path / "backup")
                server.start()
                server.wait_until_ready()
            async with client.watch(KeySet(prefix, prefix=True), resync=resync) as watch:
                for _ in range(10):
                    await client.set(prefix + b"lost", b"1")
                await take(watch, 10)
                server.stop()
                shutil.rmtree(server.data_folder)
                if how == "restored":
                    shutil.copytree(tmp_path / "backup", server.data_folder)
                server.start()
                server.wait_until_ready()
                await client.set(prefix + b"new", b"1")
                if not resync:
                    with pytest.raises(StoreReplacedError, match="wiped, or restored"):
                        await take(watch)
                    return
                [change] = await take(watch)
                assert change.resynchronised
                found = [(event.type, event.kv.key.removeprefix(prefix)) for event in change.events]
                kept = [("PUT", b"kept")] if how == "restored" else []
                assert found == [*kept, ("PUT", b"new"), ("DELETE", b"lost")]
                await client.set(prefix + b"new", b"2")
                assert seen(await take(watch)) == [("PUT", b"2")]


async def test_key_sets_are_watched_one_by_one_where_what_is_between_them_is_denied(
    secured: EtcdServer,
) -> None:
    keys: list[bytes | KeySet] = [KeySet(b"public", prefix=True), b"zoo", KeySet(b"public1", prefix=True)]
    async with (
        Client(secured.url, username="root", password="secret") as root,
        Client(secured.url, username="reader", password="weak") as client,
        client.watch(keys) as watch,
    ):
        for name in (b"public1", b"secret", b"zoo", b"public2"):
            await root.set(name, name)
        assert sorted(seen(await take(watch, 3))) == [
            ("PUT", b"public1"),
            ("PUT", b"public2"),
            ("PUT", b"zoo"),
        ]
        for waited in range(20):  # giving up waiting loses nothing
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.0001 * waited):
                    pytest.fail(f"there was {await anext(watch)}")
        await client.close()  # both have to begin again
        await root.set(b"public1", b"1")
        assert seen(await take(watch)) == [("PUT", b"1")]
        await root.set(b"zoo", b"2")
        assert seen(await take(watch)) == [("PUT", b"2")]
    await until(lambda: watchers_are(secured, 0))


async def test_resynchronising_key_sets_are_watched_one_by_one_too(secured: EtcdServer) -> None:
    keys: list[bytes | KeySet] = [KeySet(b"public", prefix=True), b"zoo"]
    async with (
        Client(secured.url, username="root", password="secret") as root,
        Client(secured.url, username="reader", password="weak") as client,
    ):
        await root.set(b"public", b"1")
        async with client.watch(keys, resync=True) as watch:
            await client.close()
            await root.set(b"public", b"2")
            newest = await root.set(b"zoo", b"3")
            await root.compact(newest.header.revision)
            changes = await take(watch, 2)
            assert sorted(seen(changes)) == [("PUT", b"2"), ("PUT", b"3")]


@pytest.mark.parametrize("keys", [[b"secret"], [b"public", b"secret"], [b"zoo", b"secret", b"public"]])
async def test_denied_key_set_is_an_error_alone_or_among_others(
    secured: EtcdServer, keys: list[bytes | KeySet]
) -> None:
    async with Client(secured.url, username="reader", password="weak") as client:
        with pytest.raises(Error, match="permission denied"):
            async with client.watch(keys):
                pass
        await until(lambda: watchers_are(secured, 0))


async def test_nobody_there_is_said_in_time() -> None:
    async with Client("http://127.0.0.1:1", timeout_s=0.3) as client:
        with pytest.raises(TransportError, match=r"no watch within 0.3 s: cannot connect"):
            async with client.watch(b"a"):
                pass


async def test_nothing_is_missed_or_doubled_while_members_die_and_hang_and_history_is_compacted() -> None:
    with etcd_cluster(3) as members:
        urls = [member.url for member in members]
        async with Client(urls, timeout_s=5.0) as writer, Client(urls[::-1], timeout_s=5.0) as watcher:
            async with watcher.watch(KeySet(b"n", prefix=True)) as watch:
                noting = asyncio.create_task(note_until_the_end(watch, writer))
                writing = asyncio.create_task(write_new_keys(writer))
                await asyncio.to_thread(harass, members)
                writing.cancel()
                await asyncio.wait([writing])
                await set_at_last(writer, b"n-end")
                async with asyncio.timeout(30):
                    noted = await noting
            stored = (await writer.get(KeySet(b"n", prefix=True))).kvs
    assert sorted(noted) == sorted((kv.key, kv.mod_revision) for kv in stored)
    assert [revision for _, revision in noted] == sorted({revision for _, revision in noted})
    assert len(noted) > 10 * KILLS


def harass(members: list[EtcdServer]) -> None:
    for _ in range(KILLS):
        time.sleep(DICE.uniform(0.2, 1.0))
        member = DICE.choice(members)
        down_s = DICE.uniform(0.1, 2.0)
        match DICE.choice(["kill", "stop", "pause"]):
            case "pause":
                member.pause()
                time.sleep(down_s)
                member.resume()
            case how:
                getattr(member, how)()
                time.sleep(down_s)
                member.start()
                member.wait_until_ready()


async def write_new_keys(client: Client) -> None:
    for number in itertools.count():
        try:
            await client.set(b"n%08d" % number, b"")
        except EtcdError:  # whether it was applied, the stored keys tell at the end
            await asyncio.sleep(0.05)


async def set_at_last(client: Client, key: bytes) -> None:
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(EtcdError):
                await client.submit(Transaction([CompVersion(key, "==", 0)], [OpSet(key, b"")], [OpGet(key)]))
                return
            if (await client.get(key)).count:
                return


async def note_until_the_end(watch: Watch, client: Client) -> list[tuple[bytes, int]]:
    noted: list[tuple[bytes, int]] = []
    async for change in watch:
        noted += [(event.kv.key, event.kv.mod_revision) for event in change.events]
        if change.events[-1].kv.key == b"n-end":
            break
        if len(noted) % 500 == 0:
            with contextlib.suppress(EtcdError):  # a cluster in trouble need not compact
                await client.compact(change.revision)
    return noted
