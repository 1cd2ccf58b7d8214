"""A schedule of faults that a seed determines, and a player that follows it."""

import contextlib
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from suite.errors import SuiteError
from suite.faults.fault import Fault
from suite.faults.switchboard import Switchboard

_CALM_S = 2.0
"""At the start and at the end nothing is harmed, so that the books can be opened and closed."""
_POLL_INTERVAL_S = 0.05
_PAUSE_S = (0.3, 2.0)
_LENGTH_S = (1.0, 4.0)
_MAX_GRADE_FACTOR = 2.0


@dataclass(frozen=True)
class Act:
    """A fault that is on from `start_s` to `end_s`, in seconds after the start of the schedule."""

    start_s: float
    end_s: float
    name: str
    grade: float


def schedule(faults: Sequence[Fault], seed: str, duration_s: float) -> list[Act]:
    """The acts of `duration_s` seconds. The same arguments give the same schedule.

    A fault is on once at a time; several may be on together. Grades are up to twice the default, but no
    outage is longer than its default.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeatable, not secret
    end_s = duration_s - _CALM_S
    start_s = _CALM_S
    busy_until_s = dict.fromkeys((fault.name for fault in faults), 0.0)
    acts: list[Act] = []
    while True:
        possible = [
            fault
            for fault in faults
            if busy_until_s[fault.name] <= start_s and start_s + _shortest_s(fault) <= end_s
        ]
        if not possible:
            return acts
        act = _act(chance, chance.choice(possible), start_s, end_s)
        busy_until_s[act.name] = act.end_s
        acts.append(act)
        start_s += chance.uniform(*_PAUSE_S)


def _shortest_s(fault: Fault) -> float:
    return fault.grade.minimum if fault.ends_by_itself else _LENGTH_S[0]


def _act(chance: random.Random, fault: Fault, start_s: float, end_s: float) -> Act:
    grade = fault.grade
    if fault.ends_by_itself:
        length_s = round(chance.uniform(grade.minimum, min(grade.default, end_s - start_s)), 1)
        return Act(start_s, start_s + length_s, fault.name, length_s)
    most = min(grade.maximum, grade.default * _MAX_GRADE_FACTOR)
    length_s = min(chance.uniform(*_LENGTH_S), end_s - start_s)
    # As many weak grades as strong ones: from 10 to 1,000 ms half are below 100.
    value = math.exp(chance.uniform(math.log(grade.minimum), math.log(most)))
    return Act(start_s, start_s + length_s, fault.name, float(round(value)))


@contextlib.contextmanager
def played(
    acts: Sequence[Act],
    switchboard: Switchboard,
    say: Callable[[str], None],
    *,
    can_start: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Plays the acts, in a thread of its own, while the block runs; at its end all faults are off.

    The schedule starts once `can_start()` is true.

    Raises:
        SuiteError: a fault can't be undone.
    """
    end = threading.Event()

    def play() -> None:
        while not can_start():
            if end.wait(_POLL_INTERVAL_S):
                return
        _play(acts, switchboard, say, end)

    player = threading.Thread(target=play, name="chaos", daemon=True)
    player.start()
    try:
        yield
    finally:
        end.set()
        player.join()
        switchboard.off_all()


def _play(
    acts: Sequence[Act], switchboard: Switchboard, say: Callable[[str], None], end: threading.Event
) -> None:
    started_s = time.monotonic()
    cues = [(act.start_s, True, act) for act in acts] + [(act.end_s, False, act) for act in acts]
    for at_s, is_on, act in sorted(cues, key=lambda cue: cue[0]):
        if end.wait(max(0.0, started_s + at_s - time.monotonic())):
            return
        try:
            if is_on:
                switchboard.on(act.name, act.grade)
            else:
                switchboard.off(act.name)
        except SuiteError as error:
            say(f"{act.name}: {error}")
