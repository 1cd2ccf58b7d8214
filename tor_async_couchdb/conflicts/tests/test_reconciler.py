import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest

from tor_async_couchdb.conflicts.reconciler import Reconciler
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConnectError, CouchDBError, TamperedError
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import LatestBy
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_after
from tor_async_couchdb.tests.baskets import BLUE, MERGED, RED, Basket, Conflicts, FragileBasket, body
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.revision import child


class ConflictObserver(Observer):
    """Remembers how conflicts end: lags in seconds, errors, and ids of documents that were tampered with."""

    def __init__(self) -> None:
        self.lags_s: list[float] = []
        self.errors: list[CouchDBError] = []
        self.detected: list[str] = []

    def conflict_ended(self, lag_s: float) -> None:
        self.lags_s.append(lag_s)

    def conflict_failed(self, error: CouchDBError) -> None:
        self.errors.append(error)

    def tampering_detected(self, error: TamperedError) -> None:
        self.detected.append(error.document_id)


@pytest.fixture
def observer() -> ConflictObserver:
    return ConflictObserver()


@pytest.fixture
async def database(connect: Connect, observer: ConflictObserver) -> Database:
    return connect(observer=observer)


# Another local document names the database.
CHECKPOINT = "_local/reconciler-"


def has_checkpoint(proxy: FaultProxy) -> bool:
    """Whether a checkpoint was written."""
    return any(CHECKPOINT in request.path and request.method == "PUT" for request in proxy.requests)


async def sleep_shortly(pause_s: float) -> None:
    await asyncio.sleep(min(pause_s, 0.02))


