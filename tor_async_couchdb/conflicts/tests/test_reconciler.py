import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tor_async_couchdb.conflicts import reconciler as reconciler_module
from tor_async_couchdb.conflicts.reconciler import Reconciler
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConnectError, CouchDBError, TamperedError
from tor_async_couchdb.model import Model
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_after
from tor_async_couchdb.tests.baskets import BLUE, MERGED, RED, Basket, Conflicts, FragileBasket, body


class Noting(Observer):
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
def observer(database: Database) -> Noting:
    database.observer = observer = Noting()
    return observer


@pytest.fixture(autouse=True)
def without_long_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciler_module, "_POLL_TIMEOUT_S", 0.5)
    monkeypatch.setattr(reconciler_module, "_CHECKPOINT_INTERVAL_S", 0.0)
    monkeypatch.setattr(reconciler_module, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(reconciler_module, "_MAX_PAUSE_S", 0.1)


@contextlib.asynccontextmanager
async def reconciling(database: Database, *model_classes: type[Model]) -> AsyncIterator[None]:
    resolver = ConflictResolver(model_classes or (Basket,), database=database)
    task = asyncio.create_task(Reconciler(resolver, database=database, settle_s=0.01).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        await asyncio.sleep(0.05)


async def test_a_conflict_from_before_and_one_from_now_are_resolved(
    database: Database, conflicts: Conflicts, observer: Noting
) -> None:
    first = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database):
        await until(lambda: len(conflicts.live_leaves(first)) == 1)
        second = await conflicts.make(body(**RED), body(**BLUE), body(**BLUE | {"color": "green"}))
        await until(lambda: len(conflicts.live_leaves(second)) == 1)
        await until(lambda: len(observer.lags_s) >= 2)
    assert conflicts.live_leaves(first)[0].items() >= MERGED.items()
    assert all(lag_s > 0 for lag_s in observer.lags_s)


async def test_another_reconciler_goes_on_where_the_last_one_was_ended(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    first = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database):
        await until(lambda: any("_local/" in r.path and r.method == "PUT" for r in proxy.requests))
        await until(lambda: len(conflicts.live_leaves(first)) == 1)
    second = await conflicts.make(body(**RED), body(**BLUE))
    proxy.requests.clear()
    async with reconciling(database):
        await until(lambda: len(conflicts.live_leaves(second)) == 1)
    assert not any("since=0&" in request.path for request in proxy.requests)


async def test_the_checkpoint_is_not_written_before_what_is_before_it_is_done(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    proxy.inject(answered(500), "_bulk_docs", times=3)
    async with reconciling(database):
        await until(lambda: len(conflicts.live_leaves(document_id)) == 1)
    writes = [request.path for request in proxy.requests if request.method in ("PUT", "POST")]
    last_merge = max(i for i, path in enumerate(writes) if "_bulk_docs" in path)
    assert not any("_local/" in path for path in writes[:last_merge])


async def test_an_answer_that_never_came_and_a_database_that_is_away_are_survived(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    proxy.inject(answered(503), "_changes", times=2)
    proxy.inject(cut_after, "_bulk_docs")
    async with reconciling(database):
        await until(lambda: len(conflicts.live_leaves(document_id)) == 1)
    assert len(conflicts.all_leaves(document_id)) == 2


async def test_what_can_not_be_merged_is_reported_and_does_not_hold_up_the_others(
    database: Database, conflicts: Conflicts, observer: Noting, caplog: pytest.LogCaptureFixture
) -> None:
    stuck = await conflicts.make(body(key="x"), body(key="y"))
    other = await conflicts.make(body(**RED), body(**BLUE))
    with caplog.at_level(logging.ERROR):
        async with reconciling(database):
            await until(lambda: len(conflicts.live_leaves(other)) == 1)
            await until(lambda: "left in conflict" in caplog.text)
    assert len(conflicts.live_leaves(stuck)) == 2
    assert stuck in caplog.text
    assert len(observer.errors) == 1


async def test_a_conflict_with_a_tampered_leaf_is_left_and_is_an_alarm(
    database: Database,
    conflicts: Conflicts,
    observer: Noting,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    database.tampering_signer = TamperingSigner.from_file(tmp_path / "keys.json")
    document_id = await conflicts.make(body(**RED), body(**BLUE))  # nobody signed these
    async with reconciling(database):
        await until(lambda: "ALARM" in caplog.text)
    assert f"ALARM: tampering detected in document {document_id!r}" in caplog.text
    assert observer.detected == [document_id]
    assert len(conflicts.live_leaves(document_id)) == 2


async def test_a_deletion_that_wins_is_found_though_nothing_is_in_conflict(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED, type="fragile_basket_v1.0"), {"_deleted": True})
    async with reconciling(database, FragileBasket):
        await until(lambda: conflicts.live_leaves(document_id) == [])


async def test_a_type_that_is_mergeable_now_is_looked_for_from_the_start(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    async with reconciling(database, FragileBasket):
        await until(lambda: any("_local/" in r.path and r.method == "PUT" for r in proxy.requests))
    assert len(conflicts.live_leaves(document_id)) == 2
    async with reconciling(database, FragileBasket, Basket):
        await until(lambda: len(conflicts.live_leaves(document_id)) == 1)


async def test_a_checkpoint_that_is_none_of_this_database_starts_from_the_beginning(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    proxy.inject(answered(400, '{"error":"bad_request","reason":"Malformed sequence"}'), "_changes")
    async with reconciling(database):
        await until(lambda: len(conflicts.live_leaves(document_id)) == 1)


async def test_a_database_without_conflicts_is_not_written_to(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    conflicts.documents.put(**body())
    before = (await database.information())["update_seq"]
    async with reconciling(database):
        await until(lambda: any("_local/" in r.path and r.method == "PUT" for r in proxy.requests))
        count = len(proxy.requests)
        await until(lambda: len(proxy.requests) > count + 2)
    assert (await database.information())["update_seq"] == before
    assert sum(request.method == "PUT" for request in proxy.requests) == 1


async def test_what_is_not_in_conflict_is_audited_and_again_after_a_failure(
    database: Database, conflicts: Conflicts
) -> None:
    audited: list[str] = []

    async def audit(document_id: str) -> None:
        audited.append(document_id)
        if len(audited) == 1:
            raise ConnectError("the witness is down")

    document = conflicts.documents.put(**body(**RED))
    conflicted = await conflicts.make(body(**RED), body(**BLUE))
    resolver = ConflictResolver([Basket], database=database)
    reconciler = Reconciler(resolver, database=database, settle_s=0.01, audit=audit)
    task = asyncio.create_task(reconciler.run())
    try:
        await until(lambda: audited.count(document["_id"]) >= 2 and conflicted in audited)
        assert len(conflicts.live_leaves(conflicted)) == 1
        conflicts.documents.delete(document)
        before = len(audited)
        await until(lambda: document["_id"] in audited[before:])
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
