"""The figures over all requests."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.answers import NO_ANSWER, Answer, Outcome
from loadgen.traffic import LATEST, Request, Traffic

OK = Answer(Outcome.SUCCEEDED)


def traffic_of(*requests: tuple[float, float, Answer]) -> Traffic:
    """Traffic of requests given as (sent at, duration, answer)."""
    traffic = Traffic()
    for sent_at_s, duration_s, answer in requests:
        traffic.record(Request("PUT", "apple", 1, sent_at_s, duration_s, answer))
    return traffic


def test_conflicts_are_met_resolved_and_given_up() -> None:
    answers = (
        Answer(Outcome.SUCCEEDED, conflicts=2),
        Answer(Outcome.SUCCEEDED),
        Answer(Outcome.GIVEN_UP, conflicts=20),
        Answer(Outcome.REFUSED, conflicts=1),
        NO_ANSWER,
    )
    traffic = traffic_of(*((0.0, 1.0, answer) for answer in answers))
    assert (traffic.requests, traffic.succeeded) == (5, 2)
    assert (traffic.conflicts_met, traffic.resolved, traffic.given_up) == (23, 1, 1)


def test_rate_is_over_the_time_from_the_first_start_to_the_last_end() -> None:
    assert traffic_of((100.0, 4.0, OK), (101.0, 1.0, OK)).requests_per_s == pytest.approx(0.5)


def test_no_requests_have_no_figures() -> None:
    assert Traffic().requests_per_s == 0.0
    assert Traffic().percentiles_ms(50, 99) == [None, None]


def test_percentiles_of_a_hundred_are_the_ranks() -> None:
    traffic = traffic_of(*((0.0, (100 - rank) / 1000, OK) for rank in range(100)))
    assert traffic.percentiles_ms(50, 99, 100) == pytest.approx([50, 99, 100])


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.1, 100))
def test_percentile_is_the_least_duration_that_enough_do_not_exceed(
    durations_s: list[float], percent: float
) -> None:
    (value_ms,) = traffic_of(*((0.0, duration_s, OK) for duration_s in durations_s)).percentiles_ms(percent)
    assert value_ms is not None
    value_s = next(duration_s for duration_s in durations_s if duration_s * 1000 == value_ms)
    needed = len(durations_s) * percent / 100
    assert sum(duration_s <= value_s for duration_s in durations_s) >= needed - 1e-9
    assert sum(duration_s < value_s for duration_s in durations_s) < needed


def test_latest_percentiles_forget_what_was_before() -> None:
    slow, fast = (0.0, 9.0, OK), (0.0, 0.5, OK)
    traffic = traffic_of(slow, *(fast for _ in range(LATEST)))
    assert traffic.latest_percentiles_ms(100) == [500]
    assert traffic.percentiles_ms(100) == [9000]
