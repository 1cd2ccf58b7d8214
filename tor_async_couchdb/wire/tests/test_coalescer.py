"""Batches without a database; `test_database_interleavings` tests them on one."""

import asyncio
import contextvars
import gc
import math
import random
import time
import weakref
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb import deadline
from tor_async_couchdb.calls import callers
from tor_async_couchdb.errors import ConnectError, CouchDBError, TransportError
from tor_async_couchdb.tests.fake_clock import on_a_fake_clock
from tor_async_couchdb.tests.waiting import wait_until
from tor_async_couchdb.wire.coalescer import Coalescer


class Server:
    """Answers each request with its double while its gate is open, and records what it was sent."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.finished: list[list[int]] = []
        self.deadlines_s: list[float] = []
        self.in_flight = self.most_in_flight = 0
        self.cancelled = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def send(self, requests: Sequence[int]) -> Sequence[int | CouchDBError]:
        self.batches.append([*requests])
        self.deadlines_s.append(deadline.current().at_s)
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self.gate.wait()
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_flight -= 1
        self.finished.append([*requests])
        return [TransportError(f"{request} is odd") if request % 2 else request * 2 for request in requests]


def reads(server: Server, **limits: int) -> Coalescer[int, int]:
    return Coalescer(server.send, is_read=True, **limits)


def writes(server: Server, **limits: int) -> Coalescer[int, int]:
    return Coalescer(server.send, is_read=False, **limits)


async def busy(server: Server, coalescer: Coalescer[int, int]) -> list[asyncio.Task[int]]:
    """Two batches of one request each, in flight until the gate opens."""
    server.gate.clear()
    tasks = []
    for request in (1000, 1002):
        tasks.append(asyncio.create_task(coalescer.submit(request)))
        await wait_until(lambda: server.in_flight == len(tasks))
    return tasks


async def test_single_request_is_sent_at_once_and_alone() -> None:
    server = Server()
    coalescer = reads(server)
    assert await coalescer.submit(2) == 4
    assert await coalescer.submit(4) == 8
    assert server.batches == [[2], [4]]


@on_a_fake_clock
async def test_fewer_requests_than_a_batch_in_flight_has_wait_for_it_and_as_many_do_not() -> None:
    server = Server()
    coalescer = reads(server)
    server.gate.clear()
    waiting = [asyncio.create_task(coalescer.submit(2 * i)) for i in range(8)]
    await wait_until(lambda: server.in_flight == 1)
    waiting += [asyncio.create_task(coalescer.submit(2 * i)) for i in range(8, 15)]
    await asyncio.sleep(0.2)
    assert server.in_flight == 1
    waiting.append(asyncio.create_task(coalescer.submit(30)))
    await wait_until(lambda: server.in_flight == 2)
    assert [len(batch) for batch in server.batches] == [8, 8]
    server.gate.set()
    assert await asyncio.gather(*waiting) == [4 * i for i in range(16)]


async def test_few_requests_are_sent_when_a_larger_batch_has_finished() -> None:
    server = Server()
    coalescer = reads(server)
    server.gate.clear()
    first = [asyncio.create_task(coalescer.submit(2 * i)) for i in range(8)]
    await wait_until(lambda: server.in_flight == 1)
    last = asyncio.create_task(coalescer.submit(100))
    server.gate.set()
    await asyncio.gather(*first)
    assert await last == 200
    assert [len(batch) for batch in server.batches] == [8, 1]


@on_a_fake_clock
async def test_no_request_waits_longer_than_a_quarter_of_a_second_for_a_batch_in_flight() -> None:
    server = Server()
    coalescer = reads(server)
    server.gate.clear()
    stuck = [asyncio.create_task(coalescer.submit(2 * i)) for i in range(8)]
    await wait_until(lambda: server.in_flight == 1)
    waiting = asyncio.create_task(coalescer.submit(100))
    await asyncio.sleep(0.2)
    assert [len(batch) for batch in server.batches] == [8]
    await asyncio.sleep(0.1)
    assert [len(batch) for batch in server.batches] == [8, 1]
    server.gate.set()
    await asyncio.gather(*stuck, waiting)


async def test_requests_of_one_moment_share_a_batch() -> None:
    server = Server()
    coalescer = reads(server)
    assert await asyncio.gather(*(coalescer.submit(2 * i) for i in range(50))) == [4 * i for i in range(50)]
    assert server.batches == [[2 * i for i in range(50)]]


async def test_lone_request_is_sent_in_its_callers_context_and_a_batch_knows_those_of_all() -> None:
    caller = contextvars.ContextVar("caller", default=0)
    senders: list[int] = []
    travellers: list[list[int]] = []

    async def send(requests: Sequence[int]) -> Sequence[int | CouchDBError]:
        senders.append(caller.get())
        travellers.append([context[caller] for context in callers.get()])
        return requests

    coalescer = Coalescer(send, is_read=True)

    async def submit(number: int) -> int:
        caller.set(number)
        with deadline.within(60) as limit:
            await coalescer.submit(number)
            assert deadline.current() is limit
        return number

    await asyncio.gather(submit(1))
    await asyncio.gather(*map(submit, (2, 3, 4)))
    assert senders == [1, 0]
    assert travellers == [[], [2, 3, 4]]


async def test_requests_that_come_while_it_is_busy_share_a_batch_in_order() -> None:
    server = Server()
    coalescer = reads(server)
    tasks = await busy(server, coalescer)
    for request in range(0, 20, 2):
        tasks.append(asyncio.create_task(coalescer.submit(request)))
        await asyncio.sleep(0)
    server.gate.set()
    assert await asyncio.gather(*tasks) == [2000, 2004, *range(0, 40, 4)]
    assert server.batches == [[1000], [1002], [*range(0, 20, 2)]]


async def test_each_caller_gets_its_own_error() -> None:
    server = Server()
    coalescer = reads(server)
    outcomes = await asyncio.gather(*(coalescer.submit(i) for i in range(4)), return_exceptions=True)
    assert [str(outcome) for outcome in outcomes] == ["0", "1 is odd", "4", "3 is odd"]


@pytest.mark.parametrize("error", [ConnectError("down"), ZeroDivisionError("a bug")])
async def test_error_of_a_whole_batch_reaches_each_caller(error: Exception) -> None:
    async def fail(requests: Sequence[int]) -> Sequence[int]:
        raise error

    coalescer: Coalescer[int, int] = Coalescer(fail, is_read=True)
    outcomes = await asyncio.gather(*(coalescer.submit(i) for i in range(3)), return_exceptions=True)
    assert outcomes == [error] * 3


async def test_answer_of_the_wrong_length_leaves_no_caller_waiting() -> None:
    async def answer(requests: Sequence[int]) -> Sequence[int]:
        return [7]

    coalescer: Coalescer[int, int] = Coalescer(answer, is_read=True)
    outcomes = await asyncio.gather(*(coalescer.submit(i) for i in range(3)), return_exceptions=True)
    assert outcomes[0] == 7
    assert all(isinstance(outcome, ValueError) for outcome in outcomes[1:])


async def test_requests_with_the_same_key_never_share_a_batch() -> None:
    server = Server()
    coalescer = writes(server)
    keys = ["a", "a", "b", "a", "c", "b", None, None]
    await asyncio.gather(*(coalescer.submit(2 * i, key=key) for i, key in enumerate(keys)))
    assert server.batches == [[0, 4, 8, 12, 14], [2, 10], [6]]


async def test_request_never_joins_a_batch_that_was_sent() -> None:
    server = Server()
    coalescer = reads(server)
    tasks = await busy(server, coalescer)
    late = asyncio.create_task(coalescer.submit(1000))
    await asyncio.sleep(0)
    assert server.batches == [[1000], [1002]]
    server.gate.set()
    await asyncio.gather(late, *tasks)
    assert server.batches == [[1000], [1002], [1000]]


@given(
    seed=st.integers(0, 2**32),
    max_size=st.integers(1, 10),
    max_in_flight=st.integers(1, 4),
    count=st.integers(1, 80),
)
async def test_batches_are_bounded_and_in_the_order_of_arrival(
    seed: int, max_size: int, max_in_flight: int, count: int
) -> None:
    dice = random.Random(seed)  # noqa: S311 - a simulation
    server = Server()
    coalescer = reads(server, max_size=max_size, max_in_flight=max_in_flight)
    arrivals: list[int] = []

    async def caller(request: int) -> None:
        for _ in range(dice.randrange(30)):
            await asyncio.sleep(0)
        arrivals.append(request)
        assert await coalescer.submit(request) == 2 * request

    await asyncio.gather(*(caller(2 * i) for i in range(count)))
    assert [request for batch in server.batches for request in batch] == arrivals
    assert all(1 <= len(batch) <= max_size for batch in server.batches)
    assert server.most_in_flight <= max_in_flight


async def test_no_request_starves_under_a_flood() -> None:
    server = Server()
    coalescer = writes(server, max_size=4)
    is_over = False

    async def flood(request: int) -> None:
        while not is_over:
            await coalescer.submit(request, key=request)

    flooding = [asyncio.create_task(flood(2 * i)) for i in range(40)]
    await wait_until(lambda: len(server.finished) > 20)
    sent_before = len(server.batches)
    assert await coalescer.submit(5000, key="another") == 10_000
    is_over = True
    await asyncio.gather(*flooding)
    (own,) = [i for i, batch in enumerate(server.batches) if 5000 in batch]
    assert own - sent_before <= 40 / 4 + 1


async def test_request_of_a_caller_that_is_cancelled_before_it_is_sent_is_never_sent() -> None:
    server = Server()
    coalescer = writes(server)
    tasks = await busy(server, coalescer)
    going, staying = (asyncio.create_task(coalescer.submit(request)) for request in (2, 4))
    await asyncio.sleep(0)
    going.cancel()
    server.gate.set()
    assert await staying == 8
    await asyncio.gather(*tasks)
    assert server.batches == [[1000], [1002], [4]]


async def test_cancelled_caller_does_not_disturb_the_others_of_its_batch() -> None:
    server = Server()
    server.gate.clear()
    coalescer = reads(server)
    going, staying = (asyncio.create_task(coalescer.submit(request)) for request in (2, 4))
    await wait_until(lambda: server.in_flight == 1)
    going.cancel()
    await asyncio.wait([going])
    server.gate.set()
    assert await staying == 8
    assert server.cancelled == 0


async def test_read_whose_callers_are_all_cancelled_is_cancelled_and_makes_room() -> None:
    server = Server()
    server.gate.clear()
    coalescer = reads(server, max_in_flight=1)
    going = [asyncio.create_task(coalescer.submit(request)) for request in (2, 4)]
    await wait_until(lambda: server.in_flight == 1)
    waiting = asyncio.create_task(coalescer.submit(6))
    for task in going:
        task.cancel()
    await wait_until(lambda: server.batches == [[2, 4], [6]])
    assert server.cancelled == 1
    server.gate.set()
    assert await waiting == 12


async def test_write_whose_callers_are_all_cancelled_runs_to_its_end_and_is_not_repeated() -> None:
    server = Server()
    deadlines_s = []

    async def send(requests: Sequence[int]) -> Sequence[int | CouchDBError]:
        results = await server.send(requests)
        deadlines_s.append(deadline.current().at_s)
        return results

    coalescer = Coalescer(send, is_read=False)
    server.gate.clear()
    going = asyncio.create_task(coalescer.submit(2))
    await wait_until(lambda: server.in_flight == 1)
    going.cancel()
    await asyncio.wait([going])
    server.gate.set()
    await wait_until(lambda: bool(deadlines_s))
    assert server.finished == [[2]]
    assert deadlines_s == [-math.inf]


@on_a_fake_clock
async def test_each_caller_has_its_own_deadline() -> None:
    server = Server()
    server.gate.clear()
    coalescer = reads(server)

    async def submit(request: int, timeout_s: float) -> int:
        with deadline.within(timeout_s):
            return await coalescer.submit(request)

    patient = asyncio.create_task(submit(2, 60))
    with pytest.raises(TransportError, match="did not answer before the deadline"):
        await submit(4, 30)
    assert not patient.done()
    server.gate.set()
    assert await patient == 4
    assert len(server.batches) == 1


@pytest.mark.parametrize("timeouts_s", [(1, 2, 3), (3, 2, 1)], ids=["later", "sooner"])
@on_a_fake_clock
async def test_each_deadline_is_kept_by_requests_in_flight_and_by_those_that_wait(
    timeouts_s: tuple[int, ...],
) -> None:
    server = Server()
    server.gate.clear()
    coalescer = reads(server, max_in_flight=1)

    async def expired_after_s(timeout_s: float) -> float:
        started_s = time.monotonic()
        with deadline.within(timeout_s), pytest.raises(TransportError):
            await coalescer.submit(2)
        return time.monotonic() - started_s

    patient = asyncio.create_task(coalescer.submit(4))
    in_flight = [asyncio.create_task(expired_after_s(timeout_s)) for timeout_s in timeouts_s]
    await wait_until(lambda: server.in_flight == 1)
    waiting = [asyncio.create_task(expired_after_s(timeout_s)) for timeout_s in timeouts_s]
    assert await asyncio.gather(*in_flight, *waiting) == pytest.approx(timeouts_s * 2)
    server.gate.set()
    assert await patient == 8
    assert server.batches == [[4, 2, 2, 2]]


def test_deadlines_are_kept_in_another_event_loop_too() -> None:
    async def send(requests: Sequence[int]) -> Sequence[int | CouchDBError]:
        await asyncio.sleep(0 if requests == [2] else 10)
        return [request * 2 for request in requests]

    async def submit(request: int, timeout_s: float) -> int:
        with deadline.within(timeout_s):
            return await coalescer.submit(request)

    @on_a_fake_clock
    async def in_one_loop() -> None:
        assert await submit(2, 0.2) == 4

    @on_a_fake_clock
    async def in_another_loop() -> None:
        started_s = time.monotonic()
        with pytest.raises(TransportError):
            await submit(4, 3)
        assert time.monotonic() - started_s == pytest.approx(3)

    coalescer: Coalescer[int, int] = Coalescer(send, is_read=True)
    in_one_loop()
    in_another_loop()


async def test_batch_has_the_deadline_of_its_most_patient_caller() -> None:
    server = Server()
    coalescer = reads(server)

    async def submit(request: int, deadline_s: float) -> None:
        with deadline.within() as limit:
            limit.at_s = deadline_s
            await coalescer.submit(request)

    far_s = asyncio.get_running_loop().time() + 1000
    await asyncio.gather(submit(2, far_s), submit(4, far_s + 7), submit(6, far_s + 3))
    await asyncio.gather(submit(2, far_s), submit(4, math.inf))
    assert server.deadlines_s == [far_s + 7, math.inf]


@on_a_fake_clock
async def test_request_that_waits_until_its_deadline_is_never_sent() -> None:
    server = Server()
    coalescer = writes(server)
    tasks = await busy(server, coalescer)
    with deadline.within(60), pytest.raises(ConnectError, match="too busy"):
        await coalescer.submit(2)
    server.gate.set()
    await asyncio.gather(*tasks)
    assert await coalescer.submit(4) == 8
    assert server.batches == [[1000], [1002], [4]]


async def test_request_after_its_deadline_is_not_sent() -> None:
    server = Server()
    coalescer = writes(server)
    with deadline.within(-1), pytest.raises(ConnectError):
        await coalescer.submit(2)
    assert await coalescer.submit(4) == 8
    assert server.batches == [[4]]


async def test_nothing_is_kept_of_requests_that_are_over() -> None:
    class Request:
        """Anything that can be referred to weakly."""

    async def send(requests: Sequence[Request]) -> Sequence[int | CouchDBError]:
        await asyncio.sleep(0)
        return [TransportError("odd") if id(request) % 32 else 1 for request in requests]

    coalescer: Coalescer[Request, int] = Coalescer(send, is_read=False)
    living: weakref.WeakSet[Request] = weakref.WeakSet()

    async def caller(number: int) -> None:
        request = Request()
        living.add(request)
        with deadline.within(60):
            submitted = asyncio.create_task(coalescer.submit(request, key=number % 100))
        if number % 3 == 0:
            await asyncio.sleep(0)
            submitted.cancel()
        await asyncio.wait([submitted])
        submitted.cancelled() or submitted.exception()

    before = asyncio.all_tasks()
    for _ in range(10):
        await asyncio.gather(*(caller(number) for number in range(1000)))
    await wait_until(lambda: asyncio.all_tasks() == before)
    gc.collect()
    assert not living


async def test_an_answered_request_is_freed_without_the_garbage_collector() -> None:
    class Answer:
        """Anything that can be referred to weakly."""

    async def send(requests: Sequence[int]) -> Sequence[Answer | CouchDBError]:
        await asyncio.sleep(0)
        return [Answer() for _ in requests]

    coalescer: Coalescer[int, Answer] = Coalescer(send, is_read=True)
    gc.disable()
    try:
        living = weakref.ref(await coalescer.submit(1))
        await wait_until(lambda: living() is None)
    finally:
        gc.enable()
