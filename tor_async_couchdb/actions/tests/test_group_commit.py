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
from typing import Annotated, Any

import msgspec
import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter, Change
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
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import Counter, Immutable, UniqueKey
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.testing.couchdb import CouchDBServer
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
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB, memory_database
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until

VIEW = "thing_by_key"
READ = "/thing?"  # in the path of a request that reads the thing


class Thing(Model, tag="thing_v1.0"):
    """Anything that can be found by its key, and is remembered."""

    key: Annotated[str, Immutable(), UniqueKey(VIEW)]
    count: Annotated[int, Counter()] = 0


class ThingRetriever(AsyncModelRetriever[Thing]):
    """Finds a thing by its key."""


def increment(thing: Thing) -> Thing:
    return msgspec.structs.replace(thing, count=thing.count + 1)


def set_to(count: Any) -> Change[Thing]:
    return lambda thing: msgspec.structs.replace(thing, count=count)


def delete(thing: Thing) -> None:
    return None


def keep(thing: Thing) -> Thing:
    return thing


def refuse(thing: Thing) -> Thing:
    raise ZeroDivisionError(f"not at {thing.count}")


class Committing:
    """Changes to the thing under the key 'a'."""

    def __init__(self, database: Database, documents: Documents, proxy: FaultProxy) -> None:
        self.database = database
        self.documents = documents
        self.proxy = proxy

    def start(self, change: Change[Thing], timeout_s: float = math.inf) -> asyncio.Task[Thing | None]:
        """Begins a change, of a request that may take so long."""

        async def commit() -> Thing | None:
            with deadline.within(timeout_s):
                retriever = ThingRetriever(VIEW, "a", database=self.database)
                return await AsyncGroupCommitter(retriever).commit(change)

        return asyncio.create_task(commit())

    async def outcomes(self, *changes: Change[Thing]) -> list[Any]:
        """What becomes of changes that come at once: a count, an error, or None."""
        outcomes = await asyncio.gather(*map(self.start, changes), return_exceptions=True)
        return [outcome.count if isinstance(outcome, Thing) else outcome for outcome in outcomes]

    @property
    def writes(self) -> int:
        return len([request for request in self.proxy.requests if "_bulk_docs" in request.path])

    async def in_a_turn(self, part: str = "_bulk_docs") -> None:
        """Returns when CouchDB has been asked to read or write."""
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
    assert not database.groups


async def test_changes_that_come_at_once_are_one_write_and_an_answer_each(committing: Committing) -> None:
    assert await committing.outcomes(*[increment] * 50) == [*range(1, 51)]
    assert committing.writes == 1
    assert committing.stored() == 50


async def test_changes_that_come_while_one_is_written_wait_for_the_next(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.2), "_bulk_docs")
    first = committing.start(increment)
    await committing.in_a_turn()
    assert await committing.outcomes(*[increment] * 20) == [*range(2, 22)]
    assert (await first) is not None
    assert committing.writes == 2
    # The second turn knows what the first one wrote, and need not read it.
    assert len([request for request in committing.proxy.requests if READ in request.path]) == 1


async def test_only_the_answer_that_is_as_it_was_stored_has_its_revision(committing: Committing) -> None:
    before, after = committing.documents.get("thing")["_rev"], []
    for changed in await asyncio.gather(*map(committing.start, [increment, increment, keep])):
        assert changed is not None
        after.append(changed.rev)
    written = committing.documents.get("thing")["_rev"]
    # Whoever saves the first answer once more must not undo what the second change did.
    assert after == [before, written, written]


async def test_things_are_changed_independently_of_one_another(
    committing: Committing, database: Database
) -> None:
    committing.documents.put_thing("b")
    other = AsyncGroupCommitter(ThingRetriever(VIEW, "b", database=database))
    changed, counts = await asyncio.gather(other.commit(increment), committing.outcomes(increment, increment))
    assert changed is not None
    assert (changed.count, counts) == (1, [1, 2])


async def test_change_that_fails_fails_alone_and_leaves_no_trace(committing: Committing) -> None:
    first, refused, second = await committing.outcomes(increment, refuse, increment)
    assert (first, second) == (1, 2)
    assert isinstance(refused, ZeroDivisionError)
    assert str(refused) == "not at 1"
    assert committing.stored() == 2


