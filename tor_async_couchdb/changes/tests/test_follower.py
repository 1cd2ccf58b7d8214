"""The latest state of each document arrives at least once, whatever is interrupted."""

import asyncio
import contextlib
import logging
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tor_async_couchdb.changes.follower import Follower
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.revisions import Change
from tor_async_couchdb.errors import ConnectError
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import (
    FaultProxy,
    answered,
    cut_after,
    cut_before,
    cut_within,
    never_answer,
)
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until

HEARTBEAT_S = 0.3
TIMEOUT_S = 30.0


async def sleep_shortly(pause_s: float) -> None:
    await asyncio.sleep(min(pause_s, 0.02))


class Receiver:
    """Keeps the last revision of each document, and how often it was told of each."""

    def __init__(self) -> None:
        self.revs: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.batches: list[list[str]] = []

    async def handle(self, changes: Sequence[Change]) -> None:
        self.batches.append([change.id for change in changes])
        for change in changes:
            self.revs[change.id] = change.rev
            (self.deleted.add if change.deleted else self.deleted.discard)(change.id)

    @property
    def told(self) -> list[str]:
        return [document_id for batch in self.batches for document_id in batch]

    async def has(self, *documents: dict[str, Any]) -> None:
        """Returns once it has these revisions."""
        await wait_until(
            lambda: all(self.revs.get(each["_id"]) == each["_rev"] for each in documents), TIMEOUT_S
        )


