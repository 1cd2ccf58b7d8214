"""Switching faults on and off."""

from collections.abc import Iterator

import pytest

from suite.errors import SuiteError
from suite.faults.fault import Fault, Grade
from suite.faults.switchboard import GradeError, Switchboard, UnknownFaultError
from suite.faults.tests.playing import wait_until


class _Database:
    """What the faults are made to."""

    def __init__(self) -> None:
        self.delay_ms = 0.0
        self.is_away = False
        self.can_be_mended = True

    def slow_down(self, delay_ms: float) -> None:
        self.delay_ms = delay_ms

    def speed_up(self) -> None:
        if not self.can_be_mended:
            raise SuiteError("nobody is there to mend it")
        self.delay_ms = 0

    def go(self, _: float) -> None:
        self.is_away = True

    def come(self) -> None:
        self.is_away = False


@pytest.fixture
def database() -> _Database:
    return _Database()


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def switchboard(database: _Database, said: list[str]) -> Iterator[Switchboard]:
    grade = Grade(100, 10, 1000, "ms")
    slow = Fault("slow", "All takes longer.", "duration", grade, database.slow_down, database.speed_up)
    seconds = Grade(0.05, 0.01, 60, "s")
    away = Fault(
        "away", "Nothing goes.", "failures", seconds, database.go, database.come, ends_by_itself=True
    )
    with Switchboard([slow, away], said.append) as board:
        yield board


def test_fault_is_of_the_default_grade_unless_another_is_given(
    switchboard: Switchboard, database: _Database
) -> None:
    switchboard.on("slow")
    assert database.delay_ms == 100
    switchboard.on("slow", 500)
    assert database.delay_ms == 500
    assert switchboard.state("slow")["current_grade"] == 500
    switchboard.off("slow")
    assert database.delay_ms == 0
    assert switchboard.state("slow") | {"is_on": False, "current_grade": None} == switchboard.state("slow")


@pytest.mark.parametrize("grade", [9, 1001, -1, float("nan"), float("inf")])
def test_grade_out_of_range_is_refused(switchboard: Switchboard, grade: float) -> None:
    with pytest.raises(GradeError, match="from 10 to 1000 ms"):
        switchboard.on("slow", grade)
    assert not switchboard.state("slow")["is_on"]


def test_unknown_fault_is_an_error_that_names_those_that_there_are(switchboard: Switchboard) -> None:
    for use in (switchboard.on, switchboard.off, switchboard.state):
        with pytest.raises(UnknownFaultError, match="slow, away"):
            use("flood")


def test_fault_whose_grade_is_its_duration_ends_by_itself(
    switchboard: Switchboard, database: _Database, said: list[str]
) -> None:
    switchboard.on("away")
    wait_until(lambda: said[-1] == "Fault away is off.", "the end")
    assert not database.is_away
    assert not switchboard.state("away")["is_on"]


def test_fault_that_is_switched_on_again_begins_anew(switchboard: Switchboard, database: _Database) -> None:
    switchboard.on("away", 0.01)
    switchboard.on("away", 60)
    wait_until(lambda: switchboard.state("away")["current_grade"] == 60, "the second grade")
    assert database.is_away
    switchboard.off("away")
    assert not database.is_away


def test_all_are_switched_off_though_one_cannot_be(switchboard: Switchboard, database: _Database) -> None:
    switchboard.on("slow")
    switchboard.on("away", 60)
    database.can_be_mended = False
    with pytest.raises(SuiteError, match="slow: nobody is there"):
        switchboard.off_all()
    assert not database.is_away
    assert switchboard.state("slow")["is_on"]  # so that it can be tried again
    database.can_be_mended = True
    switchboard.off_all()
    assert not any(state["is_on"] for state in switchboard.states())
