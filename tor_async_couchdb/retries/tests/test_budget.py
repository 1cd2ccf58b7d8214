"""What a budget does, by simulation: 10,000 requests that find the bucket full."""

import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.errors import ConflictError
from tor_async_couchdb.retries import RetryBudget, RetryStrategy

REQUESTS = 10_000


@dataclasses.dataclass
class Run:
    """The share of requests that succeeded, and how often a request was sent on average."""

    success_rate: float
    amplification: float


async def simulate(failure_probability: float, seed: int, budget: RetryBudget | None) -> Run:
    """Requests of at most three attempts, each of which fails with the same probability."""
    dice = random.Random(seed)  # noqa: S311 - a simulation
    sends = successes = 0

    async def attempt() -> None:
        nonlocal sends
        sends += 1
        if dice.random() < failure_probability:
            raise ConflictError(409, "conflict", "lost", method="POST", path="/db")

    async def no_pause(seconds: float) -> None:
        pass

    strategy = RetryStrategy(max_retries=2, budget=budget, sleep=no_pause)
    for _ in range(REQUESTS):
        try:
            await strategy.run(attempt)
            successes += 1
        except ConflictError:
            pass
    return Run(successes / REQUESTS, sends / REQUESTS)


def test_bucket_begins_full_and_never_has_more_tokens() -> None:
    budget = RetryBudget(max_tokens=2, tokens_per_success=0.5)
    for _ in range(10):
        budget.earn()
    budget.spend()
    budget.spend()
    assert budget.is_empty
    budget.earn()
    assert budget.is_empty
    budget.earn()
    assert not budget.is_empty


@given(st.lists(st.booleans(), max_size=300))
def test_retries_are_bounded_by_the_bucket_and_the_successes(outcomes: list[bool]) -> None:
    budget = RetryBudget(max_tokens=5, tokens_per_success=0.25)
    retries = 0
    for is_success in outcomes:
        if is_success:
            budget.earn()
        elif not budget.is_empty:
            budget.spend()
            retries += 1
    assert retries <= 5 + 0.25 * outcomes.count(True)


@pytest.mark.parametrize("seed", range(5))
async def test_when_all_attempts_fail_few_are_retried(seed: int) -> None:
    run = await simulate(1.0, seed, RetryBudget())
    assert run == Run(0.0, 1.048)


@pytest.mark.parametrize("seed", range(3))
async def test_when_half_of_the_attempts_fail_a_tenth_more_is_sent(seed: int) -> None:
    run = await simulate(0.5, seed, RetryBudget())
    assert 1.100 <= run.amplification <= 1.105
    # Each attempt succeeds with a probability of one half, so half of what is sent succeeds whatever the
    # budget (Wald's equation). Three standard deviations are 0.016.
    assert run.success_rate == pytest.approx(run.amplification / 2, abs=0.016)


async def test_when_half_of_the_attempts_fail_more_than_half_of_the_requests_succeed() -> None:
    runs = [await simulate(0.5, seed, RetryBudget()) for seed in range(20)]
    assert max(run.amplification for run in runs) <= 1.105
    assert sum(run.success_rate for run in runs) / len(runs) == pytest.approx(0.5516, abs=0.004)
    assert any(run.success_rate >= 0.554 for run in runs)


async def test_without_a_budget_a_failing_database_gets_three_times_as_many_requests() -> None:
    assert await simulate(1.0, 0, None) == Run(0.0, 3.0)


@pytest.mark.parametrize("failure_probability", [0.001, 0.01, 0.05])
async def test_rare_failures_fail_hardly_any_request(failure_probability: float) -> None:
    run = await simulate(failure_probability, 0, RetryBudget())
    assert run.success_rate >= 1 - 2 * failure_probability**3 - 0.0003
