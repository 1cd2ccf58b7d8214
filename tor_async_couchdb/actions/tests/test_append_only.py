import asyncio
import itertools
import math
import random
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.actions import append_only
from tor_async_couchdb.actions.append_only import (
    AsyncAppender,
    AsyncFolder,
    AsyncPartsPagesRetriever,
    AsyncPartsRetriever,
    Journal,
    joined,
)
from tor_async_couchdb.actions.retrieve import Cursor, Page
from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import OutcomeUnknownError, TransportError
from tor_async_couchdb.model.appended import AppendedModel, Entry
from tor_async_couchdb.testing.fault_proxy import Fault, FaultProxy, Request, answered, cut_before
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents

VIEW = "thing_parts_by_key"
DESIGN_DOCUMENT = {
    "language": "javascript",
    "views": {
        VIEW: {
            "map": "function(doc) { if (doc.type === 'thing_history_v1.0') "
            "{ emit([doc.key, doc.updated_on], doc); } }",
            "reduce": "_count",
        }
    },
}
MAX_PARTS = 4


class Thing(AppendedModel, tag="thing_history_v1.0"):
    key: str
    color: str


class Retriever(AsyncPartsRetriever[Thing]):
    """Finds a thing by its key."""

    def __init__(self, key: str, database: Database, update: str = "true") -> None:
        super().__init__(VIEW, key, update=update, database=database)


class PagesRetriever(AsyncPartsPagesRetriever[Thing]):
    """Finds all things."""


@pytest.fixture(autouse=True)
def view(documents: Documents, monkeypatch: pytest.MonkeyPatch) -> None:
    documents.put(_id=f"_design/{VIEW}", **DESIGN_DOCUMENT)
    monkeypatch.setattr(append_only, "_CLUSTER_OVERLAP_S", 0.0)


def thing(entry: Entry, key: str = "a", color: str = "red") -> Thing:
    return Thing(key=key, color=color, **Thing.properties_of(entry))


def folder_of(database: Database) -> AsyncFolder[Thing]:
    return AsyncFolder(Retriever, database=database, max_parts=MAX_PARTS, settle_s=0.0)


async def appended(database: Database, count: int, journal: Journal, key: str = "a") -> None:
    """A thing with so many entries."""
    appender = AsyncAppender(Retriever(key, database), journal)
    await appender.begin(lambda entry: thing(entry, key))
    for number in range(count - 1):
        assert await appender.append(lambda entry, number=number: thing(entry, key, f"color {number}"))  # type: ignore[misc]


async def count_of(database: Database) -> int:
    found = await Retriever("a", database).fetch()
    return 0 if found is None else found.entry_count


def part(number: int, *, minute: int = 0, writer: str = "w") -> Thing:
    return Thing(
        key="a",
        color=f"{writer}{number}",
        updated_on=f"2026-01-01T00:{minute:02}:00.000000+00:00",
        entry=f"{writer}.{number}",
        entries={writer: [(number, number)]},
    )


@given(st.permutations([part(i, minute=i % 3) for i in range(6)]), st.randoms())
def test_parts_are_the_same_together_in_any_order_and_however_often(
    parts: list[Thing], dice: random.Random
) -> None:
    expected = joined([part(i, minute=i % 3) for i in range(6)])
    assert joined([*parts, *dice.choices(parts, k=4)]) == expected
    assert expected is not None
    assert (expected.color, expected.entry_count) == ("w5", 6)


def test_of_two_entries_of_one_time_the_greater_name_is_the_later() -> None:
    one, other = part(1, writer="a"), part(1, writer="b")
    assert one.joined(other).color == other.joined(one).color == "b1"


async def test_change_is_a_document_of_its_own_and_nothing_is_replaced(
    database: Database, documents: Documents
) -> None:
    await appended(database, 3, Journal())
    parts = [document for document in documents.all() if "key" in document]
    assert [document["_rev"][:2] for document in parts] == ["1-"] * 3
    found = await Retriever("a", database).fetch()
    assert found is not None
    assert (found.color, found.entry_count) == ("color 1", 3)


