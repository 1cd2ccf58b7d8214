"""Each document's latest state is told at least once, whoever is killed; what is refused is written down."""

import asyncio
import collections
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from samples.outbox.async_action import MAX_TRIES, AsyncNoticeSender
from samples.outbox.model import CHECKPOINT, is_told
from tor_async_couchdb import Database, Follower
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, cut_before
from tor_async_couchdb.tests.things import Documents
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_etcd.testing import EtcdServer
from tor_async_service.tests.processes import running

TIMEOUT_S = 60.0


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


class Receiver:
    """A webhook that a test starts and stops; it answers each document as `answers` says, by default 204."""

    def __init__(self) -> None:
        self.notices: list[dict[str, Any]] = []
        self.answers: dict[str, int] = {}
        self.status = 204
        self.url = ""

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        runner = web.ServerRunner(web.Server(self._handle, access_log=None), shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/notices"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        notice = await request.json()
        self.notices.append(notice)
        return web.Response(status=self.answers.get(notice["document_id"], self.status))

    @property
    def revs(self) -> dict[str, str]:
        """The revision of each document that was told last."""
        return {notice["document_id"]: notice["rev"] for notice in self.notices}

    @property
    def counts(self) -> collections.Counter[str]:
        """How often each document was told."""
        return collections.Counter(notice["document_id"] for notice in self.notices)

    async def was_told(self, count: int) -> None:
        await wait_until(lambda: len(self.notices) >= count, TIMEOUT_S)

    async def has(self, revs: dict[str, str]) -> None:
        await wait_until(lambda: self.revs.items() >= revs.items(), TIMEOUT_S)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    async with receiver.listening():
        yield receiver


@contextlib.asynccontextmanager
async def sending(receiver: Receiver, database: Database) -> AsyncIterator[None]:
    sender = AsyncNoticeSender(receiver.url, database)
    follower = Follower(
        CHECKPOINT,
        sender.send_all,
        database=database,
        wants=is_told,
        heartbeat_s=0.3,
        checkpoint_interval_s=0.0,
    )
    task = asyncio.create_task(follower.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def written(documents: Documents, count: int, prefix: str = "document") -> dict[str, str]:
    """Writes so many documents; their revisions by their ids."""
    made = [documents.put(_id=f"{prefix}-{n}", n=n) for n in range(count)]
    return {document["_id"]: document["_rev"] for document in made}


def dead_letters(documents: Documents) -> list[dict[str, Any]]:
    return [document for document in documents.all() if document.get("type") == "dead_letter_v1.0"]


async def test_receiver_is_told_of_changes_and_deletions(
    database: Database, documents: Documents, receiver: Receiver
) -> None:
    document = documents.put(_id="a", n=1)
    async with sending(receiver, database):
        await receiver.has({"a": document["_rev"]})
        documents.delete(document)
        await wait_until(lambda: receiver.notices[-1]["document"] is None, TIMEOUT_S)
    assert receiver.notices[0] == {"document_id": "a", "rev": document["_rev"], "document": {"n": 1}}


async def test_notice_that_is_refused_again_and_again_is_a_dead_letter_and_holds_up_no_other(
    database: Database, documents: Documents, receiver: Receiver
) -> None:
    receiver.answers["poison-0"] = 500
    poison = written(documents, 1, "poison")
    sound = written(documents, 5)
    async with sending(receiver, database):
        await receiver.has(sound)
        await wait_until(lambda: len(dead_letters(documents)) == 1, TIMEOUT_S)
        await receiver.has(written(documents, 3, "later"))
    (letter,) = dead_letters(documents)
    assert (letter["document_id"], letter["document_rev"]) == ("poison-0", poison["poison-0"])
    assert letter["tries"] == MAX_TRIES == receiver.counts["poison-0"]
    assert letter["answer"].startswith("500")
    assert letter["_id"] not in receiver.counts


@pytest.mark.parametrize("deep", ["[" * 1500 + "]" * 1500, '{"a":' * 1100 + "7" + "}" * 1100])
async def test_document_that_cannot_be_decoded_is_a_dead_letter_and_never_told_in_part(
    database: Database, documents: Documents, receiver: Receiver, deep: str
) -> None:
    documents.put_json(f'{{"_id": "deep", "n": 1, "more": {deep}}}')
    changes = await database.revisions.changes(0, limit=10, timeout_s=1.0)
    sound = written(documents, 3)
    async with sending(receiver, database):
        await receiver.has(sound)
        await receiver.has(written(documents, 1, "later"))  # of the next batch
    (rev,) = [change.rev for change in changes.results if change.id == "deep"]
    letter = documents.get(f"dead_letter:deep:{rev}")
    assert (letter["document_id"], letter["tries"]) == ("deep", 0)
    assert "nested too deeply" in letter["answer"]
    assert "deep" not in receiver.counts


async def test_dead_letter_is_written_once_although_its_write_has_failed(
    database: Database, documents: Documents, receiver: Receiver, proxy: FaultProxy
) -> None:
    receiver.answers["poison-0"] = 400
    written(documents, 1, "poison")
    proxy.inject(cut_before, "_bulk_docs", times=2)
    async with sending(receiver, database):
        await wait_until(lambda: len(dead_letters(documents)) == 1, TIMEOUT_S)
        await receiver.has(written(documents, 1))
    assert len(dead_letters(documents)) == 1


async def test_receiver_that_is_down_makes_no_dead_letters(
    database: Database, documents: Documents, receiver: Receiver
) -> None:
    receiver.status = 503
    revs = written(documents, 3)
    async with sending(receiver, database):
        await wait_until(lambda: min(receiver.counts[name] for name in revs) > MAX_TRIES, TIMEOUT_S)
        receiver.status = 204
        receiver.notices.clear()
        await receiver.has(revs)
        await receiver.has(written(documents, 1, "later"))
    assert dead_letters(documents) == []


async def test_only_one_process_sends(
    couchdb: CouchDBServer, documents: Documents, database_url: str, receiver: Receiver, etcd: EtcdServer
) -> None:
    arguments = ["--port", "0", "--database", database_url, "--etcd", etcd.url, "--webhook", receiver.url]
    start = functools.partial(
        running, "samples.outbox.service", *arguments, username=couchdb.username, password=couchdb.password
    )
    async with start() as first, start() as second:
        await first.url()
        await second.url()
        revs = written(documents, 20)
        await receiver.has(revs)
        await receiver.has(written(documents, 1, "last"))
    assert {receiver.counts[name] for name in revs} == {1}


@pytest.mark.long
async def test_no_document_is_missed_although_the_sending_process_is_killed_again_and_again(
    couchdb: CouchDBServer,
    documents: Documents,
    database_url: str,
    receiver: Receiver,
    etcd: EtcdServer,
    record_property: Callable[[str, object], None],
) -> None:
    arguments = ["--port", "0", "--database", database_url, "--etcd", etcd.url, "--webhook", receiver.url]
    chance = random.Random(8465)  # noqa: S311 - no secret
    revs: dict[str, str] = {}
    for kill in range(5):
        async with running(
            "samples.outbox.service", *arguments, username=couchdb.username, password=couchdb.password
        ) as process:
            await process.url()
            told = len(receiver.notices) + chance.randrange(1, 200)
            revs |= written(documents, 200, f"round-{kill}")
            await receiver.was_told(told)
            process.process.kill()
    async with running(
        "samples.outbox.service", *arguments, username=couchdb.username, password=couchdb.password
    ):
        await receiver.has(revs)
    # Each is a change that is a document of its own, so every change has arrived.
    assert receiver.counts.keys() == revs.keys()
    record_property("told again", receiver.counts.total() - len(revs))
