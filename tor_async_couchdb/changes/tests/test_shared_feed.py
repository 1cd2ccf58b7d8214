"""Each reader gets the latest state of each document, and CouchDB is asked once for all of them."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tor_async_couchdb.changes.shared_feed import START, SharedFeed
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.revisions import Change
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, cut_after
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.pretended_cluster import cluster_of
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until

TIMEOUT_S = 30.0

Revs = dict[str, str]
Feed = SharedFeed[Revs]


def revs_of(changes: Sequence[Change]) -> Revs:
    return {change.id: change.rev for change in changes}


async def sleep_shortly(pause_s: float) -> None:
    await asyncio.sleep(min(pause_s, 0.02))


@contextlib.asynccontextmanager
async def feeding(database: Database, **options: Any) -> AsyncIterator[Feed]:
    feed = SharedFeed(revs_of, database=database, heartbeat_s=0.3, sleep=sleep_shortly, **options)
    task = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Reader:
    """Reads a feed, and remembers where it is."""

    def __init__(self) -> None:
        self.revs: Revs = {}
        self.seq = START
        self.count = 0

    @contextlib.asynccontextmanager
    async def reading(self, feed: Feed) -> AsyncIterator[None]:
        task = asyncio.create_task(self._read(feed))
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self, feed: Feed) -> None:
        async for batch in feed.batches(self.seq):
            self.revs |= batch.content
            self.seq = batch.seq
            self.count += batch.count

    async def has(self, *documents: dict[str, Any]) -> None:
        await wait_until(
            lambda: all(self.revs.get(each["_id"]) == each["_rev"] for each in documents), TIMEOUT_S
        )


def polls(proxy: FaultProxy) -> int:
    return sum("_changes" in request.path for request in proxy.requests)


async def test_readers_get_what_is_there_and_what_comes(database: Database, documents: Documents) -> None:
    reader = Reader()
    first = [documents.put(n=n) for n in range(5)]
    async with feeding(database, batch_size=2) as feed, reader.reading(feed):
        await reader.has(*first)
        await reader.has(documents.put(n=6), documents.put(**first[0] | {"n": 7}))


async def test_reader_that_comes_back_gets_what_it_missed_and_no_more(
    database: Database, documents: Documents
) -> None:
    reader = Reader()
    async with feeding(database) as feed:
        async with reader.reading(feed):
            await reader.has(documents.put(n=1))
        missed, seen = documents.put(n=2), reader.count
        async with reader.reading(feed):
            await reader.has(missed, documents.put(n=3))
        assert reader.count - seen <= 3  # one may come twice where a reader joins the others


async def test_change_is_read_once_for_all_readers(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    readers = [Reader() for _ in range(50)]
    first = documents.put(n=1)
    async with feeding(database) as feed, contextlib.AsyncExitStack() as stack:
        for reader in readers:
            await stack.enter_async_context(reader.reading(feed))
        for reader in readers:
            await reader.has(first)
        before = polls(proxy)
        second = documents.put(n=2)
        for reader in readers:
            await reader.has(second)
        assert polls(proxy) - before < 10


async def test_no_change_falls_between_catching_up_and_joining(
    database: Database, documents: Documents
) -> None:
    last: dict[str, dict[str, Any]] = {}
    reader = Reader()
    async with feeding(database, batch_size=3) as feed:
        for i in range(40):
            async with reader.reading(feed):
                name = f"document-{i % 7}"
                last[name] = documents.put(**last.get(name, {"_id": name}) | {"n": i})
                if i % 3 == 0:
                    await reader.has(*last.values())
        async with reader.reading(feed):
            await reader.has(*last.values())


async def test_readers_wait_while_the_database_cannot_be_reached(
    database: Database, documents: Documents, proxy: FaultProxy
) -> None:
    reader, late = Reader(), Reader()
    async with feeding(database) as feed, reader.reading(feed):
        await reader.has(documents.put(n=1))
        proxy.inject(answered(503), times=6)
        proxy.inject(cut_after, times=6)
        second = documents.put(n=2)
        async with late.reading(feed):
            await reader.has(second)
            await late.has(second)


@pytest.mark.parametrize("since", ["", "now", "x" * 20_000, "1" * 20_000, f"1-{'a' * 20_000}", "1-ä", "٣"])
async def test_text_that_cannot_be_a_sequence_is_asked_for_as_the_start(
    database: Database, documents: Documents, proxy: FaultProxy, since: str
) -> None:
    first = documents.put(n=1)
    reader = Reader()
    reader.seq = since
    async with feeding(database) as feed, reader.reading(feed):
        await reader.has(first)
    queries = [parse_qs(urlsplit(each.path).query) for each in proxy.requests]
    asked_for = {query["since"][0] for query in queries if "since" in query}
    assert START in asked_for
    assert since not in asked_for - {"now"}  # the feed itself begins there


async def test_readers_begin_again_in_a_database_that_was_made_again(
    connect: Connect, documents: Documents, couchdb: CouchDBServer
) -> None:
    database = connect(timeout_s=1.0)  # the stand-in never answers a poll of a deleted database
    reader, late = Reader(), Reader()
    async with feeding(database) as feed:
        async with reader.reading(feed), late.reading(feed):
            made = [documents.put(n=n) for n in range(10)]
            await reader.has(*made)
            await late.has(*made)
        async with reader.reading(feed):
            couchdb.succeed("DELETE", documents.name)
            couchdb.succeed("PUT", documents.name)
            document = documents.put(n=11)
            await reader.has(document)
            async with late.reading(feed):
                await late.has(document)


async def test_sequence_that_is_none_stands_for_the_start(database: Database, documents: Documents) -> None:
    reader = Reader()
    reader.seq = "no sequence"
    document = documents.put(n=1)
    async with feeding(database) as feed, reader.reading(feed):
        await reader.has(document)


@pytest.mark.parametrize("answer", ["{}", "[]", '{"db_name":"a","doc_count":7}', '{"update_seq":{}}'])
async def test_answer_that_is_not_couchdbs_is_asked_for_again(
    database: Database, documents: Documents, proxy: FaultProxy, answer: str
) -> None:
    reader = Reader()
    proxy.inject(answered(200, answer), f"/{documents.name}", times=6)
    async with feeding(database) as feed, reader.reading(feed):
        await reader.has(documents.put(n=1))
        await wait_until(lambda: polls(proxy) > 6, TIMEOUT_S)
        await reader.has(documents.put(n=2))


async def test_reader_on_a_cluster_goes_on_from_its_own_sequence(
    connect: Connect, documents: Documents, proxy: FaultProxy, database_url: str
) -> None:
    proxy.inject(cluster_of(database_url), times=math.inf)
    database = connect()
    assert await database.copies() > 1
    reader = Reader()
    async with feeding(database) as feed, reader.reading(feed):
        await reader.has(documents.put(n=1))
        await reader.has(documents.put(n=2), documents.put(n=3))


async def test_slow_reader_holds_up_nobody(database: Database, documents: Documents) -> None:
    reader = Reader()
    async with feeding(database, batch_size=2) as feed, reader.reading(feed):
        slow = feed.batches()
        made = [documents.put(n=n) for n in range(9)]
        revs = (await anext(slow)).content
        await reader.has(*made)
        async with asyncio.timeout(TIMEOUT_S):
            while not revs.items() >= {each["_id"]: each["_rev"] for each in made}.items():
                revs |= (await anext(slow)).content
        await slow.aclose()
