import math

from benchmarks.storm import recovery_s


def _successes(*per_second: int) -> list[float]:
    return [second + i / count for second, count in enumerate(per_second) for i in range(count)]


def test_goodput_that_never_fell_has_recovered_at_once() -> None:
    assert recovery_s(_successes(10, 10, 10, 10, 10, 10), 2.0, 3.0, 6.0) == 0.0


def test_recovery_is_counted_from_the_end_of_the_slowness() -> None:
    assert recovery_s(_successes(10, 10, 0, 0, 0, 10, 10, 10), 2.0, 3.0, 8.0) == 2.0


def test_goodput_that_falls_again_has_not_recovered() -> None:
    assert recovery_s(_successes(10, 10, 0, 10, 10, 0, 10, 10), 2.0, 3.0, 8.0) == 3.0


def test_nine_tenths_of_the_goodput_before_are_enough() -> None:
    assert recovery_s(_successes(10, 10, 0, 9, 9, 9), 2.0, 3.0, 6.0) == 0.0


def test_goodput_that_stays_down_never_recovers() -> None:
    assert recovery_s(_successes(10, 10, 0, 8, 8, 8), 2.0, 3.0, 6.0) == math.inf
