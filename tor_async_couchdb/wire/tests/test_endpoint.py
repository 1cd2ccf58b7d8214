"""Quoting, and requests to several nodes, which are tested through `Database`."""

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import yarl

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConnectError,
    NotFoundError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.testing.memory_couchdb import MemoryCouchDB, MemoryTransport
from tor_async_couchdb.tests.fake_clock import on_a_fake_clock
from tor_async_couchdb.wire.endpoint import quote_id
from tor_async_couchdb.wire.nodes import AVOIDED_FOR_S, rendezvous_order
from tor_async_couchdb.wire.transport import ConnectionBrokeError, Response, UnansweredError, UnreachableError


@pytest.mark.parametrize(
    ("document_id", "quoted"),
    [
        ("a", "a"),
        ("a/b", "a%2Fb"),
        ("a b+c", "a%20b%2Bc"),
        ("%2F", "%252F"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("...", "..."),
        ("_design/x", "_design/x"),
        ("_design/x/y", "_design/x%2Fy"),
        ("_design/..", "_design/%2E%2E"),
        ("_local/a b", "_local/a%20b"),
        ("ü", "%C3%BC"),
    ],
)
def test_id_is_quoted_as_one_segment_of_a_path(document_id: str, quoted: str) -> None:
    assert quote_id(document_id) == quoted


class Network(MemoryTransport):
    """Carries requests to one CouchDB in memory through several hosts, some of which have a trouble.

    `asked` has the host and the path of each request.
    """

    def __init__(self) -> None:
        self.couchdb = MemoryCouchDB()
        super().__init__(self.couchdb, random.Random(1), trouble=0.0)  # noqa: S311 - a simulation
        self.troubles: dict[str, Trouble] = {}
        self.asked: list[tuple[str, str]] = []

    async def exchange(self, method: str, url: yarl.URL, body: bytes | None, deadline_s: float) -> Response:
        host = str(url.host)
        self.asked.append((host, url.path.removeprefix("/db").lstrip("/")))

        async def answer() -> Response:
            return await MemoryTransport.exchange(self, method, url, body, deadline_s)

        return await self.troubles.get(host, _no_trouble)(answer, deadline_s)

    def hosts(self, path: str) -> list[str]:
        """The hosts that were asked for a path, in order."""
        return [host for host, asked in self.asked if asked == path]


Answer = Callable[[], Awaitable[Response]]
Trouble = Callable[[Answer, float], Awaitable[Response]]


async def _no_trouble(answer: Answer, deadline_s: float) -> Response:
    return await answer()


async def refuses_connections(answer: Answer, deadline_s: float) -> Response:
    raise UnreachableError("CouchDB can't be reached")


async def breaks_connections(answer: Answer, deadline_s: float) -> Response:
    raise ConnectionBrokeError("the connection broke")


async def hangs(answer: Answer, deadline_s: float) -> Response:
    left_s = deadline_s - time.monotonic()
    await asyncio.sleep(left_s)
    raise UnansweredError("GET it", left_s)


async def hangs_after_it_has_written(answer: Answer, deadline_s: float) -> Response:
    await answer()
    return await hangs(answer, deadline_s)


def answers_with(status: int) -> Trouble:
    async def trouble(answer: Answer, deadline_s: float) -> Response:
        return Response(status, b"{}", "GET", "it")

    return trouble


def answers_after(seconds: float) -> Trouble:
    async def trouble(answer: Answer, deadline_s: float) -> Response:
        if time.monotonic() + seconds > deadline_s:
            return await hangs(answer, deadline_s)
        await asyncio.sleep(seconds)
        return await answer()

    return trouble


URLS = ",".join(f"http://{host}:1/db" for host in "abc")


def order_of(document_id: str) -> list[str]:
    """The hosts in the order in which they are responsible for a document."""
    return [node[7] for node in rendezvous_order(URLS.split(","), document_id)]


def id_of(host: str, *, number: int = 0) -> str:
    """The id of a document that a host is responsible for; another one for each `number`."""
    return [f"d{n}" for n in range(1000) if order_of(f"d{n}")[0] == host][number]


async def connected(network: Network, **parts: Any) -> Database:
    """A database on three hosts that has been asked how many copies it keeps."""
    database = Database(URLS, transport=network, **parts)
    await database.copies()
    network.asked.clear()
    return database


@on_a_fake_clock
async def test_all_requests_for_a_document_go_to_its_node() -> None:
    network = Network()
    database = await connected(network)
    for document_id in [f"d{n}" for n in range(20)]:
        network.asked.clear()
        rev = await database.save({"_id": document_id, "key": "k"})
        await database.fetch(document_id)
        await database.fetch_leaves(document_id)
        await database.fetch_revision(document_id, rev)
        assert [host for host, _ in network.asked] == [order_of(document_id)[0]] * 4


@on_a_fake_clock
async def test_requests_for_no_document_are_shared_by_all_nodes() -> None:
    network = Network()
    database = await connected(network)
    for _ in range(3):
        await database.query_view("by_key", keys=["k"])
    assert sorted(host for host, _ in network.asked) == ["a", "b", "c"]


@on_a_fake_clock
async def test_batch_holds_documents_of_one_node_only() -> None:
    network = Network()
    database = await connected(network)
    document_ids = [id_of(host, number=number) for host in "abc" for number in range(5)]
    await asyncio.gather(*(database.save({"_id": document_id}) for document_id in document_ids))
    await asyncio.gather(*(database.fetch(document_id) for document_id in document_ids))
    assert sorted(network.asked) == sorted((h, p) for h in "abc" for p in ("_bulk_docs", "_bulk_get"))


@on_a_fake_clock
async def test_node_that_refuses_connections_is_asked_once_in_five_seconds() -> None:
    network = Network()
    database = await connected(network)
    document_ids = [id_of("a", number=number) for number in range(8)]
    network.troubles["a"] = refuses_connections
    for document_id in document_ids:
        await database.save({"_id": document_id})
        await database.fetch(document_id)
    assert [host for host, _ in network.asked].count("a") == 1
    await asyncio.sleep(AVOIDED_FOR_S)
    for document_id in document_ids:
        await database.fetch(document_id)
    assert [host for host, _ in network.asked].count("a") == 2
    await asyncio.sleep(AVOIDED_FOR_S)
    del network.troubles["a"]
    network.asked.clear()
    for document_id in document_ids:
        await database.fetch(document_id)
    assert [host for host, _ in network.asked] == ["a"] * 8


@on_a_fake_clock
async def test_requests_of_a_node_that_fails_move_each_to_the_next_in_its_documents_order() -> None:
    network = Network()
    database = await connected(network)
    network.troubles["a"] = refuses_connections
    await database.save({"_id": id_of("a")})
    network.asked.clear()
    document_ids = [id_of("a", number=number) for number in range(1, 20)]
    for document_id in document_ids:
        await database.save({"_id": document_id})
    assert network.hosts("_bulk_docs") == [order_of(document_id)[1] for document_id in document_ids]


@on_a_fake_clock
async def test_read_moves_from_a_node_that_hangs_after_a_share_of_the_deadline() -> None:
    network = Network()
    database = await connected(network)
    document_ids = [id_of("a", number=number) for number in range(3)]
    for document_id in document_ids:
        await database.save({"_id": document_id})
    network.troubles["a"] = hangs
    started_s = time.monotonic()
    with deadline.within(6):
        await database.fetch(document_ids[0])
    assert time.monotonic() - started_s == pytest.approx(2)
    for document_id in document_ids:
        await database.fetch(document_id)
    assert time.monotonic() - started_s == pytest.approx(2)


@on_a_fake_clock
async def test_if_all_nodes_hang_a_read_ends_at_its_deadline() -> None:
    network = Network()
    database = await connected(network)
    network.troubles = dict.fromkeys("abc", hangs)
    started_s = time.monotonic()
    with deadline.within(6), pytest.raises(TransportError):
        await database.fetch("d")
    assert time.monotonic() - started_s == pytest.approx(6)
    assert network.hosts("d")[0] == order_of("d")[0]
    assert sorted(network.hosts("d")) == ["a", "b", "c"]


@on_a_fake_clock
async def test_deadline_that_comes_soon_says_nothing_about_a_node() -> None:
    network = Network()
    database = await connected(network)
    await database.save({"_id": id_of("a")})
    network.troubles = dict.fromkeys("abc", hangs)
    with deadline.within(0.3), pytest.raises(TransportError):
        await database.fetch(id_of("a"))
    network.troubles.clear()
    network.asked.clear()
    await database.fetch(id_of("a"))
    assert network.hosts(id_of("a")) == ["a"]


@on_a_fake_clock
async def test_unanswered_write_is_looked_up_on_another_node_and_not_sent_again() -> None:
    network = Network()
    database = await connected(network)
    document_id = id_of("a")
    network.troubles["a"] = hangs_after_it_has_written
    with deadline.within(9):
        rev = await database.save({"_id": document_id})
    assert network.hosts("_bulk_docs") == ["a"]
    assert network.hosts("_bulk_get") == [order_of(document_id)[1]]
    assert [document["_rev"] for document in network.couchdb.histories[document_id]] == [rev]


@on_a_fake_clock
@pytest.mark.parametrize("trouble", [hangs, breaks_connections, answers_with(503), answers_with(500)])
async def test_write_that_may_have_been_applied_is_sent_again_only_after_a_look(trouble: Trouble) -> None:
    network = Network()
    database = await connected(network)
    document_id = id_of("a")

    async def trouble_with_writes(answer: Answer, deadline_s: float) -> Response:
        is_write = network.asked[-1][1] == "_bulk_docs"
        return await (trouble(answer, deadline_s) if is_write else answer())

    network.troubles["a"] = trouble_with_writes
    with contextlib.suppress(OutcomeUnknownError), deadline.within(9):
        await database.save({"_id": document_id})
    paths = [path for _, path in network.asked]
    assert paths[:3] == ["_bulk_docs", "_bulk_get", "_bulk_docs"]
    assert ("_bulk_docs", "_bulk_docs") not in itertools.pairwise(paths)
    assert len(network.couchdb.histories[document_id]) <= 1


@on_a_fake_clock
@pytest.mark.parametrize("status", [502, 503, 504])
async def test_node_in_maintenance_is_avoided_and_its_reads_move(status: int) -> None:
    network = Network()
    database = await connected(network)
    document_id = id_of("a")
    await database.save({"_id": document_id})
    network.troubles["a"] = answers_with(status)
    network.asked.clear()
    for _ in range(3):
        await database.fetch(document_id)
    assert network.hosts(document_id) == ["a", *[order_of(document_id)[1]] * 3]


@on_a_fake_clock
@pytest.mark.parametrize("trouble", [breaks_connections, answers_with(500)])
async def test_read_that_fails_without_saying_that_the_node_is_down_moves_alone(trouble: Trouble) -> None:
    network = Network()
    database = await connected(network)
    document_id = id_of("a")
    await database.save({"_id": document_id})
    network.troubles["a"] = trouble
    network.asked.clear()
    for _ in range(2):
        await database.fetch(document_id)
    assert network.hosts(document_id) == ["a", order_of(document_id)[1]] * 2


@on_a_fake_clock
async def test_refusal_by_one_node_is_the_answer() -> None:
    network = Network()
    database = await connected(network)
    with pytest.raises(NotFoundError):
        await database.fetch("d")
    assert network.hosts("d") == order_of("d")[:1]


@on_a_fake_clock
async def test_node_that_asks_for_a_pause_is_asked_again_after_it() -> None:
    network = Network()
    database = await connected(network)
    network.troubles[order_of("d")[0]] = answers_with(429)
    with pytest.raises(ResponseError, match="429"):
        await database.fetch("d")
    assert network.hosts("d") == order_of("d")[:1] * 3


@on_a_fake_clock
async def test_if_no_node_can_be_reached_nothing_was_sent() -> None:
    network = Network()
    database = await connected(network)
    network.troubles = dict.fromkeys("abc", refuses_connections)
    with pytest.raises(ConnectError):
        await database.save({"_id": "d"})
    assert set(network.hosts("_bulk_docs")) == {"a", "b", "c"}


@on_a_fake_clock
async def test_without_a_budget_for_retries_no_request_moves() -> None:
    network = Network()
    database = await connected(network, retry_budget=RetryBudget(max_tokens=0))
    network.troubles[order_of("d")[0]] = refuses_connections
    with pytest.raises(ConnectError):
        await database.fetch("d")
    assert network.hosts("d") == order_of("d")[:1]


@on_a_fake_clock
async def test_view_has_the_whole_time_because_it_may_be_built_first() -> None:
    network = Network()
    database = await connected(network)
    network.troubles = dict.fromkeys("abc", answers_after(50))
    assert await database.query_view("by_key", keys=["k"]) == []
    assert len(network.asked) == 1


@on_a_fake_clock
async def test_view_moves_from_a_node_that_refuses_connections() -> None:
    network = Network()
    database = await connected(network)
    network.troubles = dict.fromkeys("ab", refuses_connections)
    assert await database.query_view("by_key", keys=["k"]) == []
    assert network.asked[-1][0] == "c"


@on_a_fake_clock
async def test_all_polls_of_the_changes_go_to_one_node_and_may_take_long() -> None:
    network = Network()
    database = await connected(network)

    async def no_changes(answer: Answer, deadline_s: float) -> Response:
        await asyncio.sleep(30)
        return Response(200, b'{"results":[],"last_seq":"7"}', "GET", "_changes")

    network.troubles = dict.fromkeys("abc", no_changes)
    for _ in range(5):
        await database.revisions.changes(0, limit=1, timeout_s=30)
    assert network.hosts("_changes") == order_of("_changes")[:1] * 5


@on_a_fake_clock
async def test_ids_come_from_another_node_if_one_fails() -> None:
    network = Network()
    database = await connected(network)
    network.troubles = dict.fromkeys("ac", refuses_connections)
    assert len(await database.new_document_id()) == 32
    assert network.asked[-1] == ("b", "_uuids")


async def test_service_goes_on_when_a_node_stops(couchdb: CouchDBServer, couchdb_database_url: str) -> None:
    async with FaultProxy(couchdb_database_url) as one, FaultProxy(couchdb_database_url) as other:
        url = f"{one.url},{other.url}"
        async with Database(url, username=couchdb.username, password=couchdb.password) as database:
            assert database.url == url
            assert database.name == couchdb_database_url.rpartition("/")[2]
            document_ids = [f"d{number}" for number in range(20)]
            for document_id in document_ids:
                await database.save({"_id": document_id})
            assert all(proxy.requests for proxy in (one, other))
            await one.__aexit__(None, None, None)
            try:
                documents = [await database.fetch(document_id) for document_id in document_ids]
                for document in documents:
                    await database.save(document | {"n": 1})
                assert len(await database.fetch_leaves("d0")) == 1
                assert await database.new_document_id()
            finally:
                await one.__aenter__()
