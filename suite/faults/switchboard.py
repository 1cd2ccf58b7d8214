"""The switches of all faults."""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Self

from suite.errors import SuiteError
from suite.faults.fault import Fault


class UnknownFaultError(SuiteError):
    """There is no fault of this name."""


class GradeError(SuiteError):
    """The fault can't be of this grade."""


class Switchboard:
    """Switches faults on and off, from any thread, and calls `say` with a sentence for each change.

    It is used inside `with`. At the end it leaves the faults as they are: what they harm ends with the run.
    """

    def __init__(self, faults: Sequence[Fault], say: Callable[[str], None]) -> None:
        self.faults = {fault.name: fault for fault in faults}
        self._say = say
        self._grades: dict[str, float] = {}
        self._timers: dict[str, threading.Timer] = {}
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            timers, self._timers = [*self._timers.values()], {}
            for timer in timers:
                timer.cancel()

    def states(self) -> list[dict[str, Any]]:
        """Each fault, and whether it is on, as JSON."""
        return [self.state(name) for name in self.faults]

    def state(self, name: str) -> dict[str, Any]:
        """A fault, and whether it is on, as JSON.

        Raises:
            UnknownFaultError: there is no such fault.
        """
        fault = self._fault(name)
        grade = fault.grade
        current = self._grades.get(name)
        return {
            "name": name,
            "sentence": fault.sentence,
            "metric": fault.metric,
            "grade": {
                "default": grade.default,
                "min": grade.minimum,
                "max": grade.maximum,
                "unit": grade.unit,
            },
            "ends_by_itself": fault.ends_by_itself,
            "is_on": current is not None,
            "current_grade": current,
        }

    def on(self, name: str, grade: float | None = None) -> None:
        """Switches a fault on, or changes its grade; without a grade it is the default.

        Raises:
            UnknownFaultError: there is no such fault.
            GradeError: the grade is out of its range.
            SuiteError: the fault can't be made.
        """
        fault = self._fault(name)
        grade = fault.grade.default if grade is None else grade
        if not fault.grade.minimum <= grade <= fault.grade.maximum:
            raise GradeError(
                f"{name}: the grade is from {fault.grade.minimum:g} to {fault.grade.maximum:g} "
                f"{fault.grade.unit}."
            )
        with self._lock:
            self._forget_timer(name)
            self._say(f"Fault {name} is on ({grade:g} {fault.grade.unit}): {fault.sentence}")
            fault.switch_on(grade)
            self._grades[name] = grade
            if fault.ends_by_itself:
                timer = self._timers[name] = threading.Timer(grade, self._end, (name,))
                timer.daemon = True
                timer.start()

    def off(self, name: str) -> None:
        """Switches a fault off, if it is on.

        Raises:
            UnknownFaultError: there is no such fault.
            SuiteError: it can't be undone.
        """
        fault = self._fault(name)
        with self._lock:
            self._forget_timer(name)
            if name in self._grades:
                fault.switch_off()
                del self._grades[name]
                self._say(f"Fault {name} is off.")

    def off_all(self) -> None:
        """Switches all faults off.

        Raises:
            SuiteError: some can't be undone; the others are.
        """
        problems = []
        for name in self.faults:
            try:
                self.off(name)
            except SuiteError as error:
                problems.append(f"{name}: {error}")
        if problems:
            raise SuiteError("; ".join(problems))

    def _fault(self, name: str) -> Fault:
        if name not in self.faults:
            raise UnknownFaultError(f"There is no fault {name!r}: there are {', '.join(self.faults)}.")
        return self.faults[name]

    def _forget_timer(self, name: str) -> None:
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def _end(self, name: str) -> None:
        with self._lock:
            # A fault that was switched on again in the meantime has another timer.
            if self._timers.get(name) is threading.current_thread():
                try:
                    self.off(name)
                except SuiteError as error:
                    self._say(f"Fault {name} can't be undone: {error}")
