"""What it costs to protect documents: the same service with and without, side by side."""

import collections
import contextlib
import dataclasses
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # it has no types
import requests

from benchmarks import report
from benchmarks.fruits import check_changes, settled
from benchmarks.wrk import Load, Outcome, Target, put_load
from suite.couchdb import CouchDB
from suite.installations import installed, running
from suite.services import Sample, Service
from tor_async_couchdb.protection.signing import new_key_set

_FRUITS = 100  # the PIN of each fruit's owner is hashed, which takes its time
_CREATORS = 16
_WARM_UP_S = 2
_REQUEST_TIMEOUT_S = 30.0


@dataclasses.dataclass(frozen=True)
class Kind:
    """A way to store fruits; `plain` is the sample with the same interactions that protects nothing."""

    name: str
    sample: str
    plain: str
    is_signed: bool = False
    has_owners: bool = False

    def new_fruit(self) -> dict[str, Any]:
        """What a client sends to create one."""
        owner_id = uuid.uuid4().hex
        email, address = f"{owner_id}@example.com", f"{owner_id} Orchard Lane"
        owner = {"owner_id": owner_id, "email": email, "address": address, "pin": "7391"}
        return {"color": "red"} | ({"owner": owner} if self.has_owners else {})


KINDS = (
    Kind("basic", "basic", "exp_backoff"),
    Kind("exp_backoff", "exp_backoff", "exp_backoff"),
    Kind("signed", "tampering", "exp_backoff", is_signed=True),
    Kind("group_commit", "group_commit", "group_commit"),
    Kind("encrypted", "hash_and_encrypt", "group_commit", has_owners=True),
    Kind("both", "hash_and_encrypt", "group_commit", is_signed=True, has_owners=True),
)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of load."""

    title: str
    connections: int
    percent_put: int

    @property
    def slice(self) -> Load:
        """A second of it."""
        return Load(self.connections, 1, self.percent_put)


ROWS = (
    Row("GET, 32 connections", 32, 0),
    Row("GET, 1 connection", 1, 0),
    Row("PUT, 32 connections", 32, 100),
    Row("PUT, 1 connection", 1, 100),
)


class Measured:
    """What became of a load's slices, and the processor time that the service took for them."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.cpu_s = 0.0

    @property
    def successes(self) -> int:
        """The requests that succeeded."""
        return sum(outcome.successes for outcome in self.outcomes)

    @property
    def successes_per_s(self) -> float:
        """The rate at which they did."""
        return self.successes / sum(outcome.duration_s for outcome in self.outcomes)

    @property
    def p50_ms(self) -> float:
        """The median of the slices' medians."""
        return report.median([outcome.p50_ms for outcome in self.outcomes])

    @property
    def cpu_ms(self) -> float:
        """Processor time for each answer."""
        return 1000 * self.cpu_s / sum(outcome.answers for outcome in self.outcomes)


Rounds = dict[tuple[Row, str], list[Measured]]


class _Contender:
    """A service and its fruits, which it made itself: nobody else may know how they are stored."""

    def __init__(self, kind: Kind, service: Service) -> None:
        self.name = kind.name
        self._kind = kind
        self.url = service.url
        self._process = psutil.Process(service.process.pid)
        with ThreadPoolExecutor(_CREATORS) as executor:
            self.ids = list(executor.map(lambda _: self._create(), range(_FRUITS)))

    def _create(self) -> str:
        fruits = f"{self.url}/v1.0/fruits"
        answer = requests.post(fruits, json=self._kind.new_fruit(), timeout=_REQUEST_TIMEOUT_S)
        answer.raise_for_status()
        return str(answer.json()["fruit_id"])

    def put_slice(self, load: Load, measured: Measured) -> None:
        """Adds what became of the load."""
        before_s = self._cpu_s()
        measured.outcomes.append(put_load(Target(self.url), self.ids, load))
        measured.cpu_s += self._cpu_s() - before_s

    def change_count(self) -> int:
        """The changes that all fruits have, once that has stopped growing."""
        return settled(self._count_changes)

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)

    def _count_changes(self) -> int:
        fruits = requests.get(f"{self.url}/v1.0/fruits", timeout=_REQUEST_TIMEOUT_S).json()
        return sum(fruit["change_count"] for fruit in fruits)


