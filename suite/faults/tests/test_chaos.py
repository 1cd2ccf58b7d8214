"""The schedule that a seed makes, and that all of it is undone."""

import itertools

import pytest

from suite.faults.chaos import Act, played, schedule
from suite.faults.fault import Fault, Grade
from suite.faults.switchboard import Switchboard
from suite.faults.tests.playing import wait_until


def _fault(name: str, *, ends_by_itself: bool = False) -> Fault:
    grade = Grade(5, 1, 60, "s") if ends_by_itself else Grade(300, 10, 5000, "ms")
    return Fault(name, "", "", grade, lambda _: None, lambda: None, ends_by_itself)


FAULTS = [_fault("slow"), _fault("cut"), _fault("away", ends_by_itself=True)]


def test_same_seed_gives_the_same_schedule_and_another_one_does_not() -> None:
    assert schedule(FAULTS, "7", 30) == schedule(FAULTS, "7", 30)
    assert schedule(FAULTS, "7", 30) != schedule(FAULTS, "8", 30)


@pytest.mark.parametrize("duration_s", [5, 15, 60])
def test_acts_are_possible_and_leave_a_calm_start_and_end(duration_s: int) -> None:
    faults = {fault.name: fault for fault in FAULTS}
    for seed in range(50):
        acts = schedule(FAULTS, str(seed), duration_s)
        assert acts
        for act in acts:
            grade = faults[act.name].grade
            assert grade.minimum <= act.grade <= grade.maximum
            assert 2 <= act.start_s < act.end_s <= duration_s - 2 + 0.1
        for name in faults:
            own = [act for act in acts if act.name == name]
            assert all(before.end_s <= after.start_s for before, after in itertools.pairwise(own))


def test_load_that_is_too_short_has_no_faults() -> None:
    assert schedule(FAULTS, "7", 4) == []


def test_all_faults_are_off_when_the_block_ends() -> None:
    acts = [Act(0.0, 60.0, "slow", 300.0), Act(0.0, 60.0, "away", 60.0), Act(50.0, 60.0, "cut", 10.0)]
    with Switchboard(FAULTS, lambda _: None) as switchboard:
        with played(acts, switchboard, lambda _: None):
            wait_until(
                lambda: [state["is_on"] for state in switchboard.states()] == [True, False, True],
                "two faults",
            )
        assert not any(state["is_on"] for state in switchboard.states())
