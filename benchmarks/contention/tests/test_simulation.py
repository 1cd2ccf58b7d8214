import random
import statistics

import pytest

from benchmarks.contention.simulation import Outcome, network_delay_s, simulate
from benchmarks.contention.strategies import PUBLISHED, STRATEGIES
from tor_async_couchdb.retries import immediately

_RUNS = {10: 200, 50: 40, 100: 20}
_CELLS = [(name, writers) for name in PUBLISHED for writers in (10, 50, 100)]


def _outcomes(name: str, writers: int) -> list[Outcome]:
    generator = random.Random(1)  # noqa: S311 - of a model
    return [simulate(writers, STRATEGIES[name](generator.random), generator) for _ in range(_RUNS[writers])]


@pytest.mark.parametrize(("name", "writers"), _CELLS)
def test_calls_are_those_of_the_published_simulation(name: str, writers: int) -> None:
    calls = statistics.mean(outcome.write_calls for outcome in _outcomes(name, writers))
    assert calls == pytest.approx(PUBLISHED[name][writers][1], rel=0.1)


@pytest.mark.parametrize(("name", "writers"), _CELLS)
def test_completion_is_that_of_the_published_simulation(name: str, writers: int) -> None:
    completion_ms = 1000 * statistics.mean(outcome.duration_s for outcome in _outcomes(name, writers))
    assert completion_ms == pytest.approx(PUBLISHED[name][writers][0], rel=0.15)


def test_a_writer_alone_reads_and_writes_once_over_four_messages() -> None:
    outcome = simulate(1, immediately, random.Random(1))  # noqa: S311 - of a model
    assert (outcome.succeeded, outcome.write_calls) == (1, 1)
    assert 0.02 < outcome.duration_s < 0.08


def test_every_writer_succeeds_once_when_there_is_no_limit() -> None:
    outcome = simulate(50, immediately, random.Random(1))  # noqa: S311 - of a model
    assert outcome.succeeded == 50


def test_a_server_with_a_limit_needs_its_time_for_each_read_and_write() -> None:
    outcome = simulate(50, immediately, random.Random(1), service_time_s=0.01)  # noqa: S311 - of a model
    assert outcome.duration_s >= 0.01 * 2 * outcome.write_calls


def test_it_ends_at_the_limit_with_those_who_have_succeeded_by_then() -> None:
    generator = random.Random(1)  # noqa: S311 - of a model
    outcome = simulate(1000, immediately, generator, service_time_s=0.001, limit_s=5.0)
    assert outcome.duration_s == 5.0
    assert 0 < outcome.succeeded < 1000
    assert outcome.write_calls <= 2500  # two requests a millisecond are too many


def test_messages_take_about_ten_milliseconds() -> None:
    generator = random.Random(1)  # noqa: S311 - of a model
    delays_s = [network_delay_s(generator) for _ in range(1000)]
    assert statistics.mean(delays_s) == pytest.approx(0.010, rel=0.05)
    assert min(delays_s) > 0
