"""One of several processes works at a time, also if a process or etcd fails."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from tor_async_couchdb.tests.waiting import wait_until
from tor_async_etcd import Client
from tor_async_etcd.testing import EtcdServer
from tor_async_service.etcd.leading import LeadersWork

TIMEOUT_S = 30.0


class Worker:
    """A process, as far as it matters here, and when it worked."""

    def __init__(self, url: str, election: bytes) -> None:
        self.registry = CollectorRegistry()
        client = Client(url, timeout_s=1)
        self._work = LeadersWork(self.work, election, client=client, lease_s=2)
        for collector in self._work.collectors:
            self.registry.register(collector)
        self.spans_s: list[tuple[float, float]] = []
        self.is_working = False

    async def work(self) -> None:
        begun_s = time.monotonic()
        self.is_working = True
        try:
            await asyncio.Event().wait()
        finally:
            self.is_working = False
            self.spans_s.append((begun_s, time.monotonic()))

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(name) or 0.0

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self._work.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


def assert_never_two(*workers: Worker) -> None:
    spans_s = sorted(span for worker in workers for span in worker.spans_s)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans_s))


async def test_others_wait_and_one_follows_a_leader_that_ends(etcd: EtcdServer) -> None:
    workers = [Worker(etcd.url, b"ends") for _ in range(3)]
    async with contextlib.AsyncExitStack() as rest:
        async with contextlib.AsyncExitStack() as first:
            await first.enter_async_context(workers[0].running())
            await wait_until(lambda: workers[0].is_working, TIMEOUT_S)
            for worker in workers[1:]:
                await rest.enter_async_context(worker.running())
            assert [worker.metric("leader") for worker in workers] == [1.0, 0.0, 0.0]
        await wait_until(lambda: any(worker.is_working for worker in workers[1:]), TIMEOUT_S)
        assert sum(worker.metric("leader") for worker in workers) == 1.0
    assert [worker.metric("leader") for worker in workers] == [0.0, 0.0, 0.0]
    assert_never_two(*workers)


async def test_etcd_that_hangs_or_is_killed_stops_the_work_and_never_lets_two_work() -> None:
    with EtcdServer() as etcd:
        workers = [Worker(etcd.url, b"hangs") for _ in range(3)]
        async with contextlib.AsyncExitStack() as stack:
            for worker in workers:
                await stack.enter_async_context(worker.running())
            for harm, remedy in ((etcd.pause, etcd.resume), (etcd.kill, etcd.start)):
                await wait_until(lambda: any(worker.is_working for worker in workers), TIMEOUT_S)
                harm()
                await wait_until(lambda: not any(worker.is_working for worker in workers), TIMEOUT_S)
                remedy()
            await wait_until(lambda: any(worker.is_working for worker in workers), TIMEOUT_S)
    # On a busy machine a lease may end once more.
    assert sum(len(worker.spans_s) for worker in workers) >= 3
    assert_never_two(*workers)


async def test_work_begins_once_etcd_can_be_reached() -> None:
    with EtcdServer() as etcd:
        etcd.stop()
        worker = Worker(etcd.url, b"later")
        async with worker.running():
            await wait_until(lambda: worker.metric("leader_failures_total") >= 1, TIMEOUT_S)
            assert not worker.is_working
            etcd.start()
            await wait_until(lambda: worker.is_working, TIMEOUT_S)


async def test_error_of_the_work_itself_is_not_swallowed(etcd: EtcdServer) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    work = LeadersWork(fail, b"fails", client=Client(etcd.url))
    with pytest.raises(ZeroDivisionError):
        await work.run()