async def test_entries_of_one_process_follow_each_other(database: Database) -> None:
    journal = Journal()
    appender = AsyncAppender(Retriever("a", database), journal)
    await appender.begin(thing)
    all_appended = await asyncio.gather(*(appender.append(thing) for _ in range(12)))
    counts = [each.after.entry_count for each in all_appended if each is not None]
    assert sorted(counts) == list(range(2, 14))
    assert all(each and each.before.entry_count == each.after.entry_count - 1 for each in all_appended)


async def test_nothing_is_appended_to_what_is_not_there(database: Database, documents: Documents) -> None:
    assert await AsyncAppender(Retriever("a", database), Journal()).append(thing) is None
    assert [document for document in documents.all() if "key" in document] == []


async def test_entries_of_two_processes_are_all_there(database: Database, connect: Connect) -> None:
    await appended(database, 1, Journal())
    appenders = [AsyncAppender(Retriever("a", each), Journal()) for each in (database, connect())]
    await asyncio.gather(*(appender.append(thing) for appender in appenders for _ in range(5)))
    assert await count_of(database) == 11


async def test_entry_is_later_than_what_its_process_has_read(
    database: Database, documents: Documents
) -> None:
    await appended(database, 1, Journal())
    [first] = [document for document in documents.all() if "key" in document]
    future = "2999-01-01T00:00:00.000000+00:00"
    documents.put(**{name: first[name] for name in first if name[0] != "_"} | {"updated_on": future})
    added = await AsyncAppender(Retriever("a", database), Journal()).append(thing)
    assert added is not None
    assert added.after.updated_on > future


async def test_change_that_can_not_be_read_back_has_an_unknown_outcome(
    database: Database, proxy: FaultProxy
) -> None:
    journal = Journal()
    await appended(database, 2, journal)
    proxy.inject(answered(404, '{"error": "not_found", "reason": "missing"}'), "_view")
    with pytest.raises(OutcomeUnknownError):
        await AsyncAppender(Retriever("a", database), journal).append(thing)
    assert await count_of(database) == 3


async def test_model_with_many_parts_is_folded_into_one(database: Database, documents: Documents) -> None:
    await appended(database, MAX_PARTS + 3, Journal())
    before = await Retriever("a", database).fetch()
    await folder_of(database).fold_all()
    [snapshot] = await Retriever("a", database).fetch_parts()
    assert before is not None
    assert snapshot.folded_on is not None
    assert snapshot.entries == before.entries
    assert [len(ranges) for ranges in snapshot.entries.values()] == [1]
    assert snapshot.representation() | {"folded_on": None} == before.representation()


async def test_model_with_few_parts_is_left_alone(database: Database) -> None:
    await appended(database, MAX_PARTS, Journal())
    await folder_of(database).fold_all()
    assert len(await Retriever("a", database).fetch_parts()) == MAX_PARTS


async def test_part_with_an_attachment_stays(database: Database, documents: Documents) -> None:
    await appended(database, MAX_PARTS + 3, Journal())
    part = (await Retriever("a", database).fetch_parts())[0]
    file = {"content_type": "text/plain", "data": "YQ=="}
    documents.put(**documents.get(str(part.id)) | {"_attachments": {"a.txt": file}})
    await folder_of(database).fold_all()
    parts = await Retriever("a", database).fetch_parts()
    assert [list(each.attachments or ()) for each in parts if each.folded_on is None] == [["a.txt"]]
    assert await count_of(database) == MAX_PARTS + 3


async def test_young_entries_are_left_alone(database: Database) -> None:
    await appended(database, MAX_PARTS + 3, Journal())
    await AsyncFolder(Retriever, database=database, max_parts=MAX_PARTS, settle_s=60.0).fold_all()
    assert len(await Retriever("a", database).fetch_parts()) == MAX_PARTS + 3


async def test_crash_between_snapshot_and_clean_up_counts_nothing_twice(database: Database) -> None:
    journal = Journal()
    await appended(database, MAX_PARTS + 3, journal)
    await folder_of(database).fold("a")
    assert len(await Retriever("a", database).fetch_parts()) == MAX_PARTS + 4
    assert await count_of(database) == MAX_PARTS + 3
    await folder_of(database).fold("a")  # there is nothing new to fold
    assert len(await Retriever("a", database).fetch_parts()) == MAX_PARTS + 4
    await folder_of(database).clean_up("a")
    assert len(await Retriever("a", database).fetch_parts()) == 1
    assert await count_of(database) == MAX_PARTS + 3


