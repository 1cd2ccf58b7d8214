import asyncio
import collections
import dataclasses
import gc
import itertools
import math
import random
import weakref
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Self

import pytest
import yarl
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from tor_async_couchdb import deadline
from tor_async_couchdb.actions import group_commit
from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter, Change, group_count
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    InvalidDocumentError,
    OutcomeUnknownError,
    ResponseError,
    TamperedError,
    TransportError,
)
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import UniqueKey
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.retries.pauses import Pause, immediately
from tor_async_couchdb.testing.fault_proxy import (
    FaultProxy,
    Request,
    answered,
    changed_first,
    cut_after,
    cut_before,
    delayed,
    never_answer,
)
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB, MemoryTransport, memory_database
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.pretended_cluster import cluster_of
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.transport import Response

VIEW = "thing_by_key"
READ = "/thing?"  # in the path of a request that reads the thing


class Thing(Model, tag="thing_v1.0"):
    """A thing with a unique key, so that its document's id is remembered."""

    key: Annotated[str, UniqueKey(VIEW)]
    count: int = 0


class ThingRetriever(AsyncModelRetriever[Thing]):
    """Finds a thing by its key."""


def increment(thing: Thing) -> Thing:
    return thing.replace(count=thing.count + 1)


def set_to(count: Any) -> Change[Thing]:
    return lambda thing: thing.replace(count=count)


def delete(thing: Thing) -> None:
    return None


def keep(thing: Thing) -> Thing:
    return thing


def refuse(thing: Thing) -> Thing:
    raise ZeroDivisionError(f"not at {thing.count}")


class Committing:
    """Changes the thing under the key 'a'."""

    def __init__(self, database: Database, documents: Documents, proxy: FaultProxy) -> None:
        self.database = database
        self.documents = documents
        self.proxy = proxy

    def start(self, change: Change[Thing], timeout_s: float = math.inf) -> asyncio.Task[Thing | None]:
        """Begins a change, in a request with a deadline."""

        async def commit() -> Thing | None:
            with deadline.within(timeout_s):
                retriever = ThingRetriever(VIEW, "a", database=self.database)
                return await AsyncGroupCommitter(retriever).commit(change)

        return asyncio.create_task(commit())

    async def outcomes(self, *changes: Change[Thing]) -> list[Any]:
        """The result of each of several changes that begin at once: a count, an error, or None."""
        outcomes = await asyncio.gather(*map(self.start, changes), return_exceptions=True)
        return [outcome.count if isinstance(outcome, Thing) else outcome for outcome in outcomes]

    @property
    def writes(self) -> int:
        return len([request for request in self.proxy.requests if "_bulk_docs" in request.path])

    async def in_a_turn(self, part: str = "_bulk_docs") -> None:
        """Returns once a request with `part` in its path was sent."""
        await wait_until(lambda: any(part in request.path for request in self.proxy.requests))

    def stored(self) -> int:
        return int(self.documents.get("thing")["count"])


@pytest.fixture
async def committing(
    database: Database, documents: Documents, proxy: FaultProxy
) -> AsyncIterator[Committing]:
    documents.put_view()
    documents.put_thing("a", _id="thing")
    yield Committing(database, documents, proxy)
    assert group_count(database) == 0


async def test_changes_that_begin_at_once_share_a_write_and_each_has_its_own_answer(
    committing: Committing,
) -> None:
    assert await committing.outcomes(*[increment] * 50) == [*range(1, 51)]
    assert committing.writes == 1
    assert committing.stored() == 50


async def test_changes_that_begin_during_a_write_share_the_next_write(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.2), "_bulk_docs")
    first = committing.start(increment)
    await committing.in_a_turn()
    assert await committing.outcomes(*[increment] * 20) == [*range(2, 22)]
    assert (await first) is not None
    assert committing.writes == 2
    # The second turn knows what the first one wrote, and need not read it.
    assert len([request for request in committing.proxy.requests if READ in request.path]) == 1


