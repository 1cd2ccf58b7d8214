"""The command line: what to measure, and how thoroughly."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks import contention, cost, plots, protection, services, services_report, storm
from benchmarks.machine import describe
from benchmarks.peer import peer_versions
from benchmarks.wrk import wrk_version
from suite.couchdb import CouchDB, running_couchdb
from suite.errors import SuiteError
from suite.processes import interruptible
from suite.services import ROOT

_RUN_FOLDER = ROOT / ".run" / "benchmarks"
_RESULTS = Path(__file__).parent / "results"
_ANY_PORT = 0


def main() -> int:
    """The exit status: 0 if everything was measured and no change was lost."""
    options = _parse_options()
    _RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        plots.check_installed()
        with running_couchdb(_RUN_FOLDER / "couchdb", _ANY_PORT) as couchdb:
            path = options.benchmark(couchdb, options)
    except SuiteError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Written to {path}")
    return 0


def _services(couchdb: CouchDB, options: argparse.Namespace) -> Path:
    surroundings = describe(couchdb, f"wrk {wrk_version()}", peer_versions())
    rounds = services.measure(couchdb, options.rounds, options.seconds, _RUN_FOLDER)
    return services_report.write(options.results, rounds, options.seconds, surroundings)


def _contention(couchdb: CouchDB, options: argparse.Namespace) -> Path:
    surroundings = describe(couchdb)
    outcomes = contention.measure(couchdb, options.rounds)
    return contention.write(options.results, outcomes, options.rounds, surroundings)


def _storm(couchdb: CouchDB, options: argparse.Namespace) -> Path:
    surroundings = describe(couchdb)
    storms = storm.measure(couchdb, options.rounds)
    return storm.write(options.results, storms, options.rounds, surroundings)


def _cost(couchdb: CouchDB, options: argparse.Namespace) -> Path:
    surroundings = describe(couchdb, f"wrk {wrk_version()}")
    costs = cost.measure(couchdb, options.rounds, options.seconds, _RUN_FOLDER)
    return cost.write(options.results, costs, options.rounds, options.seconds, surroundings)


def _protection(couchdb: CouchDB, options: argparse.Namespace) -> Path:
    surroundings = describe(couchdb, f"wrk {wrk_version()}")
    rounds = protection.measure(couchdb, options.rounds, options.seconds, _RUN_FOLDER)
    return protection.write(options.results, rounds, options.seconds, surroundings)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measures side by side, and writes tables and plots.",
        epilog="A CouchDB to use in place of the stand-in: COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD.",
    )
    commands = parser.add_subparsers(required=True, metavar="BENCHMARK")
    _add(commands, "services", _services, "our services, the peer's, and CouchDB asked directly", seconds=5)
    _add(commands, "contention", _contention, "pauses between retries, by HTTP and simulated")
    _add(commands, "storm", _storm, "a database that slows to a crawl: with and without budget and jitter")
    _add(commands, "cost", _cost, "calls to CouchDB per change, with and without coalescing", seconds=3)
    _add(commands, "protection", _protection, "the same service with and without signatures", seconds=6)
    return parser.parse_args()


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    benchmark: Callable[[CouchDB, argparse.Namespace], Path],
    summary: str,
    seconds: int | None = None,
) -> None:
    parser = commands.add_parser(name, help=summary, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.set_defaults(benchmark=benchmark)
    parser.add_argument("--rounds", type=_count, default=5, help="how often to measure everything")
    parser.add_argument("--results", type=Path, default=_RESULTS, metavar="FOLDER", help="where to write")
    if seconds is not None:
        parser.add_argument("--seconds", type=_count, default=seconds, help="length of each load")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


if __name__ == "__main__":
    with interruptible():
        sys.exit(main())