async def test_change_that_only_fails_writes_nothing(committing: Committing) -> None:
    (refused,) = await committing.outcomes(refuse)
    assert isinstance(refused, ZeroDivisionError)
    assert committing.writes == 0


async def test_change_of_nothing_writes_nothing(committing: Committing) -> None:
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
async def test_refusal_that_is_not_of_the_document_is_everybodys_and_not_tried_in_parts(
    committing: Committing, status: int
) -> None:
    refused = answered(status, headers={"Retry-After": "60"})
    committing.proxy.inject(refused, "_bulk_docs", times=math.inf)
    committing.proxy.inject(answered(200, '{"results":[]}'), "_bulk_get?revs", times=math.inf)
    tasks = [committing.start(increment, 30) for _ in range(20)]
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, CouchDBError) for outcome in outcomes)
    assert committing.writes == 1


async def test_tampering_is_told_to_everybody_and_reported_once(
    committing: Committing, tmp_path: Path
) -> None:
    class Alarms(Observer):
        count = 0

        def tampering_detected(self, error: TamperedError) -> None:
            self.count += 1

    signing.new_key_set(tmp_path / "keys.json")
    committing.database.tampering_signer = signing.TamperingSigner.from_file(tmp_path / "keys.json")
    committing.database.observer = alarms = Alarms()
    outcomes = await committing.outcomes(*[increment] * 5)
    assert [type(outcome) for outcome in outcomes] == [TamperedError] * 5
    assert alarms.count == 1


async def test_those_behind_a_delete_find_nothing(committing: Committing) -> None:
    assert await committing.outcomes(increment, delete, increment, delete, refuse) == [1, 1, None, None, None]
    assert committing.writes == 1
    assert await committing.outcomes(increment) == [None]


async def test_absent_thing_is_none_to_everybody(committing: Committing) -> None:
    committing.documents.delete(committing.documents.get("thing"))
    assert await committing.outcomes(increment, delete, refuse) == [None, None, None]
    assert committing.writes == 0


async def test_caller_who_goes_before_the_write_is_taken_out(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.3), READ)
    going = committing.start(set_to(70))
    staying = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    changed = await staying
    assert changed is not None
    assert changed.count == 1
    assert committing.stored() == 1


async def test_nothing_is_written_for_callers_who_have_all_gone(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.2), READ)
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    await wait_until(lambda: not committing.database.groups)
    assert committing.writes == 0


async def test_turn_that_nobody_waits_for_ends_at_once(committing: Committing) -> None:
    committing.proxy.inject(never_answer, READ)
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    await wait_until(lambda: not committing.database.groups, timeout_s=2)


async def test_those_who_come_after_a_turn_that_nobody_waits_for_have_their_own(
    committing: Committing,
) -> None:
    committing.proxy.inject(never_answer, READ)
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    going.cancel()
    assert await committing.outcomes(increment, increment) == [1, 2]


async def test_write_that_waits_is_not_sent_for_callers_who_have_all_gone(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.5), "_bulk_docs", times=2)
    others = []
    for number in (1, 2):
        others.append(asyncio.create_task(committing.database.save({"_id": f"other {number}"})))
        await wait_until(lambda: committing.writes == len(others))
    going = committing.start(increment)
    await committing.in_a_turn(READ)
    await asyncio.sleep(0.1)
    going.cancel()
    await asyncio.gather(*others)
    await wait_until(lambda: not committing.database.groups)
    assert committing.writes == 2


async def test_caller_who_goes_during_the_write_does_not_disturb_it(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.2), "_bulk_docs")
    going, staying = committing.start(increment), committing.start(increment)
    await committing.in_a_turn()
    going.cancel()
    changed = await staying
    assert changed is not None
    assert changed.count == 2


async def test_deadline_is_each_callers_own(committing: Committing) -> None:
    committing.proxy.inject(delayed(0.6), READ)
    hasty, patient = committing.start(set_to(70), 0.3), committing.start(increment, 30)
    with pytest.raises(ConnectError, match="did not get its turn"):
        await hasty
    changed = await patient
    assert changed is not None
    assert committing.stored() == changed.count == 1


async def test_caller_whose_deadline_passes_during_the_write_is_told_that_it_is_unknown(
    committing: Committing,
) -> None:
    committing.proxy.inject(delayed(1), "_bulk_docs")
    hasty, patient = committing.start(increment, 0.7), committing.start(increment, 30)
    with pytest.raises(OutcomeUnknownError):
        await hasty
    changed = await patient
    assert changed is not None
    assert committing.stored() == changed.count == 2


