"""Writes without an answer, tested through `Database.save` and `delete`: never applied twice, never lost."""

import asyncio
import json
import math
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
import yarl
from aiohttp import web
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.nonces import MAX_NONCES
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    DocumentRefusedError,
    ForbiddenError,
    InvalidDocumentError,
    OutcomeUnknownError,
    ResponseError,
)
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries import RetryBudget, RetryStrategy
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import (
    Fault,
    FaultProxy,
    Request,
    answered,
    changed_first,
    cut_after,
    cut_before,
    cut_within,
    never_answer,
)
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB
from tor_async_couchdb.tests.fake_clock import on_a_fake_clock
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.single_copy_transport import SingleCopyTransport
from tor_async_couchdb.tests.things import Documents, content_of
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.transport import Response, Transport

pytestmark = pytest.mark.single_copy


def by_another_client(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"by": "another client"}


def deleted(document: dict[str, Any]) -> dict[str, Any]:
    return document | {"_deleted": True}


def cut_after_change_on_top(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """The write is applied, another client changes the result, and the answer never comes."""

    async def fault(request: Request) -> web.StreamResponse:
        await request.forward()
        await request.change_documents(change)
        return request.cut()

    return fault


def cut_after_change_instead(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Fault:
    """Another client's change comes first, the write is refused, and the answer never comes."""

    async def fault(request: Request) -> web.StreamResponse:
        await request.change_documents(change)
        await request.forward()
        return request.cut()

    return fault


def answered_after(status: int, text: str = "") -> Fault:
    """The write is applied, and a gateway answers in CouchDB's place."""

    async def fault(request: Request) -> web.StreamResponse:
        await request.forward()
        return await answered(status, text)(request)

    return fault


class Writing:
    """A document 'a', one write to it, and the count of its conflicts."""

    def __init__(self, database: Database, documents: Documents, proxy: FaultProxy) -> None:
        self.observer = RecordingObserver()
        self.database = database.observed_by(self.observer)
        self.documents = documents
        self.proxy = proxy

    async def create(self) -> str:
        return await self.database.save({"_id": "a", "by": "me"})

    async def update(self) -> str:
        rev = self.documents.put(_id="a", by="first client")["_rev"]
        return await self.database.save({"_id": "a", "_rev": rev, "by": "me"})

    async def delete(self) -> str:
        rev = self.documents.put(_id="a", by="first client")["_rev"]
        return await self.database.delete("a", rev)

    def is_there(self) -> bool:
        return self.documents.count() == 1

    def current(self) -> dict[str, Any]:
        return self.documents.content("a")

    def sends(self) -> int:
        return len([request for request in self.proxy.requests if "_bulk_docs" in request.path])


@pytest.fixture
def writing(database: Database, documents: Documents, proxy: FaultProxy) -> Writing:
    return Writing(database, documents, proxy)


APPLIED = [
    cut_after,
    cut_within,
    answered_after(500),
    answered_after(502, "<html>"),
    answered_after(201, "<html>"),
]


@pytest.mark.parametrize("fault", APPLIED)
async def test_unanswered_create_that_was_applied_is_not_sent_again(writing: Writing, fault: Fault) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    rev = await writing.create()
    assert writing.sends() == 1
    assert writing.current() == {"_id": "a", "_rev": rev, "by": "me"}


@pytest.mark.parametrize("fault", APPLIED)
async def test_unanswered_update_that_was_applied_is_not_sent_again(writing: Writing, fault: Fault) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    rev = await writing.update()
    assert writing.sends() == 1
    assert rev.startswith("2-")
    assert writing.current() == {"_id": "a", "_rev": rev, "by": "me"}


@pytest.mark.parametrize("fault", APPLIED)
async def test_unanswered_delete_that_was_applied_is_not_sent_again(writing: Writing, fault: Fault) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    assert (await writing.delete()).startswith("2-")
    assert writing.sends() == 1
    assert not writing.is_there()


NOT_APPLIED = [cut_before, answered(500), answered(503, '{"error":"busy"}'), answered(201, "<html>")]


@pytest.mark.parametrize("fault", NOT_APPLIED)
async def test_unanswered_create_that_was_not_applied_is_sent_again(writing: Writing, fault: Fault) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    rev = await writing.create()
    assert writing.sends() == 2
    assert writing.current() == {"_id": "a", "_rev": rev, "by": "me"}


@pytest.mark.parametrize("fault", NOT_APPLIED)
async def test_unanswered_update_that_was_not_applied_is_sent_again(writing: Writing, fault: Fault) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    rev = await writing.update()
    assert writing.sends() == 2
    assert writing.current() == {"_id": "a", "_rev": rev, "by": "me"}


@pytest.mark.parametrize("fault", NOT_APPLIED)
async def test_unanswered_delete_that_was_not_applied_is_sent_again(writing: Writing, fault: Fault) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    await writing.delete()
    assert writing.sends() == 2
    assert not writing.is_there()


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[1]", "[{}]", "[null]", '[{"id":"a"}]', "[{},{}]"])
async def test_answer_that_makes_no_sense_counts_as_no_answer(writing: Writing, text: str) -> None:
    writing.proxy.inject(answered_after(201, text), "_bulk_docs")
    rev = await writing.update()
    assert writing.sends() == 1
    assert writing.current() == {"_id": "a", "_rev": rev, "by": "me"}


@pytest.mark.parametrize("operation", [Writing.create, Writing.update])
@pytest.mark.parametrize("change", [by_another_client, deleted])
async def test_applied_write_is_found_in_the_history_below_a_later_change(
    writing: Writing, operation: Callable[[Writing], Awaitable[str]], change: Any
) -> None:
    writing.proxy.inject(cut_after_change_on_top(change), "_bulk_docs")
    rev = await operation(writing)
    assert writing.sends() == 1
    assert writing.documents.get("a", rev=rev)["by"] == "me"
    assert writing.is_there() == (change is by_another_client)


async def test_applied_delete_is_found_in_the_history_below_a_later_create(
    writing: Writing,
) -> None:
    writing.proxy.inject(cut_after_change_on_top(by_another_client), "_bulk_docs")
    rev = await writing.delete()
    assert writing.sends() == 1
    assert writing.documents.get("a", rev=rev)["_deleted"] is True
    assert writing.current()["by"] == "another client"


@pytest.mark.parametrize("operation", [Writing.create, Writing.update, Writing.delete])
async def test_unanswered_write_whose_parent_was_replaced_is_a_conflict(
    writing: Writing, operation: Callable[[Writing], Awaitable[str]]
) -> None:
    writing.proxy.inject(cut_after_change_instead(by_another_client), "_bulk_docs")
    with pytest.raises(ConflictError, match="'a' has changed since it was read"):
        await operation(writing)
    assert writing.sends() == 1
    assert writing.current()["by"] == "another client"
    assert writing.observer.conflict_count == 1


async def test_unanswered_update_of_a_document_that_was_deleted_first_is_a_conflict(writing: Writing) -> None:
    writing.proxy.inject(cut_after_change_instead(deleted), "_bulk_docs")
    with pytest.raises(ConflictError, match="'a' has changed since it was read"):
        await writing.update()
    assert not writing.is_there()


async def test_unanswered_delete_of_a_document_that_was_deleted_first_is_a_conflict(writing: Writing) -> None:
    writing.proxy.inject(cut_after_change_instead(lambda document: {
        "_id": document["_id"], "_rev": document["_rev"], "_deleted": True
    }), "_bulk_docs")  # fmt: skip
    with pytest.raises(ConflictError, match="'a' has changed since it was read"):
        await writing.delete()
    assert not writing.is_there()


class EqualChanges:
    """Two clients that make the same change of a document 'a'; the first of them gets no answer."""

    def __init__(self, writing: Writing, other: Database, kind: str) -> None:
        self.first, self.other = writing.database, other
        self.change = {"_id": "a"} | ({"_deleted": True} if kind == "delete" else {"by": "me"})
        if kind != "create":
            self.change["_rev"] = writing.documents.put(_id="a", by="first client")["_rev"]
        self.outcome_of_other: str | ConflictError | None = None

    async def make(self, proxy: FaultProxy, *, is_first_applied: bool) -> str:
        async def fault(request: Request) -> web.StreamResponse:
            if is_first_applied:
                await request.forward()
            try:
                self.outcome_of_other = await self.other.save(self.change)
            except ConflictError as error:
                self.outcome_of_other = error
            if not is_first_applied:
                await request.forward()
            return request.cut()

        proxy.inject(fault, "_bulk_docs")
        return await self.first.save(self.change)


@pytest.fixture(params=["create", "update", "delete"])
async def equal_changes(request: pytest.FixtureRequest, writing: Writing, connect: Connect) -> EqualChanges:
    return EqualChanges(writing, connect(), request.param)


def leaf_of(documents: Documents, rev: str) -> dict[str, Any]:
    leaf = content_of(documents.get("a", rev=rev))
    assert leaf.pop("_rev") == rev
    return leaf


async def test_unanswered_write_is_a_conflict_if_another_client_made_the_same_change_first(
    writing: Writing, equal_changes: EqualChanges
) -> None:
    with pytest.raises(ConflictError, match="'a' has changed since it was read"):
        await equal_changes.make(writing.proxy, is_first_applied=False)
    assert isinstance(equal_changes.outcome_of_other, str)
    stored = leaf_of(writing.documents, equal_changes.outcome_of_other)
    assert stored | {"_rev": None} == equal_changes.change | {"_rev": None}
    assert writing.sends() == 2


async def test_unanswered_write_counts_as_applied_if_another_client_made_the_same_change_later(
    writing: Writing, equal_changes: EqualChanges
) -> None:
    rev = await equal_changes.make(writing.proxy, is_first_applied=True)
    assert isinstance(equal_changes.outcome_of_other, ConflictError)
    assert leaf_of(writing.documents, rev) | {"_rev": None} == equal_changes.change | {"_rev": None}
    assert writing.sends() == 2


def cut_after_many_changes_on_top(database: Database) -> Fault:
    """The write is applied, so many others follow that its nonce is dropped, and the answer never comes."""

    async def fault(request: Request) -> web.StreamResponse:
        await request.forward()
        for number in range(MAX_NONCES + 1):
            await database.save(await database.fetch("a") | {"number": number})
        return request.cut()

    return fault


@pytest.mark.parametrize("operation", [Writing.create, Writing.update])
async def test_applied_write_whose_nonce_was_dropped_later_is_found_in_its_own_revision(
    writing: Writing, connect: Connect, operation: Callable[[Writing], Awaitable[str]]
) -> None:
    writing.proxy.inject(cut_after_many_changes_on_top(connect()), "_bulk_docs")
    rev = await operation(writing)
    own, current = writing.documents.get("a", rev=rev), writing.documents.get("a")
    assert own["by"] == "me"
    assert len(current[NONCES_PROPERTY_NAME]) == MAX_NONCES
    assert own[NONCES_PROPERTY_NAME][0] not in current[NONCES_PROPERTY_NAME]


@pytest.mark.parametrize("operation", [Writing.create, Writing.update])
async def test_write_whose_revision_was_compacted_is_of_unknown_outcome(
    writing: Writing, connect: Connect, operation: Callable[[Writing], Awaitable[str]]
) -> None:
    writing.proxy.inject(cut_after_many_changes_on_top(connect()), "_bulk_docs")
    writing.proxy.inject(answered(404, '{"error":"not_found","reason":"missing"}'), "?rev=")
    with pytest.raises(OutcomeUnknownError, match="write of document 'a' was not answered"):
        await operation(writing)
    assert writing.current()["by"] == "me"


@pytest.mark.parametrize("operation", [Writing.create, Writing.update, Writing.delete])
@pytest.mark.parametrize("fault", [cut_after, cut_before, answered(500), never_answer])
async def test_write_that_can_not_be_looked_up_is_of_unknown_outcome_and_not_sent_again(
    writing: Writing, operation: Callable[[Writing], Awaitable[str]], fault: Fault
) -> None:
    writing.proxy.inject(fault, "_bulk_docs")
    writing.proxy.inject(cut_before, times=math.inf)
    with (
        deadline.within(0.5 if fault is never_answer else 10),
        pytest.raises(OutcomeUnknownError, match="write of document 'a' was not answered"),
    ):
        await operation(writing)
    assert writing.sends() == 1


@pytest.mark.parametrize(
    "text",
    [
        '{"results":[{"id":"a","docs":[{"ok":{"_rev":"9-i","_revisions":{"start":9,"ids":["i","h"]}}}]}]}',
        "{}",
        "[]",
        '{"results":[]}',
    ],
    ids=["history is too short", "object", "list", "no result"],
)
async def test_write_that_the_history_does_not_reach_back_to_is_of_unknown_outcome(
    writing: Writing, text: str
) -> None:
    writing.proxy.inject(cut_after, "_bulk_docs")
    writing.proxy.inject(answered(200, text), "_bulk_get")
    with pytest.raises(OutcomeUnknownError):
        await writing.update()
    assert writing.sends() == 1


async def test_applied_create_of_a_document_that_was_deleted_before_is_never_a_conflict(
    writing: Writing,
) -> None:
    writing.documents.delete(writing.documents.put(_id="a", by="first client"))
    writing.proxy.inject(cut_after, "_bulk_docs")
    with pytest.raises(OutcomeUnknownError):
        await writing.create()
    assert writing.sends() == 1
    assert writing.current()["by"] == "me"


async def test_write_that_never_arrives_is_sent_three_times(writing: Writing) -> None:
    writing.proxy.inject(cut_before, "_bulk_docs", times=math.inf)
    with pytest.raises(OutcomeUnknownError):
        await writing.update()
    assert writing.sends() == 3
    assert writing.current()["by"] == "first client"


async def test_while_all_writes_fail_resends_end(writing: Writing) -> None:
    writing.proxy.inject(answered(503, headers={"Retry-After": "0"}), "_bulk_docs", times=math.inf)
    for _ in range(10):
        await asyncio.gather(
            *(writing.database.save({"_id": uuid.uuid4().hex}) for _ in range(60)), return_exceptions=True
        )
    documents = [
        document
        for request in writing.proxy.requests
        if "_bulk_docs" in request.path
        for document in msgspec.json.decode(request.body)["docs"]
    ]
    # Each look-up that succeeds puts a tenth of a token back into the budget.
    look_ups = len([request for request in writing.proxy.requests if "_bulk_get" in request.path])
    assert 480 <= len(documents) - 600 <= 480 + look_ups / 10


class BusyTransport(Transport):
    """Answers from memory, but refuses the first write and asks for a pause of one minute."""

    def __init__(self, status: int) -> None:
        super().__init__(
            validate_cert=True,
            timeout_s=600,
            observer=Observer(),
            retry_budget=RetryBudget(),
        )
        self._status = status
        self._couchdb = MemoryCouchDB()
        self.written_at_s: list[float] = []

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        if url.name == "_bulk_docs":
            self.written_at_s.append(time.monotonic())
            if len(self.written_at_s) == 1:
                return Response(self._status, b"{}", method, url.raw_path, retry_after_s=60)
        status, answer = self._couchdb.handle(url.name.removeprefix("db"), url, body or b"")
        return Response(status, json.dumps(answer).encode(), method, url.raw_path)


@pytest.mark.parametrize("status", [429, 503])
@on_a_fake_clock
async def test_resend_waits_as_long_as_couchdb_asks_for(status: int) -> None:
    transport = BusyTransport(status)
    await Database("http://127.0.0.1:1/db", transport=transport).save({"_id": "a"})
    first_s, second_s = transport.written_at_s
    assert second_s - first_s == pytest.approx(60)


@pytest.mark.parametrize("status", [429, 503])
@on_a_fake_clock
async def test_nothing_is_sent_again_for_a_caller_that_is_cancelled(status: int) -> None:
    transport = BusyTransport(status)
    going = asyncio.create_task(Database("http://127.0.0.1:1/db", transport=transport).save({"_id": "a"}))
    await asyncio.sleep(30)
    assert len(transport.written_at_s) == 1
    going.cancel()
    await asyncio.sleep(3600)
    assert len(transport.written_at_s) == 1


async def test_resend_that_would_come_after_the_deadline_is_not_made(writing: Writing) -> None:
    writing.proxy.inject(answered(503, headers={"Retry-After": "20"}), "_bulk_docs")
    with deadline.within(10), pytest.raises(OutcomeUnknownError) as caught:
        await writing.update()
    assert caught.value.retry_after_s == 20
    assert writing.sends() == 1


@pytest.mark.parametrize("transport", [None, SingleCopyTransport()], ids=["question", "write"])
async def test_write_that_was_never_sent_is_not_of_unknown_outcome(transport: Transport | None) -> None:
    async with Database("http://127.0.0.1:1/db", transport=transport) as database:
        with pytest.raises(ConnectError):
            await database.save({"_id": "a"})


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413])
async def test_refused_write_is_not_sent_again(writing: Writing, status: int) -> None:
    writing.proxy.inject(answered(status, '{"error":"e","reason":"r"}'), "_bulk_docs")
    with pytest.raises(ResponseError) as caught:
        await writing.create()
    assert caught.value.status == status
    assert writing.sends() == 1
    assert not writing.is_there()


