"""Runs all samples, puts them under load, shows what happened, and stays until Ctrl-C."""

import signal

if __name__ == "__main__":
    # While the imports below run there is nothing to stop: Ctrl-C ends the process without a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import dataclasses
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
from suite.experiments.partition import part_masters, partition_problems, partition_step, partition_table
from suite.installations import installed
from suite.load import (
    comparison_table,
    history_of,
    page_command,
    put_load,
    reads_promised,
    verdict_on,
)
from suite.processes import SIGNALS, Process, signals_wait
from suite.services import Service, answers, running
from suite.table import SAMPLES, Sample, without_a_row

_LEGEND = """\
resolved: requests that met a conflict and succeeded all the same
given up: answered 409; lost: acknowledged, but not in the database"""
_PARTITION_LEGEND = """\
conflicts: fruits that both changed; merged: so often, by either; superseded: shown beside the later color
lost: acknowledged, but in neither database when both were the same again"""
_PAGE_TIMEOUT_S = 20.0


@dataclasses.dataclass(frozen=True)
class Setting:
    """What a run starts, and where: its samples, its folder and its ports (0 is any free one)."""

    samples: Sequence[Sample] = SAMPLES
    folder: Path = Path(".run")  # in the root of the repository, where run_all_samples.sh goes first
    couchdb_port: int = 5984
    page_port: int = 8089

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.folder / "logs"


def main(arguments: Sequence[str] | None = None, setting: Setting | None = None) -> int:
    """The exit status: 0 if everything ran and no change was lost."""
    options = parse_options(arguments)
    setting = setting or Setting()
    for number in SIGNALS:
        signal.signal(number, _interrupt)
    setting.logs.mkdir(parents=True, exist_ok=True)
    try:
        return _run(options, setting)
    except SuiteError as error:
        screen.complain(str(error))
        return 1
    except KeyboardInterrupt:
        screen.say("Stopped.")
        return 130 if options.once else 0


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="./run_all_samples.sh",
        description="Runs all samples on one database and puts them under load. Ctrl-C ends everything.",
        epilog="A CouchDB to use in place of the stand-in: COUCHDB_URL, COUCHDB_USER, COUCHDB_PASSWORD.",
        allow_abbrev=False,
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
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of seconds, 1 or more")
    return int(text)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    # From here on everything is being stopped. A second Ctrl-C would leave something running.
    for again in SIGNALS:
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(options: argparse.Namespace, setting: Setting) -> int:
    for name in without_a_row():
        screen.complain(f"samples/{name} is left out: it has no row in suite/table.py.")
    _check_ports(setting)
    started_s = time.monotonic()
    with contextlib.ExitStack() as stack:
        with screen.step(_database_step()):
            couchdb = stack.enter_context(running_couchdb(setting.folder / "couchdb", setting.couchdb_port))
            commands = stack.enter_context(installed(setting.samples, couchdb, "run"))
        with screen.step("Starting the services ..."):
            services = stack.enter_context(running(commands, setting.logs))
        screen.say(f"All of them are ready after {time.monotonic() - started_s:.1f} s.\n")
        screen.show(screen.service_table(services))
        screen.say(screen.database_lines(couchdb, commands[0].database_url))
        screen.say(screen.curl_lines(services))
        is_good = _load(services, couchdb, options.duration, setting.logs)
        is_good = _part(services, couchdb) and is_good
        if not options.once:
            _stay(services, couchdb, setting)
    return 0 if is_good else 1


def _check_ports(setting: Setting) -> None:
    ports = {setting.page_port: "locust's page"} | {
        sample.port_of(number): sample.label(number)
        for sample in setting.samples
        if sample.port
        for number in sample.numbers
    }
    if "COUCHDB_URL" not in os.environ:
        ports[setting.couchdb_port] = (
            "the CouchDB stand-in (set COUCHDB_URL if what listens there is your CouchDB)"
        )
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


def _load(services: Sequence[Service], couchdb: CouchDB, duration_s: int, logs: Path) -> bool:
    summaries = {}
    verdicts = {}
    for service in services:
        if service.sample.is_under_load:
            with screen.step(f"Load on {service.sample.name} for {duration_s} s ..."):
                summaries[service.sample.name] = put_load(service, duration_s, logs)
                reads = reads_promised(service, couchdb)
                verdicts[service.sample.name] = verdict_on(history_of(service, logs), reads)
    if not summaries:
        return True
    screen.say("")
    screen.show(comparison_table(summaries))
    screen.say(_LEGEND)
    for name, verdict in verdicts.items():
        screen.say(f"{name}: {verdict}")
    for name, summary in summaries.items():
        problems = [*summary["problems"], *verdicts[name].violations]
        for problem in problems:
            screen.complain(f"{name}: {problem}")
    are_good = (not summary["problems"] for summary in summaries.values())
    return all(are_good) and all(verdict.is_linearizable for verdict in verdicts.values())


def _part(services: Sequence[Service], couchdb: CouchDB) -> bool:
    masters = [service for service in services if service.sample.masters]
    if not masters:
        return True
    sample = masters[0].sample
    with screen.step(f"\n{partition_step(sample)}"):
        figures = part_masters(masters, couchdb)
    screen.say("")
    screen.show(partition_table(sample, figures))
    screen.say(_PARTITION_LEGEND)
    problems = partition_problems(figures)
    for problem in problems:
        screen.complain(f"{sample.name}: {problem}")
    return not problems


def _stay(services: Sequence[Service], couchdb: CouchDB, setting: Setting) -> None:
    """Shows locust's page for more load on the services, until one of the processes ends."""
    page_url = f"http://127.0.0.1:{setting.page_port}"
    command = page_command(services, couchdb, setting.page_port, setting.logs)
    with contextlib.ExitStack() as stack:
        with signals_wait():
            page = stack.enter_context(Process("locust's page", command, setting.logs / "locust.log", {}))
        page.wait_until(lambda: answers(page_url), _PAGE_TIMEOUT_S)
        screen.say(f"\nMore load: {page_url} (locust). Ctrl-C ends everything.")
        watched = [page, *(service.process for service in services)]
        while all(process.is_running for process in watched):
            time.sleep(0.5)
        ended = next(process for process in watched if not process.is_running)
        raise SuiteError(f"{ended.name} has ended: see {ended.log}.")


if __name__ == "__main__":
    sys.exit(main())