async def test_nobody_waits_past_the_deadline(committing: Committing) -> None:
    committing.proxy.inject(never_answer, times=math.inf)
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    with pytest.raises(TransportError):
        await committing.start(increment, 0.3)
    assert loop.time() - started_s < 3


async def test_conflict_with_another_process_is_tried_again_on_what_it_wrote(committing: Committing) -> None:
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


async def test_waits_between_tries_are_told_to_each_request(committing: Committing) -> None:
    committing.proxy.inject(changed_first(), "_bulk_docs", times=2)

    async def retries() -> tuple[int, float]:
        with deadline.within(30) as context:
            retriever = ThingRetriever(VIEW, "a", database=committing.database)
            await AsyncGroupCommitter(retriever).commit(increment)
            return context.retry_count, context.retry_wait_s

    told = await asyncio.gather(retries(), retries())
    assert all(count == 2 and wait_s > 0 for count, wait_s in told)


async def test_conflicts_are_told_to_each_request(committing: Committing) -> None:
    committing.proxy.inject(changed_first(), "_bulk_docs", times=2)
    retriever = ThingRetriever(VIEW, "a", database=committing.database)
    with deadline.within() as context:
        await AsyncGroupCommitter(retriever).commit(increment)
    assert context.conflict_count == 2


async def test_conflicts_until_the_deadline_are_a_conflict(committing: Committing) -> None:
    committing.proxy.inject(changed_first(), "_bulk_docs", times=math.inf)
    with pytest.raises(ConflictError):
        await committing.start(increment, 1)
    assert committing.stored() == 0


async def test_thing_that_another_process_deletes_is_gone(committing: Committing) -> None:
    committing.proxy.inject(changed_first(lambda thing: thing | {"_deleted": True}), "_bulk_docs")
    assert await committing.outcomes(increment, increment) == [None, None]


async def test_change_is_not_refused_for_what_others_have_changed_since(committing: Committing) -> None:
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


async def test_write_that_is_found_to_be_applied_is_answered(committing: Committing) -> None:
    committing.proxy.inject(cut_after, "_bulk_docs")
    assert await committing.outcomes(*[increment] * 10) == [*range(1, 11)]
    assert committing.stored() == 10


async def test_unknown_outcome_is_told_to_those_who_were_written_and_only_to_these(
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


async def test_trouble_of_the_read_is_everybodys(committing: Committing) -> None:
    committing.proxy.inject(answered(401), times=2)
    outcomes = await committing.outcomes(increment, delete)
    assert [type(error).__name__ for error in outcomes] == ["UnauthorizedError"] * 2
    committing.proxy.clear()
    assert await committing.outcomes(increment) == [1]


async def test_misfit_is_not_changed(committing: Committing) -> None:
    committing.documents.put(**committing.documents.get("thing") | {"count": "many"})
    outcomes = await committing.outcomes(increment, increment)
    assert [type(error) for error in outcomes] == [InvalidDocumentError] * 2


async def test_two_processes_lose_nothing(
    committing: Committing, couchdb: CouchDBServer, proxy: FaultProxy
) -> None:
    async with Database(proxy.url, username=couchdb.username, password=couchdb.password) as another:
        others = Committing(another, committing.documents, proxy)
        counts = await asyncio.gather(
            *(each.outcomes(*[increment] * 5) for each in (committing, others) for _ in range(10))
        )
    assert sorted(count for some in counts for count in some) == [*range(1, 101)]
    assert committing.stored() == 100


@dataclasses.dataclass
class Outcome:
    """A change, and what its caller was told: a count, an error, or 'gone'; None: cancelled."""

    amount: int | None
    answer: int | Exception | str | None = None


class Simulation:
    """A thing in memory that many change in steps that are told apart, in one or two processes."""

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
            return msgspec.structs.replace(thing, count=thing.count + amount)

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
        await wait_until(lambda: not any(database.groups for database in self.databases))

    def check(self) -> None:
        """Fails if the outcomes are not those of the same changes one after another."""
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


async def test_changes_of_one_process_are_made_in_the_order_in_which_they_came() -> None:
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


async def test_nothing_is_left_of_changes_that_are_over() -> None:
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
    assert not database.groups
    assert not living
    assert len(database._unique_keys._ids) <= 50
