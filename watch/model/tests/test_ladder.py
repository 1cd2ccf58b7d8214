import pytest

from watch.model.ladder import Rung


def test_figures_are_of_all_processes_over_the_last_minute() -> None:
    rung = Rung()
    for second in range(0, 101, 2):
        rung.read(float(second), {"a": {"succeeded": 10.0 * second}, "a (2)": {"succeeded": 1.0 * second}})
    figures = rung.figures()
    assert figures["rates"]["succeeded"] == pytest.approx(11.0)
    assert figures["minute"]["succeeded"] == pytest.approx(660.0)
    assert figures["totals"]["succeeded"] == pytest.approx(1100.0)


def test_requests_that_wait_are_told_by_littles_law() -> None:
    rung = Rung()
    rung.read(0.0, {"a": {"waited_s": 0.0}})
    rung.read(10.0, {"a": {"waited_s": 35.0}})
    assert rung.figures()["waiting"] == pytest.approx(3.5)


def test_one_reading_has_no_rate_yet() -> None:
    rung = Rung()
    assert rung.figures() == {}
    rung.read(0.0, {"a": {"succeeded": 5.0}})
    assert rung.figures()["rates"]["succeeded"] == 0.0


def test_a_process_that_does_not_answer_keeps_its_figures() -> None:
    rung = Rung()
    rung.read(0.0, {"a": {"met": 5.0}, "a (2)": {"met": 7.0}})
    rung.read(2.0, {"a": {"met": 6.0}})
    assert rung.figures()["totals"]["met"] == 13.0
