import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import ConflictError, NotFoundError
from tor_async_couchdb.retries import (
    Pause,
    RetryBudget,
    RetryStrategy,
    decorrelated_jitter,
    equal_jitter,
    exponential,
    fixed,
    full_jitter,
    immediately,
)


class Clock:
    """Time that goes on only when somebody sleeps, or says so."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept_s: list[float] = []

    def now(self) -> float:
        return self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_s += seconds


class Race:
    """Attempts that lose their first `losses` races; each takes `takes_s` seconds."""

    def __init__(self, losses: float, clock: Clock, takes_s: float = 0.0) -> None:
        self.attempts = 0
        self._losses = losses
        self._clock = clock
        self._takes_s = takes_s

    async def attempt(self) -> str:
        self.attempts += 1
        self._clock.now_s += self._takes_s
        if self.attempts <= self._losses:
            raise ConflictError(
                409, "conflict", f"lost race {self.attempts}", method="POST", path="_bulk_docs"
            )
        return "won"


def strategy(clock: Clock, pause: Pause = immediately, *, max_retries: int | None = 20) -> RetryStrategy:
    return RetryStrategy(pause, max_retries=max_retries, sleep=clock.sleep, now=clock.now)


async def test_first_attempt_that_wins_is_the_last() -> None:
    clock = Clock()
    race = Race(0, clock)
    assert await strategy(clock).run(race.attempt) == "won"
    assert (race.attempts, clock.slept_s) == (1, [])


async def test_lost_race_is_run_again_until_it_is_won() -> None:
    clock = Clock()
    race = Race(20, clock)
    assert await strategy(clock).run(race.attempt) == "won"
    assert race.attempts == 21


async def test_after_the_last_retry_its_own_conflict_is_raised() -> None:
    clock = Clock()
    race = Race(math.inf, clock)
    with pytest.raises(ConflictError, match="lost race 21"):
        await strategy(clock).run(race.attempt)
    assert race.attempts == 21


async def test_no_retries_means_one_attempt() -> None:
    clock = Clock()
    race = Race(1, clock)
    with pytest.raises(ConflictError):
        await strategy(clock, max_retries=0).run(race.attempt)
    assert race.attempts == 1


async def test_other_error_ends_it_at_once() -> None:
    clock = Clock()
    attempts = []

    async def attempt() -> None:
        attempts.append(1)
        raise NotFoundError(404, "not_found", "missing", method="GET", path="/db/a")

    with pytest.raises(NotFoundError):
        await strategy(clock).run(attempt)
    assert len(attempts) == 1


async def test_exponential_pauses_double_up_to_their_cap() -> None:
    clock = Clock()
    await strategy(clock, exponential(base_s=0.5, cap_s=3)).run(Race(5, clock).attempt)
    assert clock.slept_s == [0.5, 1, 2, 3, 3]


async def test_pause_is_told_the_retry_and_the_pause_before() -> None:
    told = []

    def pause(retry: int, previous_pause_s: float) -> float:
        told.append((retry, previous_pause_s))
        return retry / 10

    clock = Clock()
    await strategy(clock, pause).run(Race(3, clock).attempt)
    assert told == [(1, 0.0), (2, 0.1), (3, 0.2)]


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter_stays_between_nothing_and_the_exponential_pause(retry: int, random: float) -> None:
    bound = exponential(base_s=0.025, cap_s=2.0)(retry, 0.0)
    assert 0 <= full_jitter(base_s=0.025, cap_s=2.0, random=lambda: random)(retry, 0.0) <= bound <= 2.0


@pytest.mark.parametrize(("random", "expected"), [(0.0, [0, 0, 0]), (0.5, [0.5, 1, 1.5]), (1.0, [1, 2, 3])])
def test_jitter_is_a_share_of_the_exponential_pause(random: float, expected: list[float]) -> None:
    pause = full_jitter(base_s=1, cap_s=3, random=lambda: random)
    assert [pause(retry, 0.0) for retry in (1, 2, 3)] == expected


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_equal_jitter_is_at_least_half_of_the_exponential_pause(retry: int, random: float) -> None:
    longest_s = exponential(base_s=0.025, cap_s=2.0)(retry, 0.0)
    pause_s = equal_jitter(base_s=0.025, cap_s=2.0, random=lambda: random)(retry, 0.0)
    assert longest_s / 2 <= pause_s <= longest_s


@given(st.floats(0, 10), st.floats(0, 1, exclude_max=True))
def test_decorrelated_jitter_is_at_most_three_times_the_pause_before(
    previous_pause_s: float, random: float
) -> None:
    pause = decorrelated_jitter(base_s=0.025, cap_s=2.0, random=lambda: random)
    assert 0.025 <= pause(2, previous_pause_s) <= min(2.0, 3 * max(0.025, previous_pause_s))


@pytest.mark.parametrize(
    ("pause", "expected"),
    [
        (fixed(pause_s=0.5), [0.5, 0.5, 0.5, 0.5]),
        (equal_jitter(base_s=1, cap_s=5, random=lambda: 0.5), [0.75, 1.5, 3, 3.75]),
        (decorrelated_jitter(base_s=1, cap_s=5, random=lambda: 0.5), [2, 3.5, 5, 5]),
        (decorrelated_jitter(base_s=1, cap_s=5, random=lambda: 0.0), [1, 1, 1, 1]),
    ],
)
async def test_pauses_follow_one_another(pause: Pause, expected: list[float]) -> None:
    clock = Clock()
    await strategy(clock, pause).run(Race(4, clock).attempt)
    assert clock.slept_s == expected


@pytest.mark.parametrize("default", [fixed, exponential, full_jitter, equal_jitter, decorrelated_jitter])
def test_default_pauses_are_never_hours(default: Callable[[], Pause]) -> None:
    assert max(default()(retry, 0.0) for retry in range(1, 100)) <= 2.0


async def test_retry_that_could_not_end_in_time_is_not_begun() -> None:
    clock = Clock()
    race = Race(math.inf, clock, takes_s=1)
    with deadline.within() as context:
        context.deadline_s = 10.0
        with pytest.raises(ConflictError, match="lost race 5"):
            await strategy(clock, lambda retry, previous: 1.0, max_retries=None).run(race.attempt)
    # 5 attempts and the 4 pauses between them took 9 s; a pause and an attempt more would end after 11 s.
    assert clock.now_s == 9.0


@given(st.floats(0, 3), st.floats(0.01, 3), st.floats(0.1, 20))
async def test_deadline_is_never_overrun(pause_s: float, takes_s: float, deadline_s: float) -> None:
    clock = Clock()
    race = Race(math.inf, clock, takes_s)
    with deadline.within() as context:
        context.deadline_s = deadline_s
        with pytest.raises(ConflictError):
            await strategy(clock, lambda retry, previous: pause_s, max_retries=None).run(race.attempt)
    assert clock.now_s <= max(takes_s, deadline_s)


async def test_retries_and_waits_are_told_to_the_request() -> None:
    clock = Clock()
    with deadline.within() as context:
        await strategy(clock, exponential(base_s=1, cap_s=4)).run(Race(4, clock).attempt)
    assert (context.retry_count, context.retry_wait_s) == (4, 1 + 2 + 4 + 4)


async def test_strategy_can_be_used_again() -> None:
    clock = Clock()
    again = strategy(clock, max_retries=2)
    for _ in range(3):
        assert await again.run(Race(2, clock).attempt) == "won"


async def test_retry_waits_at_least_as_long_as_it_was_asked_to() -> None:
    clock = Clock()

    async def attempt() -> str:
        if clock.now_s < 3:
            error = ConflictError(409, "conflict", "later", method="POST", path="/db")
            error.retry_after_s = 3.0
            raise error
        return "won"

    assert await strategy(clock, fixed(pause_s=0.1)).run(attempt) == "won"
    assert clock.slept_s == [3]


async def test_deadline_of_the_run_may_be_sooner_than_that_of_the_request() -> None:
    clock = Clock()
    race = Race(math.inf, clock, takes_s=1)
    with deadline.within() as context:
        context.deadline_s = 100.0
        with pytest.raises(ConflictError, match="lost race 3"):
            await strategy(clock, max_retries=None).run(race.attempt, deadline_s=3.5)


async def test_request_whose_deadline_is_moved_meanwhile_is_not_run_again() -> None:
    clock = Clock()
    with deadline.within() as context:

        async def attempt() -> None:
            context.deadline_s = -math.inf
            raise ConflictError(409, "conflict", "lost", method="POST", path="/db")

        with pytest.raises(ConflictError):
            await strategy(clock).run(attempt)
    assert clock.slept_s == []


async def test_only_errors_that_it_was_told_of_are_retried() -> None:
    clock = Clock()
    patient = RetryStrategy(
        retry_if=lambda error: isinstance(error, NotFoundError), sleep=clock.sleep, now=clock.now
    )
    with pytest.raises(ConflictError, match="lost race 1"):
        await patient.run(Race(2, clock).attempt)


async def test_each_retry_takes_a_token_and_none_is_left_at_last() -> None:
    clock = Clock()
    budget = RetryBudget(max_tokens=3, tokens_per_success=1)
    frugal = RetryStrategy(budget=budget, sleep=clock.sleep, now=clock.now)
    with pytest.raises(ConflictError, match="lost race 4"):
        await frugal.run(Race(math.inf, clock).attempt)
    with pytest.raises(ConflictError, match="lost race 1"):
        await frugal.run(Race(math.inf, clock).attempt)
    await frugal.run(Race(0, clock).attempt)
    assert await frugal.run(Race(1, clock).attempt) == "won"
