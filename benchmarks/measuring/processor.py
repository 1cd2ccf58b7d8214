"""The processor time of services that take turns second by second.

A few percent are less than what a busy machine does to a rate from one minute to the next. The processor time
of the service for each answer is the steadiest of the figures.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types
import requests

from benchmarks.measuring import report
from benchmarks.measuring.fruits import check_changes, settled
from benchmarks.measuring.rounds import alternated
from benchmarks.measuring.wrk import Load, Outcome, Target, put_load

_CREATORS = 16
_REQUEST_TIMEOUT_S = 30.0


class Measured:
    """The outcomes of a load's slices, and the processor time that the service took for them."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.cpu_s = 0.0

    @property
    def successes(self) -> int:
        """The number of requests that succeeded."""
        return sum(outcome.successes for outcome in self.outcomes)

    @property
    def successes_per_s(self) -> float:
        """The rate of successes."""
        return self.successes / sum(outcome.duration_s for outcome in self.outcomes)

    @property
    def p50_ms(self) -> float:
        """The median of the slices' medians."""
        return report.median([outcome.p50_ms for outcome in self.outcomes])

    @property
    def cpu_ms(self) -> float:
        """Processor time for each answer."""
        return 1000 * self.cpu_s / sum(outcome.answers for outcome in self.outcomes)


class ServiceUnderLoad:
    """A service's process, and fruits that it has created itself, as only it knows how it stores them."""

    def __init__(
        self, name: str, url: str, pid: int, fruit_count: int, new_fruit: Callable[[], dict[str, Any]]
    ) -> None:
        self.name = name
        self.url = url
        self._process = psutil.Process(pid)
        with ThreadPoolExecutor(_CREATORS) as executor:
            self.ids = list(executor.map(lambda _: self._create(new_fruit()), range(fruit_count)))

    def put_slice(self, load: Load, measured: Measured) -> None:
        """Puts the load on the service and adds its outcome."""
        before_s = self._cpu_s()
        measured.outcomes.append(put_load(Target(self.url), self.ids, load))
        measured.cpu_s += self._cpu_s() - before_s

    def change_count(self) -> int:
        """The sum of all change counts, once it has stopped growing."""
        return settled(self._count_changes)

    def _create(self, fruit: dict[str, Any]) -> str:
        answer = requests.post(f"{self.url}/v1.0/fruits", json=fruit, timeout=_REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        return str(answer.json()["fruit_id"])

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _count_changes(self) -> int:
        fruits = requests.get(f"{self.url}/v1.0/fruits", timeout=_REQUEST_TIMEOUT_S).json()
        return sum(fruit["change_count"] for fruit in fruits)


def measure_in_turns(
    services: Sequence[ServiceUnderLoad], load: Load, slices: int, number: int
) -> dict[str, Measured]:
    """Puts `load` on one service after the other, `slices` times, in the order of round `number`.

    Raises:
        SuiteError: an acknowledged change is missing, or there are changes that were not sent.
    """
    results = {service.name: Measured() for service in services}
    before = {service.name: service.change_count() for service in services}
    for i in range(slices):
        for service in alternated(services, number + i):
            service.put_slice(load, results[service.name])
    for service in services:
        growth = service.change_count() - before[service.name]
        outcomes = results[service.name].outcomes
        check_changes(
            service.name,
            growth,
            at_least=sum(each.successes for each in outcomes) if load.percent_put else 0,
            at_most=sum(each.puts_sent for each in outcomes),
        )
    return results
