"""What sealing reports while it writes to a cluster, with answers that a script gives."""

import collections
from collections.abc import Sequence

import pytest

from tor_async_couchdb.documents.nonces import Nonces
from tor_async_couchdb.documents.sealer import Sealer, Written
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    InvalidDocumentError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.pauses import immediately
from tor_async_couchdb.wire.revision import child

NONCES = Nonces("here")
BASE = "1-aa"
MAJORITY = 2  # of three copies


class Reports(Observer):
    """What was reported: counts by name, and how each write was sealed, with its duration in seconds."""

    def __init__(self) -> None:
        self.counts: collections.Counter[str] = collections.Counter()
        self.sealed: list[tuple[str, float]] = []

    def write_partly_accepted(self) -> None:
        self.counts["partly accepted"] += 1

    def write_sealed(self, how: str, duration_s: float) -> None:
        self.sealed.append((how, duration_s))

    def leaves_buried(self, count: int) -> None:
        self.counts["buried"] += count

    def foreign_leaves_met(self, count: int) -> None:
        self.counts["foreign"] += count

    def dead_leaves_met(self, count: int) -> None:
        self.counts["dead"] += count


class ScriptedIO:
    """Gives the answers that it has, in their order, the last read again and again. A request takes 1 s.

    Once a majority has taken a pad, reads find the pad.
    """

    def __init__(
        self,
        writes: Sequence[Written | CouchDBError],
        reads: Sequence[Sequence[Document] | CouchDBError] = (),
        majorities: Sequence[bool] = (),
    ) -> None:
        self.writes, self.reads, self.majorities = [*writes], [*reads], [*majorities]
        self.pushed: list[Sequence[Document]] = []
        self.time_s = 0.0

    async def write(self, document: Document, copies: int) -> Written:
        self.time_s += 1.0
        answer = self.writes.pop(0)
        if isinstance(answer, CouchDBError):
            raise answer
        if copies == MAJORITY and answer.is_on_all_copies:
            self.reads = [[leaf(document, answer.rev, parents=(document["_rev"].partition("-")[2], "aa"))]]
        return answer

    async def fetch_leaves(self, document_id: str) -> Sequence[Document]:
        self.time_s += 1.0
        answer = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        if isinstance(answer, CouchDBError):
            raise answer
        return answer

    async def push(self, revisions: Sequence[Document]) -> None:
        self.time_s += 1.0
        self.pushed.append(revisions)

    async def is_majority_alive(self, document_id: str) -> bool:
        self.time_s += 1.0
        is_alive = self.majorities.pop(0)
        if is_alive:
            self.reads = [self.pushed[-1]]
        return is_alive

    async def sleep(self, seconds: float) -> None:
        self.time_s += seconds

    def now(self) -> float:
        return self.time_s


def change() -> Document:
    """A change of the base, which no one knows to be sealed."""
    return NONCES.added_to({"_id": "d", "_rev": BASE})


def leaf(document: Document, rev: str, *, parents: Sequence[str] = ("aa",), **more: object) -> Document:
    generation, name = rev.split("-")
    history = {"start": int(generation), "ids": [name, *parents]}
    return document | {"_rev": rev, "_revisions": history} | more


async def reports_of(io: ScriptedIO, document: Document) -> Reports:
    reports = Reports()
    await Sealer(io, copies=3, nonces=NONCES, pause=immediately).write(document, reports)
    return reports


async def test_first_revision_that_all_copies_took_is_sealed_without_a_read() -> None:
    io = ScriptedIO([Written("1-aa", True)])
    reports = await reports_of(io, NONCES.added_to({"_id": "d"}))
    assert reports.sealed == [("unread", 1.0)]
    assert not reports.counts


async def test_change_of_a_revision_that_may_not_be_sealed_needs_a_read() -> None:
    document = change()
    io = ScriptedIO([Written("2-bb", True)], [[leaf(document, "2-bb")]])
    reports = await reports_of(io, document)
    assert reports.sealed == [("read", 2.0)]
    assert reports.counts["partly accepted"] == 0


async def test_change_that_met_a_rival_is_pushed() -> None:
    document = change()
    dead = leaf({"_id": "d", "undone": {"rev": "2-aa"}}, "3-cc", parents=("aa", "aa"), _deleted=True)
    io = ScriptedIO([Written("2-bb", True)], [[leaf(document, "2-bb"), dead]])
    reports = await reports_of(io, document)
    assert reports.counts == {"dead": 1}
    assert [how for how, _ in reports.sealed] == ["pushed"]
    assert len(io.pushed) == 1