@pytest.mark.parametrize("thrown", ["forbidden", "unauthorized"])
async def test_write_that_a_validation_function_refuses_says_why(
    writing: Writing, documents: Documents, thrown: str
) -> None:
    documents.put(
        _id="_design/no",
        language="javascript",
        validate_doc_update=f"function() {{ throw {{{thrown}: 'not so'}}; }}",
    )
    with pytest.raises(DocumentRefusedError, match="not so") as caught:
        await writing.create()
    assert (caught.value.error, caught.value.reason) == (thrown, "not so")
    assert caught.value.document_id == "a"
    assert "'a'" in str(caught.value)


async def test_refusal_after_an_unanswered_attempt_is_looked_up(writing: Writing) -> None:
    async def late(request: Request) -> web.StreamResponse:
        waiting.append(request)
        return request.cut()

    async def forward_both(request: Request) -> web.StreamResponse:
        await waiting.pop().forward()
        return await request.forward()

    waiting: list[Request] = []
    writing.proxy.inject(late, "_bulk_docs")
    writing.proxy.inject(forward_both, "_bulk_docs")
    rev = await writing.update()
    assert writing.sends() == 2
    assert writing.current() == {"_id": "a", "_rev": rev, "by": "me"}
    assert rev.startswith("2-")


async def test_each_conflict_is_counted_once(writing: Writing) -> None:
    writing.proxy.inject(changed_first(), "_bulk_docs")
    with pytest.raises(ConflictError):
        await writing.update()
    assert writing.observer.conflict_count == 1
    await writing.database.save(writing.current())
    assert writing.observer.conflict_count == 1


