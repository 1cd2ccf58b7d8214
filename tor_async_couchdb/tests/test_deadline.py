import asyncio
import math

import pytest

from tor_async_couchdb import deadline


def test_outside_of_a_request_nothing_is_bounded_or_remembered() -> None:
    assert deadline.current().remaining_s() == math.inf
    deadline.current().conflict_count += 1
    assert deadline.current().conflict_count == 0


def test_request_has_a_deadline_and_counts_until_its_end() -> None:
    with deadline.within(5) as context:
        assert 4 < context.remaining_s() <= 5
        deadline.current().conflict_count += 1
        assert context.conflict_count == 1
    assert deadline.current() is not context


def test_request_ends_with_its_block_also_when_it_fails() -> None:
    with pytest.raises(ZeroDivisionError), deadline.within(5):
        raise ZeroDivisionError
    assert deadline.current().deadline_s == math.inf


def test_inner_request_hides_the_outer() -> None:
    with deadline.within(5) as outer:
        with deadline.within(1) as inner:
            assert deadline.current() is inner
        assert deadline.current() is outer


def test_deadline_that_has_passed_is_negative_until_it_is_extended() -> None:
    with deadline.within(-1) as context:
        assert context.remaining_s() < 0
        context.extend(5)
        assert 4 < context.remaining_s() <= 5


async def test_tasks_do_not_share_what_they_enter() -> None:
    async def count(conflicts: int) -> int:
        context = deadline.enter(5)
        for _ in range(conflicts):
            deadline.current().conflict_count += 1
            await asyncio.sleep(0)
        return context.conflict_count

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(count(conflicts)) for conflicts in (1, 2, 3)]
    assert [task.result() for task in tasks] == [1, 2, 3]
    assert deadline.current().conflict_count == 0


async def test_tasks_of_one_request_count_together() -> None:
    async def meet_conflict() -> None:
        deadline.current().conflict_count += 1

    with deadline.within() as context:
        await asyncio.gather(meet_conflict(), meet_conflict())
    assert context.conflict_count == 2
