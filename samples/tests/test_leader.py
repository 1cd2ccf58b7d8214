"""Only one leader acts, even if another one has not noticed yet that it lost the leadership."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

from samples.leader.async_action import AsyncLeader, AsyncLeaderRetriever
from samples.leader.model import COUNTER_KEY, ELECTION, Counter
from samples.leader.service import LeadershipMetrics, make_app
from tor_async_couchdb import Database
from tor_async_etcd import Client, Election, Failed, OpSet, Transaction
from tor_async_etcd.testing import EtcdServer
from tor_async_service import Parts
from tor_async_service.etcd.client import etcd_client
from tor_async_service.tests.serving import problem_of, serving

TIMEOUT_S = 30.0


@pytest.fixture(scope="module")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


@pytest.fixture
async def client(etcd: EtcdServer) -> AsyncIterator[Client]:
    async with Client(etcd.url) as client:
        yield client


@contextlib.asynccontextmanager
async def leading(name: str, client: Client) -> AsyncIterator[None]:
    task = asyncio.create_task(AsyncLeader(name, client=client).lead())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not await is_so():  # noqa: ASYNC110 - what is awaited happens in etcd
            await asyncio.sleep(0.05)


def test_counter_is_stored_and_read() -> None:
    counter = Counter().increment(7)
    assert Counter.from_bytes(counter.as_bytes()) == counter == Counter(count=1, term=7)


async def test_another_leads_when_the_leader_ends_and_goes_on_counting(client: Client) -> None:
    retriever = AsyncLeaderRetriever(client=client)

    async def counts(name: bytes, more_than: int) -> bool:
        leader, counter = await retriever.fetch()
        return leader is not None and leader.value == name and counter.count > more_than

    async with contextlib.AsyncExitStack() as first:
        await first.enter_async_context(leading("first", client))
        await until(lambda: counts(b"first", 1))
        async with leading("second", client):
            await first.aclose()
            _, before = await retriever.fetch()
            await until(lambda: counts(b"second", before.count))
            _, after = await retriever.fetch()
    assert after.term > before.term


async def test_metric_has_the_term_of_the_leader_alone(client: Client, etcd: EtcdServer) -> None:
    metrics = {name: LeadershipMetrics(name, client) for name in ("leading", "waiting")}

    async def terms() -> dict[str, float]:
        for each in metrics.values():
            await each.refresh()
        return {
            name: next(iter(each.collectors[0].collect())).samples[0].value for name, each in metrics.items()
        }

    async def is_leading() -> bool:
        return (await terms())["leading"] > 0

    async with leading("leading", client):
        await until(is_leading)
        leader, _ = await AsyncLeaderRetriever(client=client).fetch()
        assert leader is not None
        assert await terms() == {"leading": leader.create_revision, "waiting": 0}
    assert await terms() == {"leading": 0, "waiting": 0}


async def test_metric_says_that_nobody_leads_without_etcd() -> None:
    async with Client("http://127.0.0.1:1", timeout_s=0.2) as client:
        metrics = LeadershipMetrics("a", client)
        await metrics.refresh()
    assert next(iter(metrics.collectors[0].collect())).samples[0].value == 0


async def test_stale_leader_is_refused(client: Client) -> None:
    election = Election(client, ELECTION, ttl_s=5)
    async with election.campaign(b"stale") as leadership:
        guard = leadership.guard()
    with pytest.raises(Failed):
        await client.submit(Transaction([guard], [OpSet(COUNTER_KEY, Counter(99, 99).as_bytes())]))
    _, counter = await AsyncLeaderRetriever(client=client).fetch()
    assert counter.count != 99


async def test_request_ends_with_its_deadline_while_etcd_hangs() -> None:
    async with Database("http://127.0.0.1:1/absent") as database:
        with EtcdServer() as server:
            async with etcd_client(server.url) as client:
                server.pause()
                app = make_app(database, client, Parts(deadline_s=0.3))
                # Without the deadline each of two calls takes 10 s.
                async with serving(app) as service, asyncio.timeout(15):
                    await problem_of(await service.get("/v1.0/leader"), 503)