async def test_document_that_is_not_json_is_not_sent(writing: Writing) -> None:
    with pytest.raises(InvalidDocumentError, match="'n' of document 'a'"):
        await writing.database.save({"_id": "a", "n": math.nan})
    assert writing.sends() == 0


class LateArrivals:
    """Writes that arrive after their sender has given up."""

    def __init__(self) -> None:
        self._arriving: set[asyncio.Task[web.Response]] = set()

    async def fault(self, request: Request) -> web.StreamResponse:
        self._arriving.add(asyncio.create_task(self._forward(request)))
        return request.cut()

    async def _forward(self, request: Request) -> web.Response:
        await asyncio.sleep(0.02)
        return await request.forward()

    async def wait(self) -> None:
        while self._arriving:
            await asyncio.wait_for(self._arriving.pop(), timeout=10)


async def change_on_top_and_cut(request: Request) -> web.StreamResponse:
    return await cut_after_change_on_top(by_another_client)(request)


async def change_instead_and_cut(request: Request) -> web.StreamResponse:
    return await cut_after_change_instead(by_another_client)(request)


class Ledger:
    """Tokens that writers add to one document, by the outcome of each write."""

    def __init__(self, database: Database, document_id: str) -> None:
        self._database = database
        self._document_id = document_id
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self.unknown: list[str] = []

    async def add_tokens(self, writer: int) -> None:
        for number in range(3):
            token = f"{writer}.{number}"
            try:
                await RetryStrategy(max_retries=3).run(lambda token=token: self._add(token))  # type: ignore[misc]
            except OutcomeUnknownError:
                self.unknown.append(token)
            except CouchDBError:
                self.refused.append(token)
            else:
                self.acknowledged.append(token)

    async def _add(self, token: str) -> None:
        document = await self._database.fetch(self._document_id)
        await self._database.save(document | {"tokens": [*document["tokens"], token]})