async def test_only_the_answer_that_equals_the_stored_document_has_its_revision(
    committing: Committing,
) -> None:
    before, after = committing.documents.get("thing")["_rev"], []
    for changed in await asyncio.gather(*map(committing.start, [increment, increment, keep])):
        assert changed is not None
        after.append(changed.rev)
    written = committing.documents.get("thing")["_rev"]
    # With the new revision, a caller that saves the first answer again would undo the second change.
    assert after == [before, written, written]


async def test_things_are_changed_independently_of_one_another(
    committing: Committing, database: Database
) -> None:
    committing.documents.put_thing("b")
    other = AsyncGroupCommitter(ThingRetriever(VIEW, "b", database=database))
    changed, counts = await asyncio.gather(other.commit(increment), committing.outcomes(increment, increment))
    assert changed is not None
    assert (changed.count, counts) == (1, [1, 2])


class Purse(Model, tag="thing_v1.0"):
    """Another model of the same documents, with verbs of its own."""

    key: Annotated[str, UniqueKey(VIEW)]
    count: int = 0

    def pay_in(self) -> Self:
        return self.replace(count=self.count + 100)


class PurseRetriever(AsyncModelRetriever[Purse]):
    """Finds a purse by its key."""


class Box(Model, tag="box_v1.0"):
    """A document of another type under the same key."""

    key: Any
    weight: int = 0

    def load(self) -> Self:
        return self.replace(weight=self.weight + 10)


class BoxRetriever(AsyncModelRetriever[Box]):
    """Finds a box by its key."""


class LastBoxRetriever(BoxRetriever):
    """Finds the last box in a range of keys."""

    def __init__(self, key: Any, end_key: Any, database: Database) -> None:
        super().__init__(VIEW, key, database=database)
        self._end_key = end_key

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        return {"startkey": self._key, "endkey": self._end_key, "descending": True, "limit": 1}


async def test_two_model_classes_of_one_document_do_not_share_changes(
    committing: Committing, database: Database
) -> None:
    purses = AsyncGroupCommitter(PurseRetriever(VIEW, "a", database=database))
    paid_in, counts = await asyncio.gather(
        asyncio.gather(*(purses.commit(Purse.pay_in) for _ in range(5))),
        committing.outcomes(*[increment] * 5),
    )
    assert {type(purse) for purse in paid_in} == {Purse}
    assert not any(isinstance(count, Exception) for count in counts)
    assert committing.stored() == 505


async def test_two_retrievers_of_one_model_class_do_not_share_changes(
    committing: Committing, database: Database
) -> None:
    class DoublingRetriever(ThingRetriever):
        def create_model_from_doc(self, doc: Document) -> Thing:
            thing = super().create_model_from_doc(doc)
            return thing.replace(count=2 * thing.count)

    committing.documents.put(**committing.documents.get("thing") | {"count": 1000})
    doubling = AsyncGroupCommitter(DoublingRetriever(VIEW, "a", database=database))
    doubled, (count,) = await asyncio.gather(doubling.commit(increment), committing.outcomes(increment))
    assert doubled is not None
    assert {doubled.count, count} in ({2001, 2002}, {1001, 2003})
    assert committing.stored() == max(doubled.count, count)


async def test_queries_that_differ_do_not_share_changes(committing: Committing, database: Database) -> None:
    for key in ("1", 1, True, [1], "01"):
        committing.documents.put(type="box_v1.0", key=key, weight=0)
    retrievers: list[BoxRetriever] = [
        BoxRetriever(VIEW, "1", database=database),
        BoxRetriever(VIEW, 1, database=database),
        BoxRetriever(VIEW, True, database=database),
        LastBoxRetriever([1], [1], database),
        LastBoxRetriever("01", "01", database),
    ]
    boxes = await asyncio.gather(
        *(AsyncGroupCommitter(retriever).commit(Box.load) for retriever in retrievers * 2)
    )
    loaded = [(box.key, box.weight) for box in boxes if box is not None]
    keys = ["1", 1, True, [1], "01"]
    assert [str(each) for each in loaded] == [str((key, weight)) for weight in (10, 20) for key in keys]