@contextlib.asynccontextmanager
async def following(
    handler: Any, database: Database, *, name: str = "follower", **options: Any
) -> AsyncIterator[None]:
    quick: dict[str, Any] = {"heartbeat_s": HEARTBEAT_S, "checkpoint_interval_s": 0.0, "sleep": sleep_shortly}
    task = asyncio.create_task(Follower(name, handler, database=database, **quick | options).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def checkpointed(proxy: FaultProxy) -> None:
    """Returns once a checkpoint is written."""
    await wait_until(
        lambda: any("_local/" in each.path and each.method == "PUT" for each in proxy.requests), TIMEOUT_S
    )


async def until_idle(proxy: FaultProxy) -> None:
    """Returns once CouchDB has answered that nothing has changed: two more polls have begun."""
    count = len(proxy.requests)
    await wait_until(lambda: sum("_changes" in each.path for each in proxy.requests[count:]) >= 2, TIMEOUT_S)


async def test_what_is_there_what_comes_and_what_is_deleted_is_handed_on(
    database: Database, documents: Documents
) -> None:
    receiver = Receiver()
    first = documents.put(n=1)
    async with following(receiver.handle, database):
        await receiver.has(first)
        second = documents.put(n=2)
        changed = documents.put(**first | {"n": 3})
        await receiver.has(second, changed)
        documents.delete(second)
        await wait_until(lambda: receiver.deleted == {second["_id"]}, TIMEOUT_S)


async def test_next_follower_goes_on_from_the_checkpoint(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    first = documents.put(n=1)
    async with following(Receiver().handle, database):
        await checkpointed(proxy)
    second = documents.put(n=2)
    receiver = Receiver()
    async with following(receiver.handle, database):
        await receiver.has(second)
    assert first["_id"] not in receiver.told


async def test_checkpoint_is_written_soon_after_a_change_and_not_only_when_a_poll_ends(
    connect: Connect, documents: Documents, proxy: FaultProxy
) -> None:
    document = documents.put(n=1)
    receiver = Receiver()
    database = connect(timeout_s=2 * TIMEOUT_S)
    async with following(receiver.handle, database, heartbeat_s=2 * TIMEOUT_S, checkpoint_interval_s=0.5):
        await receiver.has(document)
        await checkpointed(proxy)


async def test_followers_with_other_names_have_checkpoints_of_their_own(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    first = documents.put(n=1)
    async with following(Receiver().handle, database):
        await checkpointed(proxy)
    receiver = Receiver()
    async with following(receiver.handle, database, name="another"):
        await receiver.has(first)


async def test_checkpoint_is_written_after_the_work_and_a_failure_repeats_it(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    receiver = Receiver()
    failures = [ConnectError("down")] * 3

    async def fail_first(changes: Sequence[Change]) -> None:
        assert not any("_local/" in each.path and each.method == "PUT" for each in proxy.requests)
        if failures:
            raise failures.pop()
        await receiver.handle(changes)

    document = documents.put(n=1)
    async with following(fail_first, database):
        await receiver.has(document)
    assert failures == []


async def test_error_that_is_none_of_the_database_ends_it(database: Database, documents: Documents) -> None:
    async def broken(changes: Sequence[Change]) -> None:
        raise ZeroDivisionError

    documents.put(n=1)
    with pytest.raises(ZeroDivisionError):
        await Follower("broken", broken, database=database).run()


async def test_work_of_a_group_of_tasks_is_repeated_and_ends_when_it_is_cancelled(
    database: Database, documents: Documents
) -> None:
    tries = 0
    begun = asyncio.Event()

    async def work() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise ConnectError("down")
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectError("the connection broke") from None

    async def in_a_group(changes: Sequence[Change]) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(work())

    documents.put(n=1)
    task = asyncio.create_task(Follower("group", in_a_group, database=database, sleep=sleep_shortly).run())
    await asyncio.wait_for(begun.wait(), TIMEOUT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, TIMEOUT_S)


@pytest.mark.parametrize("fault", [cut_before, cut_after, cut_within, answered(503), answered(200, "<html>")])
async def test_follower_goes_on_after_interruptions(
    database: Database, documents: Documents, proxy: FaultProxy, fault: Any
) -> None:
    receiver = Receiver()
    proxy.inject(fault, "_changes", times=4)
    proxy.inject(fault, "_local", times=4)
    made = [documents.put(n=n) for n in range(3)]
    async with following(receiver.handle, database):
        await receiver.has(*made)
        proxy.inject(fault, "_changes", times=4)
        await receiver.has(documents.put(n=4))


async def test_feed_that_dies_silently_is_asked_for_again(
    connect: Connect, documents: Documents, proxy: FaultProxy
) -> None:
    receiver = Receiver()
    database = connect(timeout_s=2 * HEARTBEAT_S)
    async with following(receiver.handle, database):
        await receiver.has(documents.put(n=1))
        proxy.inject(never_answer, "_changes", times=2)
        await until_idle(proxy)
        await receiver.has(documents.put(n=2))


async def test_follower_takes_another_node_while_one_hangs(
    connect: Connect, documents: Documents, proxy: FaultProxy, database_url: str
) -> None:
    receiver = Receiver()
    async with FaultProxy(database_url) as other:
        database = connect(f"{proxy.url},{other.url}", timeout_s=1.5)  # shorter ones say nothing about a node
        async with following(receiver.handle, database):
            await receiver.has(documents.put(n=1))
            hung, sound = (
                (proxy, other) if any("_changes" in r.path for r in proxy.requests) else (other, proxy)
            )
            sound.requests.clear()
            hung.inject(never_answer, times=math.inf)
            await receiver.has(documents.put(n=2))
            await wait_until(lambda: any("_changes" in each.path for each in sound.requests), TIMEOUT_S)


async def test_changes_that_nobody_wants_move_the_checkpoint(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    receiver = Receiver()
    async with following(receiver.handle, database, wants=lambda change: change.id == "wanted"):
        documents.put_many([{"n": n} for n in range(300)])
        await until_idle(proxy)
        await until_idle(proxy)
    proxy.requests.clear()
    async with following(receiver.handle, database, wants=lambda change: change.id == "wanted"):
        await receiver.has(documents.put(_id="wanted"))
    assert receiver.told == ["wanted"]
    assert not any("since=0&" in request.path for request in proxy.requests)


async def test_one_batch_is_in_memory_and_the_next_is_read_when_it_is_done(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    go_on = asyncio.Event()
    receiver = Receiver()

    async def slow(changes: Sequence[Change]) -> None:
        await receiver.handle(changes)
        await go_on.wait()

    documents.put_many([{"_id": str(n)} for n in range(25)])
    async with following(slow, database, batch_size=10):
        await wait_until(lambda: len(receiver.told) == 10, TIMEOUT_S)
        assert sum("_changes" in request.path for request in proxy.requests) == 1
        go_on.set()
        await wait_until(lambda: len(receiver.revs) == 25, TIMEOUT_S)
    assert all(len(batch) <= 10 for batch in receiver.batches)


async def test_batch_that_cannot_be_delivered_in_time_is_made_smaller(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    documents.put_many([{"_id": str(n)} for n in range(8)])
    receiver = Receiver()

    async def too_slow_for_many(request: Any) -> Any:
        many = any(f"limit={limit}&" in request.path for limit in (4, 8))
        return request.cut() if many else await request.forward()

    proxy.inject(too_slow_for_many, "_changes", times=math.inf)
    async with following(receiver.handle, database, batch_size=8):
        await wait_until(lambda: len(receiver.revs) == 8, TIMEOUT_S)


async def test_database_that_was_deleted_and_made_again_is_read_from_the_start(
    connect: Connect, documents: Documents, couchdb: CouchDBServer, proxy: FaultProxy
) -> None:
    database = connect(timeout_s=1.0)  # the stand-in never answers a poll of a deleted database
    receiver = Receiver()
    async with following(receiver.handle, database):
        await receiver.has(*[documents.put(n=n) for n in range(10)])
        await until_idle(proxy)
        couchdb.succeed("DELETE", documents.name)
        couchdb.succeed("PUT", documents.name)
        await receiver.has(documents.put(n=11), documents.put(n=12))


async def test_restored_checkpoint_counts_more_than_what_was_handled(
    database: Database, documents: Documents, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = Receiver()
    caplog.set_level(logging.INFO)
    async with following(receiver.handle, database):
        await receiver.has(documents.put(_id="a"))
        await until_idle(proxy)
        backup = await database.revisions.read_local("follower")
        assert backup is not None
        await receiver.has(documents.put(_id="b"))
        await until_idle(proxy)
        await database.revisions.write_local("follower", {"since": backup["since"]})  # as a restore does
        await wait_until(lambda: receiver.told.count("b") == 2, TIMEOUT_S)
    assert receiver.told.count("a") == 1
    assert "another checkpoint" in caplog.text


@pytest.mark.parametrize(
    "checkpoint",
    [
        {"since": "99-garbage"},
        {"words": "of another program"},
        {"since": {"seq": 7}},
        {"since": [7, "7-a"]},
        {"since": True},
        {"since": None},
        {"since": 7.5},
    ],
)
async def test_checkpoint_of_no_use_means_the_start(
    database: Database, documents: Documents, checkpoint: dict[str, Any]
) -> None:
    receiver = Receiver()
    await database.revisions.write_local("follower", checkpoint)
    document = documents.put(n=1)
    async with following(receiver.handle, database):
        await receiver.has(document)


@pytest.mark.parametrize("path", ["_local", "_changes"])
@pytest.mark.parametrize("answer", ["{}", "[]", "null", '{"_id":"x","results":7}'])
async def test_answer_that_is_not_couchdbs_is_asked_for_again(
    database: Database, documents: Documents, proxy: FaultProxy, path: str, answer: str
) -> None:
    receiver = Receiver()
    proxy.inject(answered(200, answer), path, times=4)
    async with following(receiver.handle, database):
        await receiver.has(documents.put(n=1))
        await checkpointed(proxy)


@pytest.mark.parametrize(
    "change",
    [
        '{"id":"a","changes":[]}',
        '{"id":"a","changes":[{"rev":7}]}',
        '{"id":"a","changes":[{"rev":"1-a"}],"doc":{"n":1}}',
        '{"id":"a","changes":[{"rev":"1-a"}],"doc":{"_id":"a","_rev":null}}',
        '{"id":null,"changes":[{"rev":"1-a"}]}',
    ],
)
async def test_change_that_is_not_couchdbs_is_asked_for_again(
    database: Database, documents: Documents, proxy: FaultProxy, change: str
) -> None:
    receiver = Receiver()
    proxy.inject(answered(200, f'{{"results":[{change}],"last_seq":7,"pending":0}}'), "_changes", times=2)
    async with following(receiver.handle, database):
        await receiver.has(document := documents.put(n=1))
    assert set(receiver.told) == {document["_id"]}