@pytest.fixture
async def late() -> AsyncIterator[LateArrivals]:
    late = LateArrivals()
    yield late
    await late.wait()


WRITE_FAULTS = [
    "none", "before", "after", "within", "late", "changed first", "on top", "instead", "500", "500 after",
    "garbage",
]  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(st.sampled_from(WRITE_FAULTS), max_size=15),
    looks=st.lists(st.sampled_from(["none", "cut", "500", "garbage"]), max_size=8),
)
async def test_acknowledged_writes_are_stored_once_and_refused_ones_never(
    database: Database,
    documents: Documents,
    proxy: FaultProxy,
    late: LateArrivals,
    faults: list[str],
    looks: list[str],
) -> None:
    fault_by_name: dict[str, Fault] = {
        "none": Request.forward,
        "before": cut_before,
        "after": cut_after,
        "within": cut_within,
        "late": late.fault,
        "changed first": changed_first(by_another_client),
        "on top": change_on_top_and_cut,
        "instead": change_instead_and_cut,
        "500": answered(500),
        "500 after": answered_after(500),
        "garbage": answered_after(201, "<html>"),
        "cut": cut_before,
    }
    proxy.clear()
    for name in faults:
        proxy.inject(fault_by_name[name], "_bulk_docs")
    for name in looks:
        proxy.inject(answered(200, "{}") if name == "garbage" else fault_by_name[name], "_bulk_get")
    document_id = uuid.uuid4().hex
    documents.put(_id=document_id, tokens=[])
    ledger = Ledger(database, document_id)
    await asyncio.gather(*(ledger.add_tokens(writer) for writer in range(3)))
    await late.wait()
    proxy.clear()
    stored = documents.get(document_id)["tokens"]
    assert len(stored) == len(set(stored)), "a write was doubled"
    assert set(ledger.acknowledged) <= set(stored), "a write was lost"
    assert set(stored) <= {*ledger.acknowledged, *ledger.unknown}, "a refused write was stored"


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    faults=st.lists(
        st.sampled_from([cut_before, cut_after, cut_within, answered(500), Request.forward]), max_size=3
    ),
    look=st.sampled_from([Request.forward, cut_before, answered(500)]),
)
async def test_acknowledged_creates_and_deletes_are_applied_and_refused_ones_are_not(
    database: Database, documents: Documents, proxy: FaultProxy, faults: list[Fault], look: Fault
) -> None:
    for operation in ("create", "delete"):
        proxy.clear()
        document_id = uuid.uuid4().hex
        rev = documents.put(_id=document_id)["_rev"] if operation == "delete" else None
        before = documents.count()
        for fault in faults:
            proxy.inject(fault, "_bulk_docs")
        proxy.inject(look, "_bulk_get")
        change = 1 if operation == "create" else -1
        try:
            if rev is None:
                await database.save({"_id": document_id})
            else:
                await database.delete(document_id, rev)
        except OutcomeUnknownError:
            assert documents.count() in (before, before + change)
        else:
            assert documents.count() == before + change