async def test_change_that_a_copy_did_not_take_is_padded() -> None:
    document = change()
    writes = [Written("2-bb", False), Written("3-cc", False), Written("3-dd", True)]
    io = ScriptedIO(writes, [[leaf(document, "2-bb")]])
    reports = await reports_of(io, document)
    assert [how for how, _ in reports.sealed] == ["padded"]
    assert reports.counts["partly accepted"] == 2  # the change, and the first try to pad it


async def test_deletion_that_a_copy_did_not_take_is_padded_by_a_push_and_a_majority_has_to_be_alive() -> None:
    document = NONCES.added_to({"_id": "d", "_rev": BASE, "_deleted": True})
    io = ScriptedIO([Written("2-bb", False)], [[leaf(document, "2-bb")]], majorities=[False, True])
    reports = await reports_of(io, document)
    assert [how for how, _ in reports.sealed] == ["padded"]
    pads = [pushed for [pushed] in io.pushed if pushed["_rev"].startswith("3-")]
    assert len(pads) == 2
    assert all(pad["_deleted"] and pad["_revisions"]["ids"][1] == "bb" for pad in pads)
    assert not io.majorities


async def test_new_document_is_pushed_as_the_child_of_its_tombstone() -> None:
    tombstone = leaf({"_id": "d", "_deleted": True}, "4-dd", parents=("cc",))
    io = ScriptedIO([Written("6-ff", True)], [[tombstone]])
    sealer = Sealer(io, copies=3, nonces=NONCES, pause=immediately)
    document = NONCES.added_to({"_id": "d", "color": "red"} | await sealer.base_of_new("d"))
    reports = Reports()
    io.reads = [[leaf(document, child(document, document)["_rev"], parents=("dd",))]]
    stored = await sealer.write(document, reports)
    [created] = io.pushed[0]
    assert created["_revisions"] == {"start": 5, "ids": [created["_rev"][2:], "dd"]}
    assert created["color"] == "red"
    assert stored["_rev"] == "6-ff"
    io.reads = [[tombstone | {"undone": {"rev": "3-cc"}}]]  # the better leaf is still on its way
    with pytest.raises(ConflictError):
        await sealer.base_of_new("d")
    assert [how for how, _ in reports.sealed] == ["padded"]
    assert reports.counts["partly accepted"] == 0


async def test_leaf_of_another_writer_that_crashed_is_buried() -> None:
    document, other = change(), change()
    both = [leaf(document, "2-bb"), leaf(other, "2-ab")]
    io = ScriptedIO([Written("2-bb", True)], [both, both, both, [leaf(document, "2-bb")]])
    reports = await reports_of(io, document)
    assert reports.counts["buried"] >= 1
    assert reports.counts["foreign"] == 0
    assert len(reports.sealed) == 1


async def test_leaf_that_replication_brought_is_counted_once_a_write() -> None:
    document = change()
    foreign = leaf(Nonces("elsewhere").added_to({"_id": "d", "_rev": BASE}), "2-ab")
    unmarked = leaf({"_id": "d"}, "2-aa")
    io = ScriptedIO([Written("2-bb", True)], [[leaf(document, "2-bb"), foreign, unmarked]])
    reports = await reports_of(io, document)
    assert reports.counts["foreign"] == 2
    assert reports.counts["buried"] == 0


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("the deadline passed before CouchDB was asked"),
        TransportError("CouchDB did not answer"),
        ResponseError(500, "error", "no", method="POST", path="_bulk_get"),
    ],
)
async def test_outcome_is_unknown_if_the_write_was_sent_and_can_not_be_confirmed(error: CouchDBError) -> None:
    with pytest.raises(OutcomeUnknownError, match="'d' did not confirm its write in time"):
        await reports_of(ScriptedIO([Written("2-bb", False)], [error]), change())


@pytest.mark.parametrize(
    "error",
    [
        ConnectError("no connection"),
        ConflictError(409, "conflict", "no", method="POST", path="_bulk_docs"),
        ResponseError(400, "bad_request", "no", method="POST", path="_bulk_docs"),
        InvalidDocumentError("it is not JSON", document_id="d"),
    ],
)
async def test_write_that_was_not_applied_keeps_its_error(error: CouchDBError) -> None:
    with pytest.raises(type(error)) as caught:
        await reports_of(ScriptedIO([error]), change())
    assert caught.value is error
