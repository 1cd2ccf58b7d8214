"""Many concurrent callers of one database, in thousands of interleavings: the operations are linearizable.

Each operation takes effect at one moment between its call and its answer (Herlihy and Wing, 1990).
"""

import asyncio
import dataclasses
import functools
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    NotFoundError,
    OutcomeUnknownError,
    TransportError,
)
from tor_async_couchdb.model import Document
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB, memory_database
from tor_async_couchdb.tests.waiting import wait_until

CALLERS = 12
OPERATIONS_A_CALLER = 8


@dataclasses.dataclass
class Operation:
    """What a caller asked for and when, and the outcome: a document, revision or error; None: cancelled."""

    document_id: str
    began: int
    is_write: bool
    parent: str | None = None
    number: int = 0
    ended: int = 0
    outcome: Any = None


class Callers:
    """Callers that read and write a few documents at random."""

    def __init__(self, couchdb: MemoryCouchDB, database: Database, dice: random.Random) -> None:
        self.couchdb = couchdb
        self.database = database
        self.dice = dice
        self.operations: list[Operation] = []

    async def run(self) -> None:
        """Runs all callers, and cancels some of them, until every request has ended."""
        tasks_before = asyncio.all_tasks()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.caller()) for _ in range(CALLERS)]
            for task in self.dice.sample(tasks, CALLERS // 4):
                for _ in range(self.dice.randrange(40)):
                    await asyncio.sleep(0)
                task.cancel()
        await wait_until(lambda: asyncio.all_tasks() == tasks_before)

    async def caller(self) -> None:
        revs: dict[str, str | None] = {}
        for _ in range(OPERATIONS_A_CALLER):
            document_id = self.dice.choice("abc")
            if self.dice.random() < 0.5 and document_id in revs:
                operation = self.begin(document_id, is_write=True, parent=revs[document_id])
                await self.write(operation)
                if isinstance(operation.outcome, str):
                    revs[document_id] = operation.outcome
            else:
                operation = self.begin(document_id, is_write=False)
                await self.read(operation)
                if isinstance(operation.outcome, TransportError):
                    continue
                is_there = isinstance(operation.outcome, dict)
                revs[document_id] = operation.outcome["_rev"] if is_there else None

    def begin(self, document_id: str, *, is_write: bool, parent: str | None = None) -> Operation:
        began = next(self.couchdb.clock)
        operation = Operation(document_id, began, is_write, parent, number=began)
        self.operations.append(operation)
        return operation

    async def read(self, operation: Operation) -> None:
        try:
            operation.outcome = await self.database.fetch(operation.document_id)
        except (NotFoundError, TransportError) as error:
            operation.outcome = error
        operation.ended = next(self.couchdb.clock)

    async def write(self, operation: Operation) -> None:
        document: Document = {"_id": operation.document_id, "number": operation.number}
        if operation.parent is not None:
            document["_rev"] = operation.parent
            if self.dice.random() < 0.2:
                document["_deleted"] = True
        try:
            operation.outcome = await self.database.save(document)
        except (ConflictError, TransportError) as error:
            operation.outcome = error
        operation.ended = next(self.couchdb.clock)


class Judge:
    """Judges outcomes by the history of the documents in CouchDB."""

    def __init__(self, couchdb: MemoryCouchDB) -> None:
        self._couchdb = couchdb

    def states(self, document_id: str, began: int, ended: int) -> list[Document | None]:
        """All states of the document from `began` to `ended`; None: missing or deleted."""
        history = self._couchdb.histories[document_id]
        times = [-1, *(self._couchdb.applied_at[revision["_rev"]] for revision in history), ended + 1]
        states = [None, *(None if "_deleted" in revision else revision for revision in history)]
        return [state for i, state in enumerate(states) if times[i] <= ended and times[i + 1] >= began]

    def times_applied(self, operation: Operation) -> int:
        history = self._couchdb.histories[operation.document_id]
        return len([revision for revision in history if revision["number"] == operation.number])

    def check(self, operation: Operation) -> None:
        """Fails if no moment between the operation's begin and end explains its outcome."""
        if operation.is_write:
            self.check_write(operation)
        elif isinstance(operation.outcome, dict):
            assert operation.outcome in self.states(operation.document_id, operation.began, operation.ended)
        elif isinstance(operation.outcome, NotFoundError):
            assert None in self.states(operation.document_id, operation.began, operation.ended)

    def check_write(self, operation: Operation) -> None:
        assert self.times_applied(operation) <= 1
        match operation.outcome:
            case str(rev):
                history = self._couchdb.histories[operation.document_id]
                (applied,) = [revision for revision in history if revision["number"] == operation.number]
                assert applied["_rev"] == rev
                assert operation.began < self._couchdb.applied_at[rev] < operation.ended
            case ConflictError():
                assert self.times_applied(operation) == 0
                states = self.states(operation.document_id, operation.began, operation.ended)
                assert any((state and state["_rev"]) != operation.parent for state in states)
            case ConnectError():
                assert self.times_applied(operation) == 0
            case OutcomeUnknownError() | None:
                pass
            case _:
                pytest.fail(f"a write of unknown outcome was not reported as such: {operation}")


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), trouble=st.sampled_from([0.0, 0.0, 0.05, 0.3]))
async def test_operations_are_linearizable(seed: int, trouble: float) -> None:
    dice = random.Random(seed)  # noqa: S311 - a simulation
    couchdb = MemoryCouchDB(max_body_size=dice.choice([10**9, 200]))
    callers = Callers(couchdb, memory_database(couchdb, seed=seed, trouble=trouble), dice)
    await callers.run()
    judge = Judge(couchdb)
    for operation in callers.operations:
        judge.check(operation)
        if trouble == 0:
            assert not isinstance(operation.outcome, TransportError)