async def test_write_that_times_out_and_arrives_late_is_not_applied_twice(
    couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents
) -> None:
    saved, arrived = asyncio.Event(), asyncio.Event()
    answers = []

    async def late(request: Request) -> web.StreamResponse:
        await saved.wait()
        answers.append(await request.forward())
        arrived.set()
        return answers[0]

    rev = documents.put(_id="a", n=0)["_rev"]
    proxy.inject(late, "_bulk_docs")
    async with Database(
        proxy.url, username=couchdb.username, password=couchdb.password, timeout_s=1.0
    ) as database:
        await database.copies()
        rev = await database.save({"_id": "a", "_rev": rev, "n": 1})
    saved.set()
    async with asyncio.timeout(10):
        await arrived.wait()
    assert "conflict" in (answers[0].text or "")
    assert documents.content("a") == {"_id": "a", "_rev": rev, "n": 1}


class Rivals:
    """Writes that all replace the same revision of a document 'a'."""

    def __init__(self, database: Database, documents: Documents) -> None:
        self._database = database
        self._rev = documents.put(_id="a", by="first client")["_rev"]

    def start(self, timeout_s: float = math.inf, **properties: Any) -> asyncio.Task[str]:
        async def save() -> str:
            with deadline.within(timeout_s):
                return await self._database.save({"_id": "a", "_rev": self._rev, **properties})

        return asyncio.create_task(save())