async def test_equal_queries_of_two_retrievers_share_a_write(committing: Committing) -> None:
    committing.documents.put(type="box_v1.0", key=[1], weight=0)
    boxes = await asyncio.gather(
        *(
            AsyncGroupCommitter(LastBoxRetriever([1, {}], [1], committing.database)).commit(Box.load)
            for _ in range(3)
        )
    )
    assert [box.weight for box in boxes if box is not None] == [10, 20, 30]
    assert committing.writes == 1


async def test_change_that_fails_does_not_affect_the_others(committing: Committing) -> None:
    first, refused, second = await committing.outcomes(increment, refuse, increment)
    assert (first, second) == (1, 2)
    assert isinstance(refused, ZeroDivisionError)
    assert str(refused) == "not at 1"
    assert committing.stored() == 2


async def test_change_that_only_fails_writes_nothing(committing: Committing) -> None:
    (refused,) = await committing.outcomes(refuse)
    assert isinstance(refused, ZeroDivisionError)
    assert committing.writes == 0


async def test_change_that_returns_the_same_model_writes_nothing(committing: Committing) -> None:
    assert await committing.outcomes(keep, keep) == [0, 0]
    assert committing.writes == 0


@pytest.mark.parametrize("position", [0, 3, 9])
async def test_change_that_can_not_be_stored_fails_alone(committing: Committing, position: int) -> None:
    changes: list[Change[Thing]] = [increment] * 9
    changes.insert(position, set_to("\ud800"))
    outcomes = await committing.outcomes(*changes)
    assert isinstance(outcomes.pop(position), InvalidDocumentError)
    assert outcomes == [*range(1, 10)]
    assert committing.stored() == 9


async def test_change_that_couchdb_refuses_fails_alone(committing: Committing) -> None:
    committing.documents.put(
        _id="_design/limit",
        validate_doc_update="function(doc) { if (doc.count > 99) { throw({forbidden: 'too many'}); } }",
    )
    outcomes = await committing.outcomes(increment, increment, set_to(100), increment, increment)
    assert isinstance(outcomes.pop(2), ResponseError)
    assert outcomes == [1, 2, 3, 4]
    assert committing.stored() == 4


@pytest.mark.parametrize("status", [401, 429, 507])
async def test_refusal_that_is_not_for_the_document_fails_all_changes_after_one_write(
    committing: Committing, status: int
) -> None:
    refused = answered(status, headers={"Retry-After": "60"})
    committing.proxy.inject(refused, "_bulk_docs", times=math.inf)
    committing.proxy.inject(answered(200, '{"results":[]}'), "_bulk_get?revs", times=math.inf)
    tasks = [committing.start(increment, 30) for _ in range(20)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, CouchDBError) for outcome in outcomes)
    assert committing.writes == 1


async def test_tampering_fails_all_changes_and_is_reported_once(
    committing: Committing, connect: Connect, tmp_path: Path
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = signing.TamperingSigner.from_file(tmp_path / "keys.json")
    observer = RecordingObserver()
    committing.database = connect(guard=ProtectingGuard(signer=signer), observer=observer)
    outcomes = await committing.outcomes(*[increment] * 5)
    assert [type(outcome) for outcome in outcomes] == [TamperedError] * 5
    assert [error.document_id for error in observer.tampered] == ["thing"]


async def test_changes_after_a_deletion_find_no_model(committing: Committing) -> None:
    assert await committing.outcomes(increment, delete, increment, delete, refuse) == [1, 1, None, None, None]
    assert committing.writes == 1
    assert await committing.outcomes(increment) == [None]


async def test_changes_of_an_absent_model_return_none(committing: Committing) -> None:
    committing.documents.delete(committing.documents.get("thing"))
    assert await committing.outcomes(increment, delete, refuse) == [None, None, None]
    assert committing.writes == 0


async def test_change_of_a_caller_that_leaves_before_the_write_is_not_written(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.3), READ)
    going = committing.start(set_to(70))
    staying = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    changed = await staying
    assert changed is not None
    assert changed.count == 1
    assert committing.stored() == 1


