"""Runs all samples on one database, puts them under load, and stays until Ctrl-C."""

import argparse
import contextlib
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.table import Table

from suite.couchdb import CouchDB, running_couchdb
from suite.errors import SuiteError
from suite.installations import installed
from suite.load import comparison_table, locust_command, put_load
from suite.processes import Process
from suite.services import ROOT, Sample, Service, find_samples

_RUN_FOLDER = ROOT / ".run"
_LOGS = _RUN_FOLDER / "logs"
_COUCHDB_PORT = 5984
_PAGE_PORT = 8089
_UNDER_LOAD = ("crud/basic", "crud/retry", "crud/exp_backoff", "crud/group_commit")

# Wide enough for the tables also where the output goes to a file.
_console = Console(width=max(Console().width, 120), highlight=False)


def main() -> int:
    """The exit status: 0 if everything ran and no change was lost."""
    options = _parse_options()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    _LOGS.mkdir(parents=True, exist_ok=True)
    try:
        return _run(options)
    except SuiteError as error:
        _console.print(str(error), style="red", markup=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        _console.print("Stopped.")
        return 130 if options.once else 0


def _parse_options() -> argparse.Namespace:
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
    return parser.parse_args()


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, 1 or more")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # From here on everything is being stopped; a second Ctrl-C would leave something running.
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(options: argparse.Namespace) -> int:
    samples = find_samples()
    _check_ports(samples)
    started_s = time.monotonic()
    _console.print("Starting CouchDB ...")
    with (
        running_couchdb(_RUN_FOLDER / "couchdb", _COUCHDB_PORT) as couchdb,
        installed(samples, couchdb, "run") as installations,
    ):
        _console.print(f"Starting {len(samples)} services ...")
        with contextlib.ExitStack() as stack:
            services = [
                service
                for installation in installations
                for service in stack.enter_context(installation.running_services(_LOGS))
            ]
            _console.print(f"All of them are ready after {time.monotonic() - started_s:.1f} s.\n")
            _console.print(_service_table(services, couchdb, installations[0].database_url))
            _console.print(_curl_lines(services), markup=False, soft_wrap=True)
            summaries = _load(services, options.duration)
            if not options.once:
                _stay(services)
    return 1 if any(summary["problems"] for summary in summaries.values()) else 0


def _check_ports(samples: list[Sample]) -> None:
    ports = {sample.port: sample.name for sample in samples if sample.port} | {_PAGE_PORT: "locust's page"}
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


def _service_table(services: list[Service], couchdb: CouchDB, database_url: str) -> Table:
    table = Table("what runs", "where", "log")
    for service in services:
        table.add_row(service.sample.name, service.url, _relative(service.process.log))
    database = database_url if couchdb.log is None else f"{database_url} (the stand-in)"
    table.add_row("CouchDB", database, "" if couchdb.log is None else _relative(couchdb.log))
    return table


def _curl_lines(services: list[Service]) -> str:
    url = {service.sample.name: service.url for service in services}
    fruits = f"{url['crud/basic']}/v1.0/fruits"
    return "\n".join(
        [
            "Try:",
            f"""  curl -i {fruits} -H 'Content-Type: application/json' -d '{{"color":"red"}}'""",
            f"  curl -s '{fruits}?limit=5'",
            f"  curl -s '{url['health']}/_health?quick=false'",
            f"  curl -s {url['metrics']}/_metrics",
            f"  curl -s -H 'Accept: text/plain' {url['crud/retry']}/_metrics | grep conflicts",
            "",
        ]
    )


def _load(services: list[Service], duration_s: int) -> dict[str, Any]:
    summaries = {}
    for service in services:
        if service.sample.name in _UNDER_LOAD:
            _console.print(f"Load on {service.sample.name} for {duration_s} s ...")
            summaries[service.sample.name] = put_load(service, duration_s, _LOGS)
    _console.print()
    _console.print(comparison_table(summaries))
    for name, summary in summaries.items():
        for problem in summary["problems"]:
            _console.print(f"{name}: {problem}", style="red", markup=False)
    return summaries


def _stay(services: list[Service]) -> None:
    retry = next(service for service in services if service.sample.name == "crud/retry")
    command = [*locust_command(retry), "--web-host", "127.0.0.1", "--web-port", str(_PAGE_PORT)]
    with Process("locust's page", command, _LOGS / "locust.log", {}) as page:
        _console.print(f"\nMore load: http://127.0.0.1:{_PAGE_PORT} (locust). Ctrl-C ends everything.")
        running = [page, *(service.process for service in services)]
        while all(process.is_running for process in running):
            time.sleep(0.5)
        ended = next(process for process in running if not process.is_running)
        raise SuiteError(f"{ended.name} has ended: see {_relative(ended.log)}.")


def _relative(log: Path) -> str:
    return str(log.relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