def measure(couchdb: CouchDB, rounds: int, seconds: int, logs: Path) -> Rounds:
    """Every load on every service in every round, with fresh services on fresh databases each round.

    Raises:
        SuiteError: a service can't be started, or has lost an update.
    """
    results: Rounds = collections.defaultdict(list)
    for i in range(rounds):
        print(f"Round {i + 1} of {rounds}", flush=True)
        with contextlib.ExitStack() as stack:
            contenders = [stack.enter_context(_running(kind, couchdb, logs)) for kind in KINDS]
            for row in ROWS:
                _measure_row(row, contenders, _WARM_UP_S, i)
                for name, measured in _measure_row(row, contenders, seconds, i).items():
                    results[row, name].append(measured)
                    figures = f"{measured.successes_per_s:8,.0f}/s {measured.cpu_ms:6.2f} ms of CPU"
                    print(f"  {row.title:20} {name:12} {figures}", flush=True)
    return results


def _measure_row(
    row: Row, contenders: Sequence[_Contender], seconds: int, number: int
) -> dict[str, Measured]:
    """Second by second in turn, so that what else the machine does meets all of them alike."""
    results = {contender.name: Measured() for contender in contenders}
    before = {contender.name: contender.change_count() for contender in contenders}
    for i in range(seconds):
        for contender in contenders if (number + i) % 2 == 0 else reversed(contenders):
            contender.put_slice(row.slice, results[contender.name])
    for contender in contenders:
        growth = contender.change_count() - before[contender.name]
        outcomes = results[contender.name].outcomes
        check_changes(
            contender.name,
            growth,
            at_least=sum(each.successes for each in outcomes) if row.percent_put else 0,
            at_most=sum(each.puts_sent for each in outcomes),
        )
    return results


@contextlib.contextmanager
def _running(kind: Kind, couchdb: CouchDB, logs: Path) -> Iterator[_Contender]:
    with tempfile.TemporaryDirectory() as folder:
        options: tuple[str, ...] = ()
        if kind.is_signed and kind.sample != "tampering":  # whose installation has a key set
            new_key_set(f"{folder}/keys.json")
            options = ("--keyset", f"{folder}/keys.json")
        sample = Sample(f"crud/{kind.sample}", 0, options)
        with (
            installed([sample], couchdb, "benchmark") as installations,
            running(installations, logs) as services,
        ):
            yield _Contender(kind, services[0])


def write(folder: Path, rounds: Rounds, seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the tables; where they are."""
    header = ("who", "successes/s", "p50 ms", "CPU ms", "rate ÷ plain", "p50 ÷ plain", "CPU ÷ plain")
    count = len(rounds[ROWS[0], KINDS[0].name])
    sections = [
        "  \n".join(surroundings),
        f"Medians of {count} rounds of {seconds} s each, second by second in turn, on fresh databases each "
        "round; in brackets the lowest and the highest; ratios are medians of the ratios within each round. "
        f"CPU is the processor time of the service for each answer. {_FRUITS} fruits.",
        "Plain is the sample that does the same without protection: `exp_backoff` to `tampering`, which "
        "signs (here without a witness), and `group_commit` to `hash_and_encrypt`, which encrypts two "
        "properties. No change that was acknowledged was missing.",
    ]
    for row in ROWS:
        cells = [_cells(kind.name, rounds[row, kind.name], rounds[row, kind.plain]) for kind in KINDS]
        sections += [f"## {row.title}", report.table(header, cells)]
    return report.write(folder, "protection", "What protection costs", sections)


def _cells(name: str, rounds: Sequence[Measured], plain: Sequence[Measured]) -> list[str]:
    cells, ratios = [], []
    for figure, digits in (("successes_per_s", 0), ("p50_ms", 1), ("cpu_ms", 2)):
        values, plain_values = ([getattr(each, figure) for each in those] for those in (rounds, plain))
        cells.append(report.median_with_range(values, digits))
        ratios.append(f"{report.median_ratio(values, plain_values):.3f}")
    return [name, *cells, *ratios]