async def test_nothing_is_written_once_all_callers_have_left(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.2), READ)
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    await wait_until(lambda: group_count(committing.database) == 0)
    assert committing.writes == 0


async def test_read_is_cancelled_once_all_callers_have_left(committing: Committing) -> None:
    committing.proxy.inject(never_answer, READ)
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    # Otherwise the group waits for the answer until the transport's timeout of 10 s.
    await wait_until(lambda: group_count(committing.database) == 0, timeout_s=5)


async def test_changes_that_begin_after_a_cancelled_read_are_read_and_written(
    committing: Committing,
) -> None:
    committing.proxy.inject(never_answer, READ)
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    assert await committing.outcomes(increment, increment) == [1, 2]


class HoldingTransport(MemoryTransport):
    """Holds back each write until `release` is set."""

    def __init__(self, couchdb: MemoryCouchDB) -> None:
        super().__init__(couchdb, random.Random(0), 0.0)  # noqa: S311 - a simulation
        self.release = asyncio.Event()
        self.held_count = 0

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        if url.name == "_bulk_docs":
            self.held_count += 1
            await self.release.wait()
        return await super().exchange(method, url, body, deadline_s)


async def all_that_can_happen() -> None:
    """Returns once nothing in memory can go on: each step of a `MemoryTransport` takes a few iterations."""
    for _ in range(200):
        await asyncio.sleep(0)


async def test_write_that_waits_is_not_sent_once_all_callers_have_left() -> None:
    couchdb = MemoryCouchDB()
    couchdb.put({"_id": "thing", "type": "thing_v1.0", "key": "a", "count": 0})
    transport = HoldingTransport(couchdb)
    database = Database("http://127.0.0.1:1/db", transport=transport)
    others = []
    for number in (1, 2):  # as many batches as may be in flight
        others.append(asyncio.create_task(database.save({"_id": f"other {number}"})))
        await all_that_can_happen()
    assert transport.held_count == 2
    committer = AsyncGroupCommitter(ThingRetriever(VIEW, "a", database=database))
    leaving = asyncio.create_task(committer.commit(increment))
    await all_that_can_happen()
    assert couchdb.requests["thing"] == 1, "the thing was not read"
    leaving.cancel()
    await all_that_can_happen()
    transport.release.set()
    await asyncio.gather(*others)
    await all_that_can_happen()
    assert group_count(database) == 0
    assert transport.held_count == 2
    assert len(couchdb.histories["thing"]) == 1


async def test_caller_that_leaves_during_the_write_does_not_affect_it(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.2), "_bulk_docs")
    going, staying = committing.start(increment), committing.start(increment)
    await committing.in_a_turn()
    going.cancel()
    changed = await staying
    assert changed is not None
    assert changed.count == 2


async def test_each_caller_has_its_own_deadline(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.6), READ)
    hasty, patient = committing.start(set_to(70), 0.3), committing.start(increment, 30)
    with pytest.raises(ConnectError, match="was not started before the deadline"):
        await hasty
    changed = await patient
    assert changed is not None
    assert committing.stored() == changed.count == 1


async def test_deadline_that_passes_during_the_write_is_an_unknown_outcome(
    committing: Committing,
) -> None:
    committing.proxy.inject(delayed(1), "_bulk_docs")
    hasty, patient = committing.start(increment, 0.7), committing.start(increment, 30)
    with pytest.raises(OutcomeUnknownError):
        await hasty
    changed = await patient
    assert changed is not None
    assert committing.stored() == changed.count == 2


async def test_change_fails_at_the_deadline_if_couchdb_never_answers(committing: Committing) -> None:
    committing.proxy.inject(never_answer, times=math.inf)
    async with asyncio.timeout(5):  # less than the transport's timeout
        with pytest.raises(TransportError):
            await committing.start(increment, 0.3)


