import collections
from pathlib import Path

from benchmarks.measuring.processor import Measured
from benchmarks.measuring.wrk import Outcome
from benchmarks.protection import KINDS, ROWS, Rounds, write


def measured(rate: int, p50_ms: float, cpu_ms: float) -> Measured:
    """Two seconds: one with less requests, one with more."""
    result = Measured()
    for change in (-10, 10):
        answers = rate + change
        outcome = Outcome(
            duration_s=1.0, answers=answers, refusals=0, failures=0, puts_sent=0, p50_ms=p50_ms, p99_ms=9.0
        )
        result.outcomes.append(outcome)
        result.cpu_s += cpu_ms * answers / 1000
    return result


def test_ratios_compare_what_was_measured_in_the_same_round(tmp_path: Path) -> None:
    rounds: Rounds = collections.defaultdict(list)
    for row in ROWS:
        for kind in KINDS:
            factor = 0.9 if kind.is_signed or kind.has_owners else 1.0
            rounds[row, kind.name] = [
                measured(round(rate * factor), 10 / factor, 2 / factor) for rate in (100, 1000, 400)
            ]
    text = write(tmp_path, rounds, 2, ["Machine: any."]).read_text()
    assert text.count("| signed | 360 (90 to 900) | 11.1 | 2.22 | 0.900 | 1.111 | 1.111 |") == len(ROWS)
    assert text.count("| group_commit | 400 (100 to 1,000) | 10.0 | 2.00 | 1.000 | 1.000 | 1.000 |") == len(
        ROWS
    )
    assert "Medians of 3 rounds" in text
