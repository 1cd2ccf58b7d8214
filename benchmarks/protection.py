"""What signatures and encryption cost: the same service with and without."""

import argparse
import collections
import contextlib
import dataclasses
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import describe
from benchmarks.measuring.processor import Measured, ServiceUnderLoad, measure_in_turns
from benchmarks.measuring.wrk import Load, wrk_version
from suite.couchdb import CouchDB
from suite.installations import installed
from suite.services import running
from suite.table import sample_named
from tor_async_couchdb.protection.signing import new_key_set

_FRUITS = 100  # the PIN of each fruit's owner is hashed, which takes its time
_WARM_UP_S = 2


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


Rounds = dict[tuple[Row, str], list[Measured]]


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
                measure_in_turns(contenders, row.slice, _WARM_UP_S, i)
                for name, measured in measure_in_turns(contenders, row.slice, seconds, i).items():
                    results[row, name].append(measured)
                    figures = f"{measured.successes_per_s:8,.0f}/s {measured.cpu_ms:6.2f} ms of CPU"
                    print(f"  {row.title:20} {name:12} {figures}", flush=True)
    return results


@contextlib.contextmanager
def _running(kind: Kind, couchdb: CouchDB, logs: Path) -> Iterator[ServiceUnderLoad]:
    with tempfile.TemporaryDirectory() as folder:
        sample = sample_named(f"crud/{kind.sample}").anywhere()
        if kind.is_signed and kind.sample != "tampering":  # tampering's own options have a key set
            new_key_set(f"{folder}/keys.json")
            options = (*sample.options, "--keyset", f"{folder}/keys.json")
            sample = dataclasses.replace(sample, options=options)
        with (
            installed([sample], couchdb, "benchmark") as commands,
            running(commands, logs) as services,
        ):
            service = services[0]
            yield ServiceUnderLoad(kind.name, service.url, service.process.pid, _FRUITS, kind.new_fruit)


def write(folder: Path, rounds: Rounds, seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the tables; their path."""
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    settings.add_options(parser, seconds=6)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a change was lost.
    """
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb, f"wrk {wrk_version()}")
        rounds = measure(couchdb, options.rounds, options.seconds, settings.RUN_FOLDER)
    print(f"Written to {write(options.results, rounds, options.seconds, surroundings)}")
    return 0
