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
    retry,
)
from tor_async_couchdb.tests.recording_observer import RecordingObserver


class Clock:
    """Time that passes only in `sleep`, and where a test sets `now_s`."""

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


async def test_attempt_that_succeeds_is_the_last() -> None:
    clock = Clock()
    race = Race(0, clock)
    assert await strategy(clock).run(race.attempt) == "won"
    assert (race.attempts, clock.slept_s) == (1, [])


async def test_lost_race_is_retried_until_it_is_won() -> None:
    clock = Clock()
    race = Race(20, clock)
    assert await strategy(clock).run(race.attempt) == "won"
    assert race.attempts == 21


async def test_conflict_of_the_last_retry_is_raised() -> None:
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


async def test_other_error_is_not_retried() -> None:
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


async def test_pause_gets_the_number_of_the_retry_and_the_previous_pause() -> None:
    calls = []

    def pause(retry: int, previous_pause_s: float) -> float:
        calls.append((retry, previous_pause_s))
        return retry / 10

    clock = Clock()
    await strategy(clock, pause).run(Race(3, clock).attempt)
    assert calls == [(1, 0.0), (2, 0.1), (3, 0.2)]


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_full_jitter_is_at_most_the_exponential_pause(retry: int, random: float) -> None:
    bound = exponential(base_s=0.025, cap_s=2.0)(retry, 0.0)
    assert 0 <= full_jitter(base_s=0.025, cap_s=2.0, random=lambda: random)(retry, 0.0) <= bound <= 2.0


@pytest.mark.parametrize(("random", "expected"), [(0.0, [0, 0, 0]), (0.5, [0.5, 1, 1.5]), (1.0, [1, 2, 3])])
def test_full_jitter_is_a_random_part_of_the_exponential_pause(random: float, expected: list[float]) -> None:
    pause = full_jitter(base_s=1, cap_s=3, random=lambda: random)
    assert [pause(retry, 0.0) for retry in (1, 2, 3)] == expected


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_equal_jitter_is_at_least_half_of_the_exponential_pause(retry: int, random: float) -> None:
    longest_s = exponential(base_s=0.025, cap_s=2.0)(retry, 0.0)
    pause_s = equal_jitter(base_s=0.025, cap_s=2.0, random=lambda: random)(retry, 0.0)
    assert longest_s / 2 <= pause_s <= longest_s