async def test_conflict_with_another_process_is_retried_on_what_it_wrote(committing: Committing) -> None:
    def by_another(thing: dict[str, Any]) -> dict[str, Any]:
        return thing | {"count": thing["count"] + 100}

    committing.proxy.inject(changed_first(by_another), "_bulk_docs", times=3)
    assert await committing.outcomes(increment, refuse, increment) == [301, ANY_ERROR, 302]
    assert committing.writes == 4


class _AnyError:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Exception)

    __hash__ = None  # type: ignore[assignment]  # it is equal to too much


ANY_ERROR = _AnyError()


async def test_conflicts_and_retries_are_reported_to_the_observer_of_each_caller(
    committing: Committing,
) -> None:
    committing.proxy.inject(changed_first(), "_bulk_docs", times=2)

    async def observed() -> RecordingObserver:
        observer = RecordingObserver()
        retriever = ThingRetriever(VIEW, "a", database=committing.database.observed_by(observer))
        with deadline.within(30):
            await AsyncGroupCommitter(retriever).commit(increment)
        return observer

    for observer in await asyncio.gather(observed(), observed()):
        assert observer.conflict_count == 2
        assert len(observer.pauses_s) == 2
        assert sum(observer.pauses_s) > 0


async def test_pause_before_a_retry_is_longer_on_average_than_the_lost_try(
    committing: Committing, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest_s: list[float] = []

    def full_jitter(*, base_s: float) -> Pause:
        longest_s.append(base_s)
        return immediately

    monkeypatch.setattr(group_commit, "full_jitter", full_jitter)
    committing.proxy.inject(delayed(0.1), READ)
    committing.proxy.inject(changed_first(), "_bulk_docs")
    assert await committing.outcomes(increment) == [1]
    assert len(longest_s) == 1
    assert longest_s[0] > 0.4


class SealingObserver(Observer):
    def __init__(self) -> None:
        self.how: list[str] = []
        self.dead_leaf_counts: list[int] = []

    def write_sealed(self, how: str, duration_s: float) -> None:
        self.how.append(how)

    def dead_leaves_met(self, count: int) -> None:
        self.dead_leaf_counts.append(count)


async def test_what_a_cluster_needed_for_a_turn_is_reported_to_the_observer_of_the_database(
    committing: Committing, connect: Connect
) -> None:
    observer = SealingObserver()
    committing.proxy.inject(cluster_of(committing.proxy.url), times=math.inf)
    committing.database = connect(observer=observer)
    await committing.database.revisions.write_local("tor_async_couchdb", {"database_id": "here"})
    for _ in range(2):
        assert ANY_ERROR not in await committing.outcomes(increment)
    assert observer.how == ["read", "unread"]  # only this process's own revision is known to be sealed
    assert observer.dead_leaf_counts == [0]


async def test_conflicts_are_reported_to_the_observer_of_the_database(
    committing: Committing, connect: Connect
) -> None:
    committing.proxy.inject(changed_first(), "_bulk_docs", times=2)
    observer = RecordingObserver()
    committing.database = connect(observer=observer)
    assert await committing.outcomes(increment) == [1]
    assert observer.conflict_count == 2


async def test_conflicts_until_the_deadline_are_a_conflict_error(committing: Committing) -> None:
    committing.proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
    with pytest.raises(ConflictError):
        await committing.start(increment, 1)
    assert committing.stored() == 0


async def test_changes_of_a_model_that_another_process_deletes_return_none(committing: Committing) -> None:
    committing.proxy.inject(changed_first(lambda thing: thing | {"_deleted": True}), "_bulk_docs")
    assert await committing.outcomes(increment, increment) == [None, None]


async def test_change_is_not_refused_by_a_model_that_has_changed_since(committing: Committing) -> None:
    def only_once(thing: Thing) -> Thing:
        if thing.count:
            raise ZeroDivisionError
        return increment(thing)

    async def reset_after(request: Request) -> web.StreamResponse:
        answer = await request.forward()
        await request.change_documents(lambda thing: thing | {"count": 0})
        return answer

    committing.proxy.inject(reset_after, "_bulk_docs")
    first = committing.start(only_once)
    await committing.in_a_turn()
    second = committing.start(only_once)
    for changed in await asyncio.gather(first, second):
        assert changed is not None
        assert changed.count == 1


async def test_lost_answer_to_a_write_that_was_applied_is_found_out(committing: Committing) -> None:
    committing.proxy.inject(cut_after, "_bulk_docs")
    assert await committing.outcomes(*[increment] * 10) == [*range(1, 11)]
    assert committing.stored() == 10


async def test_unknown_outcome_fails_only_the_changes_that_were_part_of_the_write(
    committing: Committing,
) -> None:
    async def cut_and_hide(request: Request) -> web.StreamResponse:
        committing.proxy.inject(cut_before, "_bulk_get?revs", times=3)
        await request.forward()
        await asyncio.sleep(0.2)
        return request.cut()

    committing.proxy.inject(cut_and_hide, "_bulk_docs")
    written = [committing.start(change) for change in (increment, refuse, keep, increment)]
    await committing.in_a_turn()
    later = [committing.start(increment) for _ in range(3)]
    first, refused, kept, second = await asyncio.gather(*written, return_exceptions=True)
    assert isinstance(first, OutcomeUnknownError)
    assert isinstance(second, OutcomeUnknownError)
    assert isinstance(refused, ZeroDivisionError)
    assert isinstance(kept, Thing)
    counts = [changed.count for changed in await asyncio.gather(*later) if changed is not None]
    assert counts == [3, 4, 5]
    assert committing.stored() == 5


async def test_read_that_fails_fails_all_changes(committing: Committing) -> None:
    committing.proxy.inject(answered(401), times=2)
    outcomes = await committing.outcomes(increment, delete)
    assert [type(error).__name__ for error in outcomes] == ["UnauthorizedError"] * 2
    committing.proxy.clear()
    assert await committing.outcomes(increment) == [1]


async def test_document_that_does_not_fit_the_model_fails_all_changes(committing: Committing) -> None:
    committing.documents.put(**committing.documents.get("thing") | {"count": "many"})
    outcomes = await committing.outcomes(increment, increment)
    assert [type(error) for error in outcomes] == [InvalidDocumentError] * 2


async def test_two_processes_lose_no_change(
    committing: Committing, proxy: FaultProxy, connect: Connect
) -> None:
    others = Committing(connect(), committing.documents, proxy)
    counts = await asyncio.gather(
        *(each.outcomes(*[increment] * 5) for each in (committing, others) for _ in range(10))
    )
    assert sorted(count for some in counts for count in some) == [*range(1, 101)]
    assert committing.stored() == 100


@dataclasses.dataclass
class Outcome:
    """The result of a change: a count, an error, or 'gone' if there was no model; None if cancelled."""

    amount: int | None
    answer: int | Exception | str | None = None


class Simulation:
    """Many callers change a thing in memory, each by another bit, in one or two processes."""

    def __init__(self, seed: int, trouble: float, processes: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - a simulation
        self.couchdb = MemoryCouchDB()
        self.databases = [
            memory_database(self.couchdb, seed=seed + i, trouble=trouble) for i in range(processes)
        ]
        self.couchdb.put({"_id": "thing", "type": "thing_v1.0", "key": "a", "count": 0})
        self.outcomes: list[Outcome] = []

    async def caller(self, amount: int) -> None:
        for _ in range(self.dice.randrange(60)):
            await asyncio.sleep(0)
        outcome = Outcome(amount)
        self.outcomes.append(outcome)

        def add(thing: Thing) -> Thing:
            return thing.replace(count=thing.count + amount)

        kind = self.dice.choice(["add"] * 8 + ["refuse"])
        if kind == "refuse":
            outcome.amount = None
        database = self.dice.choice(self.databases)
        committer = AsyncGroupCommitter(ThingRetriever(VIEW, "a", database=database))
        try:
            changed = await committer.commit(add if kind == "add" else refuse)
            outcome.answer = "gone" if changed is None else changed.count
        except (ZeroDivisionError, TransportError) as error:
            outcome.answer = error

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.caller(2**i)) for i in range(24)]
            for task in self.dice.sample(tasks, 3):
                for _ in range(self.dice.randrange(60)):
                    await asyncio.sleep(0)
                task.cancel()
        await wait_until(lambda: not any(map(group_count, self.databases)))

    def check(self) -> None:
        """Asserts that the outcomes are those of the same changes one after another."""
        counts = [revision["count"] for revision in self.couchdb.histories["thing"]]
        final = counts[-1]
        answers = [outcome.answer for outcome in self.outcomes if isinstance(outcome.answer, int)]
        assert [count for count, times in collections.Counter(answers).items() if times > 1] == []
        for outcome in self.outcomes:
            match outcome.answer:
                case int(answer):  # applied once, as each amount is a bit of its own, and in the answer
                    assert outcome.amount is not None
                    assert final & answer == answer
                    assert answer & outcome.amount
                case ZeroDivisionError():
                    assert outcome.amount is None
                case ConnectError():
                    assert outcome.amount is None or not final & outcome.amount
                case OutcomeUnknownError() | None:
                    pass
                case TransportError():  # a read that failed
                    assert outcome.amount is None or not final & outcome.amount
                case _:
                    pytest.fail(f"impossible: {outcome}")
        known = sum(outcome.amount or 0 for outcome in self.outcomes)
        assert final & ~known == 0
        in_order = sorted(answers, key=int.bit_count)
        assert all(later & earlier == earlier for earlier, later in itertools.pairwise(in_order))