async def test_two_folders_at_once_count_nothing_twice_and_leave_one_snapshot(
    database: Database, connect: Connect
) -> None:
    folders = [folder_of(database), folder_of(connect())]
    await appended(database, MAX_PARTS + 3, Journal())
    await asyncio.gather(*(folder.fold("a") for folder in folders))
    assert await count_of(database) == MAX_PARTS + 3
    await asyncio.gather(*(folder.clean_up("a") for folder in folders))
    assert len(await Retriever("a", database).fetch_parts()) == 1
    assert await count_of(database) == MAX_PARTS + 3


async def test_two_snapshots_that_overlap_are_a_union_and_stay(database: Database) -> None:
    for numbers in ((1, 2, 3), (2, 3, 4)):
        snapshot = joined([part(number) for number in numbers])
        assert snapshot is not None
        await AsyncPersister(snapshot.as_snapshot(), database=database).persist()
    await folder_of(database).clean_up("a")
    assert len(await Retriever("a", database).fetch_parts()) == 2
    assert await count_of(database) == 4


async def test_late_entry_counts_once_whether_it_is_folded_already_or_not(
    database: Database, documents: Documents
) -> None:
    snapshot = joined([part(number, minute=number) for number in (1, 2, 4)])
    assert snapshot is not None
    await AsyncPersister(snapshot.as_snapshot(), database=database).persist()
    for number in (2, 3):  # replication brings them now
        await AsyncPersister(part(number, minute=number), database=database).persist()
    assert await count_of(database) == 4
    found = await Retriever("a", database).fetch()
    assert found is not None
    assert found.color == "w4"
    await folder_of(database).clean_up("a")
    assert len(await Retriever("a", database).fetch_parts()) == 2
    assert await count_of(database) == 4


async def test_folding_while_others_append_loses_nothing(database: Database, connect: Connect) -> None:
    await appended(database, 1, Journal())

    async def append(database: Database) -> None:
        appender = AsyncAppender(Retriever("a", database), Journal())
        for _ in range(15):
            assert await appender.append(thing)

    async def fold(database: Database) -> None:
        for _ in range(8):
            await folder_of(database).fold_all()

    await asyncio.gather(append(database), append(connect()), fold(database), fold(connect()))
    assert await count_of(database) == 31


async def test_folder_without_the_lease_leaves_the_work_to_the_other(
    database: Database, connect: Connect
) -> None:
    one, other = folder_of(database), folder_of(connect())
    assert await one._has_lease()
    assert not await other._has_lease()
    assert await one._has_lease()
    ended = AsyncFolder(Retriever, database=database, lease_s=-1.0)
    await database.revisions.write_local(f"{VIEW}_folder", {"holder": "x", "until": "2000"})
    assert await ended._has_lease()
    assert await other._has_lease()


async def test_folder_goes_on_when_the_database_is_back(
    database: Database, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    await appended(database, MAX_PARTS + 3, Journal())
    proxy.inject(cut_before, "_local", times=6)
    folder = AsyncFolder(Retriever, database=database, max_parts=MAX_PARTS, settle_s=0.0, interval_s=0.01)
    running = asyncio.create_task(folder.run())
    async with asyncio.timeout(20):
        while len(await Retriever("a", database).fetch_parts()) > 1:  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.02)
    assert "can't fold" in caplog.text
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert await count_of(database) == MAX_PARTS + 3


def refused(status: int, key: str) -> Fault:
    """CouchDB refuses what is written of one thing."""

    async def fault(request: Request) -> web.StreamResponse:
        if f'"key":"{key}"'.encode() in request.body:
            return await answered(status, '{"error": "x", "reason": "y"}')(request)
        return await request.forward()

    return fault


async def part_counts(database: Database, keys: str) -> dict[str, int]:
    return {key: len(await Retriever(key, database).fetch_parts()) for key in keys}


