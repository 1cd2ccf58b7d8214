"""What a fault is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Grade:
    """How strong a fault can be: from `minimum` to `maximum`, in `unit`."""

    default: float
    minimum: float
    maximum: float
    unit: str


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong on purpose.

    `sentence` says what people will see, and `metric` what changes on the services' `/_metrics` (a selector
    of PromQL). `switch_on` gets the grade; called again, it changes it. Both raise SuiteError if they can't.

    A fault whose grade is its duration `ends_by_itself`.
    """

    name: str
    sentence: str
    metric: str
    grade: Grade
    switch_on: Callable[[float], None]
    switch_off: Callable[[], None]
    ends_by_itself: bool = False
