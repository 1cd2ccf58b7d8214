"""What a GET and a PUT of crud/basic cost the service, in two checkouts side by side, as ratios.

Each checkout's service runs on a database of its own. The processor time is that of the service's process, at
128 connections; the two take turns second by second. Calls are counted during single PUTs.
"""

import argparse
import collections
import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import describe
from benchmarks.measuring.processor import ServiceUnderLoad, measure_in_turns
from benchmarks.measuring.rounds import alternated
from benchmarks.measuring.wrk import Load, wrk_version
from benchmarks.request_cost.calls import Calls, count_calls, environment_of
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import running
from suite.table import ROOT, sample_named

_SAMPLE = sample_named("crud/basic").anywhere()
_CONNECTIONS = 128
_FRUITS = 500
_WARM_UP_S = 2
BEFORE, NOW = "before", "now"
CPU_ROWS = {"GET, processor time, ms": 0, "PUT, processor time, ms": 100}  # percent of PUTs
CALL_ROWS = {
    "PUT, function entries": "entries",
    "PUT, function entries of ours": "own_entries",
    "PUT, calls from one of our modules into another": "crossings",
}

Figures = dict[tuple[str, str], list[float]]  # the row and the checkout: a figure for each round


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument(
        "--before", type=Path, required=True, metavar="DIR", help="the checkout to compare with"
    )
    settings.add_options(parser, seconds=6)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a change was lost.
    """
    checkouts = {BEFORE: options.before.resolve(), NOW: ROOT}
    if not (checkouts[BEFORE] / "samples" / "crud" / "basic" / "service.py").exists():
        raise SuiteError(f"{options.before} is no checkout of this repository: it has no sample crud/basic.")
    with settings.couchdb_to_measure() as couchdb:
        surroundings = [
            *describe(couchdb, f"wrk {wrk_version()}"),
            ", ".join(f"{name}: {_commit(folder)}" for name, folder in checkouts.items()) + ".",
        ]
        figures = measure(checkouts, couchdb, options.rounds, options.seconds, settings.RUN_FOLDER)
    print(f"Written to {write(options.results, figures, options.seconds, surroundings)}")
    return 0


def measure(
    checkouts: Mapping[str, Path], couchdb: CouchDB, rounds: int, seconds: int, run_folder: Path
) -> Figures:
    """Every figure of both checkouts in every round.

    Raises:
        SuiteError: a service ended, or has lost a change.
    """
    figures: Figures = collections.defaultdict(list)
    for i in range(rounds):
        print(f"Round {i + 1} of {rounds}", flush=True)
        with contextlib.ExitStack() as stack:
            services = [
                stack.enter_context(_running(name, folder, couchdb, run_folder))
                for name, folder in checkouts.items()
            ]
            for title, percent_put in CPU_ROWS.items():
                load = Load(_CONNECTIONS, 1, percent_put)
                measure_in_turns(services, load, _WARM_UP_S, i)
                for name, measured in measure_in_turns(services, load, seconds, i).items():
                    figures[title, name].append(measured.cpu_ms)
        for name in alternated(list(checkouts), i):
            calls = calls_of(checkouts[name], couchdb, run_folder / f"counted_{name}.log")
            for title, field in CALL_ROWS.items():
                figures[title, name].append(getattr(calls, field))
        for (title, name), values in figures.items():
            print(f"  {title:50} {name:8} {values[-1]:10.3f}", flush=True)
    return figures


def calls_of(checkout: Path, couchdb: CouchDB, log: Path) -> Calls:
    """The calls of one PUT of the checkout's crud/basic, on a fresh database.

    Raises:
        SuiteError: the service ended.
    """
    with installed([_SAMPLE], couchdb, "benchmark") as (command,):
        environment = os.environ | dict(command.environment) | environment_of(checkout)
        return count_calls(_SAMPLE, command.database_url, environment, log)


@contextlib.contextmanager
def _running(name: str, checkout: Path, couchdb: CouchDB, run_folder: Path) -> Iterator[ServiceUnderLoad]:
    logs = run_folder / name
    logs.mkdir(parents=True, exist_ok=True)
    with (
        installed([_SAMPLE], couchdb, "benchmark") as commands,
        running(commands, logs, environment_of(checkout)) as (service,),
    ):
        pid = service.process.pid
        yield ServiceUnderLoad(name, service.url, pid, _FRUITS, lambda: {"color": "red"})


def write(folder: Path, figures: Figures, seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the table; its path."""
    rows = []
    for title in (*CPU_ROWS, *CALL_ROWS):
        before, now = figures[title, BEFORE], figures[title, NOW]
        digits = 3 if title in CPU_ROWS else 1
        cells = [report.median_with_range(values, digits) for values in (before, now)]
        rows.append([title, *cells, f"{report.median_ratio(now, before):.3f}"])
    count = len(figures[next(iter(CPU_ROWS)), NOW])
    sections = [
        "  \n".join(surroundings),
        f"Medians of {count} rounds, in brackets the lowest and the highest; the ratio is the median of the "
        "rounds' ratios. Processor time is that of the service's process for each answer, at "
        f"{_CONNECTIONS} connections on {_FRUITS} fruits, {seconds} s a round, second by second in turn. "
        "Function entries are those of one PUT, of Python functions, without resumed coroutines.",
        report.table(("", BEFORE, NOW, f"{NOW} ÷ {BEFORE}"), rows),
    ]
    return report.write(folder, "requests", "What a request costs", sections)


def _commit(folder: Path) -> str:
    """The short id of the folder's commit, "with changes" if it has any; "no commit" without git."""
    git = shutil.which("git")
    if git is None:
        return "no commit"
    id_, changes = (
        subprocess.run(  # noqa: S603 - the benchmark's own command, no shell
            [git, "-C", str(folder), *arguments], capture_output=True, text=True, check=False
        ).stdout.strip()
        for arguments in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
    )
    return (f"commit {id_}" if id_ else "no commit") + (" with changes" if changes else "")