@contextlib.asynccontextmanager
async def reconciling(database: Database, *model_classes: type[Model], **options: Any) -> AsyncIterator[None]:
    resolver = ConflictResolver(model_classes or (Basket,), database=database)
    quick: dict[str, Any] = {
        "settle_s": 0.01,
        "poll_timeout_s": 0.5,
        "checkpoint_interval_s": 0.0,
        "sleep": sleep_shortly,
    }
    task = asyncio.create_task(Reconciler(resolver, database=database, **quick | options).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Clock:
    """Time that only advances when the test says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.sleepers: dict[asyncio.Event, tuple[float, float]] = {}  # asleep since, and until

    async def sleep(self, pause_s: float) -> None:
        woken = asyncio.Event()
        self.sleepers[woken] = self.now_s, self.now_s + pause_s
        try:
            await woken.wait()
        finally:
            self.sleepers.pop(woken, None)

    def pauses_s(self) -> list[float]:
        return [until_s - since_s for since_s, until_s in self.sleepers.values()]

    def advance_to(self, now_s: float) -> None:
        self.now_s = now_s
        for woken, (_, until_s) in self.sleepers.items():
            if until_s <= now_s:
                woken.set()


async def test_leaf_that_lost_its_race_on_a_cluster_is_left_alone(
    database: Database, conflicts: Conflicts, observer: ConflictObserver
) -> None:
    base = conflicts.documents.put(**body())
    sealed, lost = (child(base, body(color=color)) for color in ("green", "black"))
    tombstone = {"type": "basket_v1.0", "_deleted": True, "undone": {"rev": lost["_rev"]}}
    buried = child(lost, tombstone)
    async with reconciling(database):
        await database.revisions.insert([sealed, lost, buried])
        await conflicts.make(body(**RED), body(**BLUE))  # the feed's next change
        await wait_until(lambda: bool(observer.lags_s))
    leaves = await database.fetch_leaves(base["_id"])
    assert {leaf["_rev"] for leaf in leaves} == {sealed["_rev"], buried["_rev"]}
    assert len(observer.lags_s) == 1


@pytest.mark.parametrize("settle_s", [0.5, 7.0, 1000.0])
async def test_conflict_is_left_alone_for_settle_s_and_at_most_twice_as_long(
    database: Database, conflicts: Conflicts, proxy: FaultProxy, settle_s: float
) -> None:
    clock = Clock()
    document_ids = [await conflicts.make(body(**RED), body(**BLUE)) for _ in range(5)]
    async with reconciling(database, settle_s=settle_s, sleep=clock.sleep):
        await wait_until(lambda: len(clock.sleepers) == 5)
        assert all(settle_s <= pause_s <= 2 * settle_s for pause_s in clock.pauses_s())
        assert len(set(clock.pauses_s())) > 1, "the masters would all merge at the same time"
        proxy.requests.clear()
        clock.advance_to(0.999 * settle_s)
        await asyncio.sleep(0)
        assert len(clock.sleepers) == 5
        assert proxy.requests == []
        clock.advance_to(2 * settle_s)
        await wait_until(lambda: all(len(conflicts.live_leaves(each)) == 1 for each in document_ids))


async def test_conflict_from_before_and_one_from_now_are_resolved(
    database: Database, conflicts: Conflicts, observer: ConflictObserver
) -> None:
    first = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database):
        await wait_until(lambda: len(conflicts.live_leaves(first)) == 1)
        second = await conflicts.make(body(**RED), body(**BLUE), body(**BLUE | {"color": "green"}))
        await wait_until(lambda: len(conflicts.live_leaves(second)) == 1)
        await wait_until(lambda: len(observer.lags_s) >= 2)
    assert conflicts.live_leaves(first)[0].items() >= MERGED.items()
    assert all(lag_s > 0 for lag_s in observer.lags_s)


async def test_next_reconciler_starts_from_the_checkpoint_of_the_last_one(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    first = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database):
        await wait_until(lambda: has_checkpoint(proxy))
        await wait_until(lambda: len(conflicts.live_leaves(first)) == 1)
    second = await conflicts.make(body(**RED), body(**BLUE))
    proxy.requests.clear()
    async with reconciling(database):
        await wait_until(lambda: len(conflicts.live_leaves(second)) == 1)
    assert not any("since=0&" in request.path for request in proxy.requests)


async def test_checkpoint_is_not_written_before_all_changes_before_it_are_done(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    proxy.inject(answered(500), "_bulk_docs", times=3)
    async with reconciling(database):
        await wait_until(lambda: len(conflicts.live_leaves(document_id)) == 1)
    writes = [request.path for request in proxy.requests if request.method in ("PUT", "POST")]
    last_merge = max(i for i, path in enumerate(writes) if "_bulk_docs" in path)
    assert not any(CHECKPOINT in path for path in writes[:last_merge])


async def test_reconciler_goes_on_after_a_lost_answer_and_an_outage(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    proxy.inject(answered(503), "_changes", times=2)
    proxy.inject(cut_after, "_bulk_docs")
    async with reconciling(database):
        await wait_until(lambda: len(conflicts.live_leaves(document_id)) == 1)
    assert len(conflicts.all_leaves(document_id)) == 2


async def test_unmergeable_conflict_is_reported_and_does_not_delay_the_others(
    database: Database, conflicts: Conflicts, observer: ConflictObserver, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = await conflicts.make(body(key="x"), body(key="y"))
    other = await conflicts.make(body(**RED), body(**BLUE))
    with caplog.at_level(logging.ERROR):
        async with reconciling(database):
            await wait_until(lambda: len(conflicts.live_leaves(other)) == 1)
            await wait_until(lambda: "left in conflict" in caplog.text)
    assert len(conflicts.live_leaves(stuck)) == 2
    assert stuck in caplog.text
    assert len(observer.errors) == 1


async def test_reconciler_ends_although_its_work_fails_while_it_is_cancelled(
    database: Database, conflicts: Conflicts
) -> None:
    conflicts.documents.put(n=1)
    begun = asyncio.Event()

    async def audit(document_id: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ConnectError("the connection broke") from None

    async def do_not_sleep(pause_s: float) -> None:
        raise AssertionError("it goes on")

    resolver = ConflictResolver([Basket], database=database)
    reconciler = Reconciler(resolver, database=database, audit=audit, sleep=do_not_sleep)
    task = asyncio.create_task(reconciler.run())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


async def test_document_that_cannot_be_decoded_does_not_stop_the_others(
    database: Database,
    conflicts: Conflicts,
    observer: ConflictObserver,
    caplog: pytest.LogCaptureFixture,
) -> None:
    start = '{"_id": "%s", "_rev": "1-%s", "type": "basket_v1.0", "x": '
    conflicts.documents.put_json(
        start % ("alone", "a" * 32) + nested(1500) + "}",
        start % ("winner", "a" * 32) + "1}",
        start % ("winner", "b" * 32) + nested(1500) + "}",
        start % ("loser", "a" * 32) + nested(2000) + "}",
        start % ("loser", "b" * 32) + "1}",
        start % ("gone", "a" * 32) + nested(2000) + ', "_deleted": true}',
        new_edits=False,
    )
    other = await conflicts.make(body(**RED), body(**BLUE))
    with caplog.at_level(logging.ERROR):
        async with reconciling(database):
            await wait_until(lambda: len(conflicts.live_leaves(other)) == 1)
            await wait_until(lambda: caplog.text.count("left in conflict") == 2)
            last = await conflicts.make(body(**RED), body(**BLUE))
            await wait_until(lambda: len(conflicts.live_leaves(last)) == 1)
    assert sorted(str(getattr(error, "document_id", None)) for error in observer.errors) == [
        "loser",
        "winner",
    ]
    assert "following again" not in caplog.text
    for document_id in ("winner", "loser"):
        assert f"document '{document_id}': can't be decoded: it is nested too deeply" in caplog.text


@pytest.mark.parametrize("document_id", ["a" * 20_000, "ü" * 5_000], ids=["long", "long and quoted"])
async def test_id_that_fits_into_no_url_does_not_stop_the_others(
    database: Database, conflicts: Conflicts, caplog: pytest.LogCaptureFixture, document_id: str
) -> None:
    leaves = [{"_id": document_id, "_rev": f"1-{each * 32}", **body(**RED)} for each in "ab"]
    conflicts.documents.put_leaves(leaves)
    other = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database):
        await wait_until(lambda: "left in conflict" in caplog.text)
        await wait_until(lambda: len(conflicts.live_leaves(other)) == 1)
        last = await conflicts.make(body(**RED), body(**BLUE))
        await wait_until(lambda: len(conflicts.live_leaves(last)) == 1)
    assert "following again" not in caplog.text


class Crate(Basket, tag="crate_v1.0"):
    x: Annotated[Any, LatestBy("updated_on")]


@pytest.mark.parametrize("depth", [100, 300, 400, 480, 600, 900, 930, 960, 990, 1200])
async def test_merge_that_would_recurse_too_deeply_does_not_stop_the_others(
    database: Database,
    conflicts: Conflicts,
    observer: ConflictObserver,
    caplog: pytest.LogCaptureFixture,
    depth: int,
) -> None:
    start = (
        '{"_id": "crate", "_rev": "1-%s", "type": "crate_v1.0", "key": "k", "superseded": {}, "color": "red",'
        ' "change_counts": {"east": 1}, "updated_on": %d, "x": '
    )
    conflicts.documents.put_json(
        start % ("a" * 32, 1) + nested(depth) + "}", start % ("b" * 32, 2) + "[]}", new_edits=False
    )
    other = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database, Basket, Crate):
        await wait_until(lambda: len(conflicts.live_leaves(other)) == 1)
        await wait_until(lambda: "left in conflict" in caplog.text or len(observer.lags_s) == 2)
    assert "following again" not in caplog.text


async def test_conflict_with_a_tampered_leaf_is_left_and_raises_an_alarm(
    connect: Connect,
    conflicts: Conflicts,
    observer: ConflictObserver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    database = connect(guard=ProtectingGuard(signer=signer), observer=observer)
    document_id = await conflicts.make(body(**RED), body(**BLUE))  # without signatures
    async with reconciling(database):
        await wait_until(lambda: "ALARM" in caplog.text)
    assert f"ALARM: tampering detected in document {document_id!r}" in caplog.text
    assert observer.detected == [document_id]
    assert len(conflicts.live_leaves(document_id)) == 2


async def test_deletion_to_keep_is_found_without_a_conflict_among_live_leaves(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED, type="fragile_basket_v1.0"), {"_deleted": True})
    async with reconciling(database, FragileBasket):
        await wait_until(lambda: conflicts.live_leaves(document_id) == [])


async def test_conflicts_of_a_type_that_is_new_are_found_from_the_start(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database, FragileBasket):
        await wait_until(lambda: has_checkpoint(proxy))
    assert len(conflicts.live_leaves(document_id)) == 2
    async with reconciling(database, FragileBasket, Basket):
        await wait_until(lambda: len(conflicts.live_leaves(document_id)) == 1)


async def test_checkpoint_of_another_database_means_a_start_from_the_beginning(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    proxy.inject(answered(400, '{"error":"bad_request","reason":"Malformed sequence"}'), "_changes")
    async with reconciling(database):
        await wait_until(lambda: len(conflicts.live_leaves(document_id)) == 1)


async def test_database_without_conflicts_is_not_written_to(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    conflicts.documents.put(**body())
    before = conflicts.documents.update_count()
    async with reconciling(database):
        await wait_until(lambda: has_checkpoint(proxy))
        count = len(proxy.requests)
        await wait_until(lambda: len(proxy.requests) > count + 2)
    assert conflicts.documents.update_count() == before
    assert sum(request.method == "PUT" for request in proxy.requests) == 1


async def test_document_without_a_conflict_is_audited_and_again_after_a_failure(
    database: Database, conflicts: Conflicts
) -> None:
    audited: list[str] = []

    async def audit(document_id: str) -> None:
        audited.append(document_id)
        if len(audited) == 1:
            raise ConnectError("the witness is down")

    document = conflicts.documents.put(**body(**RED))
    conflicted = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database, audit=audit):
        await wait_until(lambda: audited.count(document["_id"]) >= 2 and conflicted in audited)
        assert len(conflicts.live_leaves(conflicted)) == 1
        conflicts.documents.delete(document)
        before = len(audited)
        await wait_until(lambda: document["_id"] in audited[before:])