@given(st.floats(0, 10), st.floats(0, 1, exclude_max=True))
def test_decorrelated_jitter_is_at_most_three_times_the_previous_pause(
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
async def test_each_kind_of_pause_has_its_sequence(pause: Pause, expected: list[float]) -> None:
    clock = Clock()
    await strategy(clock, pause).run(Race(4, clock).attempt)
    assert clock.slept_s == expected


@pytest.mark.parametrize("default", [fixed, exponential, full_jitter, equal_jitter, decorrelated_jitter])
def test_default_pauses_are_at_most_two_seconds(default: Callable[[], Pause]) -> None:
    assert max(default()(retry, 0.0) for retry in range(1, 100)) <= 2.0


async def test_retry_that_could_not_end_before_the_deadline_is_not_made() -> None:
    clock = Clock()
    race = Race(math.inf, clock, takes_s=1)
    with deadline.within() as limit:
        limit.at_s = 10.0
        with pytest.raises(ConflictError, match="lost race 5"):
            await strategy(clock, lambda retry, previous: 1.0, max_retries=None).run(race.attempt)
    # 5 attempts and the 4 pauses between them took 9 s; a pause and an attempt more would end after 11 s.
    assert clock.now_s == 9.0


@given(st.floats(0, 3), st.floats(0.01, 3), st.floats(0.1, 20))
async def test_deadline_is_never_exceeded(pause_s: float, takes_s: float, deadline_s: float) -> None:
    clock = Clock()
    race = Race(math.inf, clock, takes_s)
    with deadline.within() as limit:
        limit.at_s = deadline_s
        with pytest.raises(ConflictError):
            await strategy(clock, lambda retry, previous: pause_s, max_retries=None).run(race.attempt)
    assert clock.now_s <= max(takes_s, deadline_s)


async def test_observer_learns_of_each_retry_and_its_pause() -> None:
    clock, recorder = Clock(), RecordingObserver()
    pauses = strategy(clock, exponential(base_s=1, cap_s=4))
    await pauses.run(Race(4, clock).attempt, observer=recorder)
    assert recorder.pauses_s == [1, 2, 4, 4]


async def test_strategy_can_be_used_again() -> None:
    clock = Clock()
    again = strategy(clock, max_retries=2)
    for _ in range(3):
        assert await again.run(Race(2, clock).attempt) == "won"


async def test_retry_waits_at_least_as_long_as_couchdb_asks_for() -> None:
    clock = Clock()

    async def attempt() -> str:
        if clock.now_s < 3:
            error = ConflictError(409, "conflict", "later", method="POST", path="/db")
            error.retry_after_s = 3.0
            raise error
        return "won"

    assert await strategy(clock, fixed(pause_s=0.1)).run(attempt) == "won"
    assert clock.slept_s == [3]


async def test_deadline_of_a_run_may_be_earlier_than_that_of_the_request() -> None:
    clock = Clock()
    race = Race(math.inf, clock, takes_s=1)
    with deadline.within() as limit:
        limit.at_s = 100.0
        with pytest.raises(ConflictError, match="lost race 3"):
            await strategy(clock, max_retries=None).run(race.attempt, deadline_s=3.5)


async def test_attempt_is_not_retried_after_the_deadline_was_moved_to_the_past() -> None:
    clock = Clock()
    with deadline.within() as limit:

        async def attempt() -> None:
            limit.at_s = -math.inf
            raise ConflictError(409, "conflict", "lost", method="POST", path="/db")

        with pytest.raises(ConflictError):
            await strategy(clock).run(attempt)
    assert clock.slept_s == []


async def test_only_errors_that_retry_if_selects_are_retried() -> None:
    clock = Clock()
    patient = RetryStrategy(
        retry_if=lambda error: isinstance(error, NotFoundError), sleep=clock.sleep, now=clock.now
    )
    with pytest.raises(ConflictError, match="lost race 1"):
        await patient.run(Race(2, clock).attempt)


async def test_each_retry_takes_a_token_and_an_empty_budget_ends_retries() -> None:
    clock = Clock()
    budget = RetryBudget(max_tokens=3, tokens_per_success=1)
    frugal = RetryStrategy(budget=budget, sleep=clock.sleep, now=clock.now)
    with pytest.raises(ConflictError, match="lost race 4"):
        await frugal.run(Race(math.inf, clock).attempt)
    with pytest.raises(ConflictError, match="lost race 1"):
        await frugal.run(Race(math.inf, clock).attempt)
    await frugal.run(Race(0, clock).attempt)
    assert await frugal.run(Race(1, clock).attempt) == "won"


class ObservedDatabase:
    """What `retry` needs of an action's database."""

    def __init__(self) -> None:
        self.observer = RecordingObserver()


class Updater:
    """An action whose method loses its first `losses` races."""

    def __init__(self, losses: float) -> None:
        self.database = ObservedDatabase()
        self._race = Race(losses, Clock())

    @retry(immediately, max_retries=2)
    async def update(self, color: str, *, size: int) -> tuple[str, str, int]:
        """Wins a race and returns its arguments."""
        return await self._race.attempt(), color, size


async def test_decorated_method_is_retried_and_its_database_observes_it() -> None:
    updater = Updater(losses=2)
    assert await updater.update("red", size=3) == ("won", "red", 3)
    assert updater.database.observer.pauses_s == [0, 0]


async def test_decorated_method_is_retried_at_most_max_retries_times() -> None:
    updater = Updater(losses=3)
    with pytest.raises(ConflictError, match="lost race 3"):
        await updater.update("red", size=3)


async def test_decorated_method_keeps_its_name_and_docstring() -> None:
    assert Updater.update.__name__ == "update"
    assert Updater.update.__doc__ == "Wins a race and returns its arguments."


async def test_strategy_of_a_decorated_method_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(Updater.update, "strategy", strategy(clock, fixed(pause_s=3)))
    updater = Updater(losses=5)
    assert await updater.update("red", size=3) == ("won", "red", 3)
    assert clock.slept_s == [3, 3, 3, 3, 3]
