"""Runs all samples on one database, puts them under load, and stays until Ctrl-C."""

import signal

if __name__ == "__main__":
    # While the imports below run there is nothing to stop: Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from suite import screen
from suite.couchdb import CouchDB, running_couchdb
from suite.errors import SuiteError
from suite.installations import Installation, installed, running
from suite.load import comparison_table, locust_command, put_load
from suite.partition import SAMPLE, STEP, part_masters, partition_problems, partition_table
from suite.processes import SIGNALS, Process, signals_wait
from suite.services import Sample, Service, answers, find_samples

# In the root of the repository, where run_all_samples.sh goes first.
_RUN_FOLDER = Path(".run")
_LOGS = _RUN_FOLDER / "logs"
_COUCHDB_PORT = 5984
_PAGE_PORT = 8089
_UNDER_LOAD = ("crud/basic", "crud/retry", "crud/exp_backoff", "crud/group_commit")
_LEGEND = """\
resolved: requests that met a conflict and succeeded all the same
given up: answered 409; lost: acknowledged, but not in the database"""
_PARTITION_LEGEND = """\
conflicts: fruits that both changed; merged: so often, by either; superseded: shown beside the later color
lost: acknowledged, but in neither database when both were the same again"""
_PAGE_TIMEOUT_S = 20.0


def main() -> int:
    """The exit status: 0 if everything ran and no change was lost."""
    options = parse_options()
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    _LOGS.mkdir(parents=True, exist_ok=True)
    try:
        return _run(options)
    except SuiteError as error:
        screen.complain(str(error))
        return 1
    except KeyboardInterrupt:
        screen.say("Stopped.")
        return 130 if options.once else 0


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line, checked."""
    parser = argparse.ArgumentParser(
        prog="./run_all_samples.sh",
        description="Runs all samples on one database and puts them under load. Ctrl-C ends everything.",
        epilog="A CouchDB to use in place of the stand-in: COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD.",
    )
    parser.add_argument("--once", action="store_true", help="end after the load; status 1 if anything failed")
    parser.add_argument(
        "--duration",
        type=_seconds,
        default=15,
        metavar="SECONDS",
        help="length of the load on each service (default: 15)",
    )
    return parser.parse_args(arguments)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, 1 or more")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # From here on everything is being stopped; a second Ctrl-C would leave something running.
    for again in SIGNALS:
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> int:
    samples = find_samples()
    _check_ports(samples)
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        with screen.step(_database_step()):
            couchdb = stack.enter_context(running_couchdb(_RUN_FOLDER / "couchdb", _COUCHDB_PORT))
            installations = stack.enter_context(installed(samples, couchdb, "run"))
        with screen.step("Starting the services ..."):
            services = stack.enter_context(running(installations, _LOGS))
        screen.say(f"All of them are ready after {time.monotonic() - started_s:.1f} s.\n")
        screen.show(screen.service_table(services))
        screen.say(screen.database_lines(couchdb, installations[0].database_url))
        screen.say(screen.curl_lines(services))
        is_good = _load(services, options.duration)
        is_good = _part(services, installations, couchdb) and is_good
        if not options.once:
            _stay(services)
    return 0 if is_good else 1


def _check_ports(samples: list[Sample]) -> None:
    processes = [sample.another(number) for sample in samples if sample.port for number in sample.numbers]
    ports = {process.port: process.label for process in processes} | {_PAGE_PORT: "locust's page"}
    if "COUCHDB_URL" not in os.environ:
        ports[_COUCHDB_PORT] = "the CouchDB stand-in (set COUCHDB_URL if what listens there is your CouchDB)"
    for port, name in sorted(ports.items()):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                raise SuiteError(
                    f"Port {port} is in use and needed for {name}: stop what listens there."
                ) from None


def _database_step() -> str:
    if "COUCHDB_URL" in os.environ:
        return "Asking the CouchDB that COUCHDB_URL names ..."
    return "Starting the CouchDB stand-in (the first time its packages are installed) ..."


def _load(services: list[Service], duration_s: int) -> bool:
    summaries = {}
    for service in services:
        if service.sample.name in _UNDER_LOAD:
            with screen.step(f"Load on {service.sample.name} for {duration_s} s ..."):
                summaries[service.sample.name] = put_load(service, duration_s, _LOGS)
    screen.say("")
    screen.show(comparison_table(summaries))
    screen.say(_LEGEND)
    for name, summary in summaries.items():
        for problem in summary["problems"]:
            screen.complain(f"{name}: {problem}")
    return not any(summary["problems"] for summary in summaries.values())


def _part(services: list[Service], installations: list[Installation], couchdb: CouchDB) -> bool:
    with screen.step(f"\n{STEP}"):
        figures = part_masters(services, installations, couchdb)
    screen.say("")
    screen.show(partition_table(figures))
    screen.say(_PARTITION_LEGEND)
    problems = partition_problems(figures)
    for problem in problems:
        screen.complain(f"{SAMPLE}: {problem}")
    return not problems


def _stay(services: list[Service]) -> None:
    retry = next(service for service in services if service.sample.name == "crud/retry")
    command = [*locust_command(retry), "--web-host", "127.0.0.1", "--web-port", str(_PAGE_PORT)]
    url = f"http://127.0.0.1:{_PAGE_PORT}"
    with contextlib.ExitStack() as stack:
        with signals_wait():
            page = stack.enter_context(Process("locust's page", command, _LOGS / "locust.log", {}))
        page.wait_until(lambda: answers(url), _PAGE_TIMEOUT_S)
        screen.say(f"\nMore load: {url} (locust). Ctrl-C ends everything.")
        watched = [page, *(service.process for service in services)]
        while all(process.is_running for process in watched):
            time.sleep(0.5)
        ended = next(process for process in watched if not process.is_running)
        raise SuiteError(f"{ended.name} has ended: see {ended.log}.")


if __name__ == "__main__":
    sys.exit(main())