@pytest.fixture
def rivals(database: Database, documents: Documents) -> Rivals:
    return Rivals(database, documents)


async def test_of_writes_that_replace_one_revision_only_the_first_is_sent(
    writing: Writing, rivals: Rivals
) -> None:
    first, *others = await asyncio.gather(*(rivals.start(n=n) for n in range(20)), return_exceptions=True)
    assert writing.current() == {"_id": "a", "_rev": first, "n": 0}
    assert {type(other) for other in others} == {ConflictError}
    assert writing.sends() == 1


async def test_conflict_of_the_first_write_is_a_conflict_for_all_others(
    writing: Writing, rivals: Rivals
) -> None:
    writing.proxy.inject(changed_first(by_another_client), "_bulk_docs")
    outcomes = await asyncio.gather(*(rivals.start(n=n) for n in range(20)), return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {ConflictError}
    assert writing.current()["by"] == "another client"
    assert writing.sends() == 1


async def test_each_write_that_loses_counts_a_conflict(writing: Writing, rivals: Rivals) -> None:
    document = writing.current()
    await asyncio.gather(*(writing.database.save(document) for _ in range(5)), return_exceptions=True)
    assert writing.observer.conflict_count == 4


async def test_when_the_first_write_is_refused_the_next_is_sent(writing: Writing, rivals: Rivals) -> None:
    writing.proxy.inject(answered(403, '{"error":"forbidden","reason":"r"}'), "_bulk_docs", times=2)
    outcomes = await asyncio.gather(*(rivals.start(n=n) for n in range(4)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ForbiddenError, ForbiddenError, str, ConflictError]
    assert writing.current()["n"] == 2


async def test_when_the_first_write_is_cancelled_the_next_is_sent(writing: Writing, rivals: Rivals) -> None:
    writing.proxy.inject(never_answer, "_bulk_docs")
    first = rivals.start(n=0)
    await wait_until(lambda: writing.sends() == 1)
    second = rivals.start(n=1)
    first.cancel()
    rev = await second
    assert writing.current() == {"_id": "a", "_rev": rev, "n": 1}


async def test_write_that_waits_for_another_until_its_deadline_is_never_sent(
    writing: Writing, rivals: Rivals
) -> None:
    async def held(request: Request) -> web.StreamResponse:
        await released.wait()
        return await request.forward()

    released = asyncio.Event()
    writing.proxy.inject(held, "_bulk_docs")
    patient, hasty = rivals.start(n=0), rivals.start(0.1, n=1)
    with pytest.raises(ConnectError):
        await hasty
    released.set()
    rev = await patient
    assert writing.current() == {"_id": "a", "_rev": rev, "n": 0}
    assert writing.sends() == 1
