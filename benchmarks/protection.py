"""What it costs to protect documents: the same service with and without, side by side."""

import collections
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import requests

from benchmarks import report
from benchmarks.fruits import check_changes, settled
from benchmarks.services import alternated
from benchmarks.wrk import Load, Outcome, Target, put_load
from suite.couchdb import CouchDB
from suite.installations import installed, running
from suite.services import Sample

PLAIN = "exp_backoff"  # which does what the protected samples do, without protection
SAMPLES = ("basic", PLAIN, "tampering")
_FRUITS = 500
_CREATORS = 16
_WARM_UP = Load(connections=32, seconds=1, percent_put=100)
_REQUEST_TIMEOUT_S = 30.0


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of load."""

    title: str
    connections: int
    percent_put: int


ROWS = (
    Row("GET, 32 connections", 32, 0),
    Row("GET, 1 connection", 1, 0),
    Row("PUT, 32 connections", 32, 100),
    Row("PUT, 1 connection", 1, 100),
)

Outcomes = dict[tuple[Row, str], list[Outcome]]  # of each round


class _Contender:
    """A service and its fruits, which it made itself: nobody else may know how they are stored."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        with ThreadPoolExecutor(_CREATORS) as executor:
            self.ids = list(executor.map(lambda _: self._create(), range(_FRUITS)))
        self._change_count = 0

    def _create(self) -> str:
        fruits = f"{self.url}/v1.0/fruits"
        answer = requests.post(fruits, json={"color": "red"}, timeout=_REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        return str(answer.json()["fruit_id"])

    def put_checked_load(self, load: Load) -> Outcome:
        """What became of the load; SuiteError if a change that was acknowledged is missing."""
        outcome = put_load(Target(self.url), self.ids, load)
        if load.percent_put == 100:
            before, self._change_count = self._change_count, settled(self._count_changes)
            growth = self._change_count - before
            check_changes(self.name, growth, at_least=outcome.successes, at_most=outcome.puts_sent)
        return outcome

    def _count_changes(self) -> int:
        fruits = requests.get(f"{self.url}/v1.0/fruits", timeout=_REQUEST_TIMEOUT_S).json()
        return sum(fruit["change_count"] for fruit in fruits)


def measure(couchdb: CouchDB, rounds: int, seconds: int, logs: Path) -> Outcomes:
    """Every load on every service in every round, with fresh services on fresh databases each round.

    Raises:
        SuiteError: a service can't be started, or has lost an update.
    """
    outcomes: Outcomes = collections.defaultdict(list)
    for i in range(rounds):
        print(f"Round {i + 1} of {rounds}", flush=True)
        with contextlib.ExitStack() as stack:
            contenders = {name: stack.enter_context(_running(name, couchdb, logs)) for name in SAMPLES}
            for contender in contenders.values():
                contender.put_checked_load(_WARM_UP)
            for row in ROWS:
                for name in alternated(SAMPLES, i):
                    load = Load(row.connections, seconds, row.percent_put)
                    outcome = contenders[name].put_checked_load(load)
                    outcomes[row, name].append(outcome)
                    print(f"  {row.title:20} {name:12} {outcome.successes_per_s:8,.0f}/s", flush=True)
    return outcomes


@contextlib.contextmanager
def _running(name: str, couchdb: CouchDB, logs: Path) -> Iterator[_Contender]:
    with (
        installed([Sample(f"crud/{name}", 0)], couchdb, "benchmark") as installations,
        running(installations, logs) as services,
    ):
        yield _Contender(name, services[0].url)


def write(folder: Path, outcomes: Outcomes, rounds: int, seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the tables; where they are."""
    header = ("who", "successes/s", "p50 ms", f"rate ÷ {PLAIN}", f"p50 ÷ {PLAIN}")
    sections = [
        "  \n".join(surroundings),
        f"Medians of {rounds} rounds of {seconds} s each, in alternating order, on fresh databases each, "
        "with the lowest and highest round in brackets; ratios are medians of the ratios within each round. "
        f"{_FRUITS} fruits. `{PLAIN}` has the same interactions as `tampering`, whose documents are signed "
        "(without a witness); `basic` does not try again. No change that was acknowledged was missing.",
    ]
    for row in ROWS:
        cells = [_cells(name, outcomes[row, name], outcomes[row, PLAIN]) for name in SAMPLES]
        sections += [f"## {row.title}", report.table(header, cells)]
    return report.write(folder, "protection", "What protection costs", sections)


def _cells(name: str, outcomes: Sequence[Outcome], plain: Sequence[Outcome]) -> list[str]:
    rates, p50s_ms = [each.successes_per_s for each in outcomes], [each.p50_ms for each in outcomes]
    return [
        name,
        report.median_with_range(rates),
        report.median_with_range(p50s_ms, 1),
        f"{report.median_ratio(rates, [each.successes_per_s for each in plain]):.3f}",
        f"{report.median_ratio(p50s_ms, [each.p50_ms for each in plain]):.3f}",
    ]