@pytest.mark.parametrize("status", [403, 413])
async def test_model_that_can_not_be_folded_holds_up_no_other_and_is_reported_once(
    database: Database, proxy: FaultProxy, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    for key in "abc":
        await appended(database, MAX_PARTS + 1, Journal(), key)
    proxy.inject(refused(status, "b"), "_bulk_docs", times=math.inf)
    folder = folder_of(database)
    for _ in range(3):
        await folder.fold_all()
    assert await part_counts(database, "abc") == {"a": 1, "b": MAX_PARTS + 1, "c": 1}
    assert folder.unfoldable_keys == ["b"]
    assert [record.message for record in caplog.records if "can't fold 'b'" in record.message]
    assert len([record for record in caplog.records if "can't fold" in record.message]) == 1
    proxy.clear()
    await folder.fold_all()
    assert folder.unfoldable_keys == []
    assert await part_counts(database, "b") == {"b": 1}


@pytest.mark.parametrize("error", [ValueError("wrong"), KeyError("missing"), RecursionError()])
async def test_model_whose_own_code_fails_holds_up_no_other(
    database: Database, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    join = Thing.joined

    def fail_for_a(one: Thing, other: Thing) -> Thing:
        if one.key == "a":
            raise error
        return join(one, other)

    for key in "ab":
        await appended(database, MAX_PARTS + 1, Journal(), key)
    monkeypatch.setattr(Thing, "joined", fail_for_a)
    folder = folder_of(database)
    await folder.fold_all()
    assert folder.unfoldable_keys == ["a"]
    assert await part_counts(database, "b") == {"b": 1}


async def test_model_that_can_not_be_folded_in_time_holds_up_no_other_for_ever(
    database: Database, proxy: FaultProxy
) -> None:
    for key in "ab":
        await appended(database, MAX_PARTS + 1, Journal(), key)
    folder = folder_of(database)
    proxy.inject(cut_before, "%22a%22", times=math.inf)
    with pytest.raises(TransportError):
        await folder.fold_all()
    assert folder.unfoldable_keys == ["a"]
    with pytest.raises(TransportError):
        await folder.fold_all()
    assert await part_counts(database, "b") == {"b": 1}


ODD_KEYS = ["a", 7, None, {}, {"a": 1}, [], [7, "x"], [None], [["a"], "x"], [True], ["a"], [{}]]


async def test_rows_whose_keys_are_of_no_model_hold_up_nothing(
    database: Database, documents: Documents
) -> None:
    design_document = documents.get(f"_design/{VIEW}")
    emit_all = "function(doc) { emit('odd' in doc ? doc.odd : [doc.key, doc.updated_on], doc); }"
    documents.put(**design_document | {"views": {VIEW: {"map": emit_all, "reduce": "_count"}}})
    for key in [*ODD_KEYS, *ODD_KEYS]:
        documents.put(odd=key)
    for key in "ab":
        await appended(database, 2, Journal(), key)
    folder = AsyncFolder(Retriever, database=database, max_parts=1, settle_s=0.0)
    await folder.fold_all()
    assert folder.unfoldable_keys == []
    pages = PagesRetriever(VIEW, database=database)
    assert [each.entry_count for each in await pages.fetch()] == [2, 2]
    assert [each.key for each in (await pages.fetch_page(1)).models] == ["a"]
    assert [each.key for each in (await pages.fetch_page(1, Cursor("b", ""))).models] == ["b"]
    for key in (None, True, 7, ""):
        assert [each.key for each in (await pages.fetch_page(1, Cursor(key, ""))).models] == ["a"]
    for key in ("c", [], ["a"], {}, {"a": 1}):
        assert await pages.fetch_page(1, Cursor(key, "")) == Page([], None)


async def test_value_without_an_id_is_left_out(database: Database, documents: Documents) -> None:
    await appended(database, 2, Journal())
    design_document = documents.get(f"_design/{VIEW}")
    emit_text = design_document["views"][VIEW]["map"].replace(", doc);", ", {key: doc.key});")
    documents.put(**design_document | {"views": {VIEW: {"map": emit_text, "reduce": "_count"}}})
    assert await count_of(database) == 0
    assert await PagesRetriever(VIEW, database=database).fetch() == []


async def test_long_history_is_folded_in_steps_and_counts_the_same(
    database: Database, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(append_only, "_WINDOW", 10)
    parts = [part(number, minute=number) for number in range(43)]
    await asyncio.gather(*(AsyncPersister(each, database=database).persist() for each in parts))
    for _ in range(6):
        await folder_of(database).fold_all()
        assert await count_of(database) == 43
    assert await part_counts(database, "a") == {"a": 1}
    windows = [each.path for each in proxy.requests if "skip=" in each.path]
    assert windows
    assert all("limit=10" in path for path in windows)


@pytest.mark.parametrize(
    "lease",
    [
        {},
        {"holder": 7, "until": "2999"},
        {"holder": "x", "until": {}},
        {"holder": "x", "until": None},
        {"holder": "x", "until": "2999-01-01T00:00:00.000000+00:00"},
    ],
)
async def test_lease_that_no_folder_writes_is_overwritten(database: Database, lease: dict[str, Any]) -> None:
    await database.revisions.write_local(f"{VIEW}_folder", lease)
    assert await folder_of(database)._has_lease()
    stored = await database.revisions.read_local(f"{VIEW}_folder")
    assert stored is not None
    assert "until" in stored
    assert not await folder_of(database)._has_lease()


async def test_folder_goes_on_after_an_answer_that_is_not_couchdbs(
    database: Database, proxy: FaultProxy
) -> None:
    await appended(database, MAX_PARTS + 1, Journal())
    proxy.inject(answered(200, "{}"), "_local", times=2)
    folder = AsyncFolder(Retriever, database=database, max_parts=MAX_PARTS, settle_s=0.0, interval_s=0.01)
    running = asyncio.create_task(folder.run())
    async with asyncio.timeout(20):
        while len(await Retriever("a", database).fetch_parts()) > 1:  # noqa: ASYNC110 - only the database knows
            await asyncio.sleep(0.02)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_pages_have_each_model_once(database: Database) -> None:
    journal = Journal()
    for key in "edcba":
        await appended(database, 3, journal, key)
    retriever = PagesRetriever(VIEW, database=database)
    assert [each.key for each in await retriever.fetch()] == list("abcde")
    keys, start = [], None
    for _ in itertools.count():
        page = await retriever.fetch_page(2, start)
        keys.append([each.key for each in page.models])
        if page.next is None:
            break
        start = page.next
    assert keys == [["a", "b"], ["c", "d"], ["e"]]
    assert all(each.entry_count == 3 for each in await retriever.fetch())


@pytest.mark.parametrize("update", ["true", "lazy", "false"])
async def test_reader_says_whether_the_view_is_brought_up_to_date(
    database: Database, proxy: FaultProxy, update: str
) -> None:
    await appended(database, 1, Journal())
    assert await count_of(database) == 1
    await AsyncPersister(part(7), database=database).persist()
    found = await Retriever("a", database, update=update).fetch()
    assert f"update={update}" in proxy.requests[-1].path
    # CouchDB may bring a view up to date in the background at any time. On a cluster another copy of it may
    # answer, which nobody has brought up to date yet.
    oldest = 1 if await database.copies() == 1 else 0
    entry_count = 0 if found is None else found.entry_count
    assert entry_count in ((2,) if update == "true" else range(oldest, 3))
    await PagesRetriever(VIEW, update=update, database=database).fetch()
    assert f"update={update}" in proxy.requests[-1].path


async def test_part_that_does_not_fit_is_left_out(database: Database, documents: Documents) -> None:
    await appended(database, 2, Journal())
    documents.put(type="thing_history_v1.0", key="a", updated_on=7)
    assert await count_of(database) == 2


def test_journal_names_each_entry_once_and_forgets_models_when_it_knows_too_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def entries() -> list[tuple[str, str]]:
        named = []
        for key in ("a", "a", "b", "c", "a"):
            with journal.appending(key, None) as (entry, _):
                named.append((key, entry.name))
        return named

    journal = Journal()
    monkeypatch.setattr(append_only, "_MAX_KEYS", 2)
    names = asyncio.run(entries())
    assert len(set(names)) == 5
    assert [journal.expects(key) for key in "abc"] == [True, False, False]