async def test_callers_do_meet_conflicts_faults_and_batches() -> None:
    outcomes = []
    for seed in range(20):
        couchdb = MemoryCouchDB()
        callers = Callers(couchdb, memory_database(couchdb, seed=seed, trouble=0.3), random.Random(seed))  # noqa: S311 - a simulation
        await callers.run()
        outcomes += [type(operation.outcome) for operation in callers.operations]
        assert couchdb.requests["_bulk_docs"] < len([each for each in callers.operations if each.is_write])
    assert {str, dict, ConflictError, NotFoundError, OutcomeUnknownError, type(None)} <= {*outcomes}


class Things:
    """Things that are created and deleted and get other keys and types; no two share a key at a time."""

    def __init__(self, couchdb: MemoryCouchDB, dice: random.Random) -> None:
        self.couchdb = couchdb
        self.dice = dice
        self.states: list[tuple[int, list[Document]]] = [(-1, [])]

    def change(self) -> None:
        """Makes one random change."""
        living = self.living()
        free = {*"KLM"} - {thing["key"] for thing in living}
        thing: Document = dict(self.dice.choice(living)) if living else {}
        match self.dice.choice(["make", "make", "delete", "key", "type", "touch"]):
            case "make" if free:
                thing = {"_id": f"{next(self.couchdb.clock)}", "type": "thing", "key": min(free)}
            case "delete" if living:
                thing["_deleted"] = True
            case "key" if living and free:
                thing["key"] = max(free)
            case "type" if living:
                thing["type"] = "other" if thing["type"] == "thing" else "thing"
            case _:
                return
        self.couchdb.put(thing)
        self.states.append((next(self.couchdb.clock), self.living()))

    def living(self) -> list[Document]:
        current = (self.couchdb.current(document_id) for document_id in self.couchdb.histories)
        return [document for document in current if document is not None]

    def between(self, began: int, ended: int) -> list[list[Document]]:
        """All states from `began` to `ended`."""
        times = [*(time for time, _ in self.states), ended + 1]
        return [
            state for i, (time, state) in enumerate(self.states) if time <= ended and times[i + 1] >= began
        ]


def is_thing(key: str, document: Document) -> bool:
    return (document["type"], document["key"]) == ("thing", key)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), trouble=st.sampled_from([0.0, 0.1]))
async def test_find_is_correct_whatever_keys_are_remembered(seed: int, trouble: float) -> None:
    dice = random.Random(seed)  # noqa: S311 - a simulation
    couchdb = MemoryCouchDB()
    database = memory_database(couchdb, seed=seed, trouble=trouble)
    things = Things(couchdb, dice)

    async def find() -> None:
        for _ in range(10):
            key = dice.choice("KLM")
            began = next(couchdb.clock)
            try:
                found = await database.find("thing_by_key", key, functools.partial(is_thing, key))
            except TransportError:
                assert trouble
                continue
            states = things.between(began, next(couchdb.clock))
            having_it = [[thing for thing in state if thing["key"] == key] for state in states]
            if found is None:
                assert [] in having_it
            else:
                assert any(found in state for state in states)
                assert any(found["_id"] == thing["_id"] for state in having_it for thing in state)

    async def change() -> None:
        for _ in range(30):
            things.change()
            for _ in range(dice.randrange(8)):
                await asyncio.sleep(0)

    await asyncio.gather(change(), *(find() for _ in range(6)))


async def test_read_sees_every_write_that_was_acknowledged_before_it() -> None:
    couchdb = MemoryCouchDB()
    database = memory_database(couchdb, seed=3)

    async def write_and_read(document_id: str) -> None:
        rev: str | None = None
        for number in range(50):
            document: Document = {"_id": document_id, "number": number}
            rev = await database.save(document if rev is None else document | {"_rev": rev})
            assert (await database.fetch(document_id))["_rev"] == rev

    await asyncio.gather(*(write_and_read(f"d{i}") for i in range(20)))
