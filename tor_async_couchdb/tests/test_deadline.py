import asyncio
import math
import time

import pytest

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import ConnectError
from tor_async_couchdb.tests.fake_clock import on_a_fake_clock


def test_outside_of_a_request_there_is_no_deadline_to_move() -> None:
    assert deadline.current().remaining_s() == math.inf
    deadline.current().extend(5)
    assert deadline.current().remaining_s() == math.inf


@on_a_fake_clock
async def test_deadline_comes_nearer_as_time_passes() -> None:
    with deadline.within(5) as limit:
        assert deadline.current() is limit
        assert limit.at_s == time.monotonic() + 5
        await asyncio.sleep(2)
        assert limit.remaining_s() == pytest.approx(3)
        await asyncio.sleep(4)
        assert limit.remaining_s() == pytest.approx(-1)
    assert deadline.current() is not limit


def test_deadline_ends_with_its_block_also_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), deadline.within(5):
        raise ZeroDivisionError
    assert deadline.current().at_s == math.inf


def test_inner_deadline_hides_the_outer_one() -> None:
    with deadline.within(5) as outer:
        with deadline.within(1) as inner:
            assert deadline.current() is inner
        assert deadline.current() is outer


@on_a_fake_clock
async def test_deadline_that_has_passed_is_negative_until_it_is_extended() -> None:
    with deadline.within(-1) as limit:
        assert limit.remaining_s() == pytest.approx(-1)
        limit.extend(5)
        assert limit.remaining_s() == pytest.approx(5)


async def test_tasks_do_not_share_the_deadlines_that_they_enter() -> None:
    async def entered(timeout_s: float) -> bool:
        limit = deadline.enter(timeout_s)
        await asyncio.sleep(0)
        return deadline.current() is limit

    assert await asyncio.gather(*(entered(timeout_s) for timeout_s in (1, 2, 3))) == [True] * 3
    assert deadline.current().at_s == math.inf


async def test_tasks_of_one_request_share_its_deadline() -> None:
    async def current() -> deadline.Deadline:
        return deadline.current()

    with deadline.within(5) as limit:
        first, second = await asyncio.gather(current(), current())
    assert first is second is limit


@on_a_fake_clock
async def test_met_returns_the_result_before_the_deadline() -> None:
    with deadline.within(5):
        assert await deadline.met(asyncio.sleep(4, "result")) == "result"


@on_a_fake_clock
async def test_met_cancels_at_the_deadline() -> None:
    is_cancelled = False

    async def last() -> None:
        nonlocal is_cancelled
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            is_cancelled = True
            raise

    started_s = time.monotonic()
    with deadline.within(5), pytest.raises(TimeoutError):
        await deadline.met(last())
    assert is_cancelled
    assert time.monotonic() - started_s == pytest.approx(5)


@on_a_fake_clock
async def test_without_a_deadline_met_waits_as_long_as_it_takes() -> None:
    assert await deadline.met(asyncio.sleep(10**6, "result")) == "result"


@pytest.mark.parametrize("deadline_in_s", [5.0, math.inf])
@on_a_fake_clock
async def test_lock_is_held_for_the_block_and_then_released(deadline_in_s: float) -> None:
    lock = asyncio.Lock()
    for _ in range(2):
        async with deadline.acquired_before(time.monotonic() + deadline_in_s, lock, "too busy"):
            assert lock.locked()
    assert not lock.locked()


@on_a_fake_clock
async def test_lock_that_is_not_free_before_the_deadline_is_a_connect_error() -> None:
    lock = asyncio.Lock()
    await lock.acquire()
    started_s = time.monotonic()
    with pytest.raises(ConnectError, match="too busy"):
        async with deadline.acquired_before(started_s + 5, lock, "too busy"):
            pytest.fail("the block runs without the lock")
    assert time.monotonic() - started_s == pytest.approx(5)
    lock.release()
    async with deadline.acquired_before(time.monotonic() + 5, lock, "too busy"):
        assert lock.locked()


async def test_lock_is_released_after_an_error() -> None:
    lock = asyncio.Lock()
    with pytest.raises(ZeroDivisionError):
        async with deadline.acquired_before(math.inf, lock, "too busy"):
            raise ZeroDivisionError
    assert not lock.locked()