@settings(max_examples=100)
@given(
    seed=st.integers(0, 2**32),
    trouble=st.sampled_from([0.0, 0.05, 0.2]),
    processes=st.sampled_from([1, 1, 2]),
)
async def test_changes_have_the_outcomes_of_one_after_another(
    seed: int, trouble: float, processes: int
) -> None:
    simulation = Simulation(seed, trouble, processes)
    await simulation.run()
    simulation.check()
    if trouble == 0:
        assert not any(isinstance(outcome.answer, TransportError) for outcome in simulation.outcomes)
        if processes == 1:
            assert len(simulation.couchdb.histories["thing"]) < 24


async def test_changes_of_one_process_are_applied_in_the_order_of_their_arrival() -> None:
    couchdb = MemoryCouchDB()
    couchdb.put({"_id": "thing", "type": "thing_v1.0", "key": "a", "count": 0})
    database = memory_database(couchdb)
    committer = AsyncGroupCommitter(ThingRetriever(VIEW, "a", database=database))
    tasks = []
    for _ in range(200):
        tasks.append(asyncio.create_task(committer.commit(increment)))
        await asyncio.sleep(0)
    changed = await asyncio.gather(*tasks)
    assert [thing.count for thing in changed if thing is not None] == [*range(1, 201)]
    assert couchdb.requests["_bulk_docs"] < 100


async def test_changes_that_are_over_leave_nothing_behind() -> None:
    couchdb = MemoryCouchDB()
    for number in range(50):
        couchdb.put({"_id": f"d{number}", "type": "thing_v1.0", "key": f"k{number}", "count": 0})
    database = memory_database(couchdb, trouble=0.01)
    living: weakref.WeakSet[Any] = weakref.WeakSet()
    before = asyncio.all_tasks()

    async def caller(number: int) -> None:
        def change(thing: Thing) -> Thing:
            return increment(thing) if number % 7 else refuse(thing)

        living.add(change)
        retriever = ThingRetriever(VIEW, f"k{number % 50}", database=database)
        with deadline.within(60):
            task = asyncio.create_task(AsyncGroupCommitter(retriever).commit(change))
        if number % 5 == 0:
            await asyncio.sleep(0)
            task.cancel()
        await asyncio.wait([task])
        task.cancelled() or task.exception()

    for _ in range(10):
        await asyncio.gather(*(caller(number) for number in range(1000)))
    await wait_until(lambda: asyncio.all_tasks() == before)
    gc.collect()
    assert group_count(database) == 0
    assert not living
