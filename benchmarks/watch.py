"""What watching costs: a load with the page open, through the proxies of faults, and without, in turns."""

import argparse
import collections
import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types
from playwright.sync_api import Browser

from benchmarks.measuring import report, settings
from benchmarks.measuring.browser import running_browser
from benchmarks.measuring.machine import describe
from benchmarks.measuring.processor import Measured, ServiceUnderLoad
from benchmarks.measuring.rounds import alternated
from benchmarks.measuring.wrk import Load, wrk_version
from suite.background import EventLoopThread
from suite.control.load import LoadControl
from suite.control.server import Controls, control_server
from suite.couchdb import CouchDB
from suite.faults.link import Link
from suite.faults.stage import staged
from suite.faults.switchboard import Switchboard
from suite.installations import installed
from suite.services import Service, running
from suite.table import sample_named
from suite.watch_page import watch_page
from tor_async_etcd.testing import free_ports

_SAMPLE = "crud/retry"
_FRUITS = 20
_CONNECTIONS = 16
_PERCENT_PUT = 80
_SLICES = 3
_SETTLE_S = 3.0
_WARM_UP = Load(_CONNECTIONS, 2, _PERCENT_PUT)

OFF, ON, WATCHED, PROXIED = "events off", "events on, no page", "page open", "no page, through the proxies"
CONTENDERS = (OFF, ON, WATCHED, PROXIED)

Rounds = dict[str, list[Measured]]


class Bystanders:
    """The processor time of all that serves watching: browser, page's service, control API and proxies."""

    def __init__(self) -> None:
        self.percent_of_core: list[float] = []

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Measures the time of the block."""
        own = psutil.Process()
        watching = [own, *(each for each in own.children(recursive=True) if _is_for_page(each))]
        before_s, started_s = _cpu_s(watching), time.monotonic()
        yield
        elapsed_s = time.monotonic() - started_s
        self.percent_of_core.append(100 * (_cpu_s(watching) - before_s) / elapsed_s)


def _is_for_page(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return any("chrom" in part or part == "watch.service" for part in process.cmdline())
    return False


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    total_s = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):  # a process of the browser may have ended
            times = process.cpu_times()
            total_s += times.user + times.system
    return total_s


def measure(
    couchdb: CouchDB, rounds: int, seconds: int, logs: Path, bystanders: Mapping[str, Bystanders]
) -> Rounds:
    """Each contender in every round, in slices of `seconds`, on fresh databases each round.

    `bystanders` are measured while the contender of their name has its turn.

    Raises:
        SuiteError: something can't be started.
    """
    results: Rounds = collections.defaultdict(list)
    load = Load(_CONNECTIONS, seconds, _PERCENT_PUT)
    with running_browser() as browser:
        for i in range(rounds):
            print(f"Round {i + 1} of {rounds}", flush=True)
            with _services(couchdb, logs) as (off, on, proxied), _page(on, couchdb, logs) as url:
                under_load = {OFF: off, ON: on, WATCHED: on, PROXIED: proxied}
                services = {
                    name: ServiceUnderLoad(
                        name, each.url, each.process.pid, _FRUITS, lambda: {"color": "red"}
                    )
                    for name, each in under_load.items()
                }
                for service in services.values():
                    service.put_slice(_WARM_UP, Measured())
                measured = {name: Measured() for name in CONTENDERS}
                for number in range(_SLICES):
                    for name in alternated(CONTENDERS, i + number):
                        with (
                            _opened(browser, url) if name == WATCHED else contextlib.nullcontext(),
                            bystanders[name].measured() if name in bystanders else contextlib.nullcontext(),
                        ):
                            services[name].put_slice(load, measured[name])
            for name, each in measured.items():
                results[name].append(each)
                print(f"  {name:29} {each.successes_per_s:8,.0f}/s {each.cpu_ms:6.2f} ms of CPU", flush=True)
    return results


@contextlib.contextmanager
def _services(couchdb: CouchDB, logs: Path) -> Iterator[Sequence[Service]]:
    """The same sample without events, with them, and with them through proxies, on databases of their own."""
    sample = sample_named(_SAMPLE).anywhere()
    with contextlib.ExitStack() as stack:
        loop = stack.enter_context(EventLoopThread())
        link = stack.enter_context(Link(couchdb.urls, loop))
        services = []
        for name in ("off", "on", "proxied"):
            (command,) = stack.enter_context(installed([sample], couchdb, f"benchmark_{name}"))
            if name != "off":
                command = command.with_events()
            if name == "proxied":
                command = dataclasses.replace(command, link_url=link.through(command.database_url))
            (logs / name).mkdir(exist_ok=True)
            services += stack.enter_context(running([command], logs / name))
        yield services


@contextlib.contextmanager
def _page(service: Service, couchdb: CouchDB, logs: Path) -> Iterator[str]:
    """The URL of a page that watches the service."""
    with (
        EventLoopThread() as loop,
        staged([service], logs, couchdb, print, loop=loop) as stage,
        Switchboard([], print) as switchboard,
        control_server(
            Controls(stage, switchboard, LoadControl("http://127.0.0.1:1", stage.supervisor)), loop
        ) as control,
    ):
        port = free_ports(1)[0]
        environment = {**service.command.environment, **control.environment}
        with watch_page(port, service.command.database_url, logs, environment):
            yield f"http://127.0.0.1:{port}/"


@contextlib.contextmanager
def _opened(browser: Browser, url: str) -> Iterator[None]:
    """The page is open, and shows the sample."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    try:
        page.goto(url)
        page.wait_for_selector("#rungs article")
        page.wait_for_timeout(1000 * _SETTLE_S)  # to load it once costs more than to show it for a while
        yield
    finally:
        page.close()


def write(
    folder: Path,
    results: Rounds,
    bystanders: Mapping[str, Bystanders],
    seconds: int,
    surroundings: Sequence[str],
) -> Path:
    """Writes the table; where it is."""
    rounds = len(results[OFF])
    rate = {name: [each.successes_per_s for each in results[name]] for name in CONTENDERS}
    cpu = {name: [each.cpu_ms for each in results[name]] for name in CONTENDERS}
    rows = [
        [
            name,
            report.median_with_range(rate[name]),
            f"{report.median_ratio(rate[name], rate[ON]):.3f}",
            report.median_with_range(cpu[name], 2),
            f"{report.median_ratio(cpu[name], cpu[ON]):.3f}",
        ]
        for name in CONTENDERS
    ]
    header = ("", "successes a second", "ratio", "ms of CPU an answer", "ratio")
    sections = [
        "  \n".join(surroundings),
        f"{_SAMPLE}, {_CONNECTIONS} connections on {_FRUITS} fruits, {_PERCENT_PUT} % changes. Medians of "
        f"{rounds} rounds of {_SLICES} slices of {seconds} s each, in alternating order; ratios to a service "
        "with events and without a page are medians of the rounds' ratios. The browser is Chromium without a "
        "graphics card, on the same cores; CPU is that of the service's process. The proxies do no harm. "
        "In a run they are between services and database, so that faults can be switched on.",
        report.table(header, rows),
        f"Browser, page's service and control API take {_percent(bystanders[WATCHED])} while the page is "
        f"open, and the proxies {_percent(bystanders[PROXIED])} while they are in the way. Those are the "
        "steadiest figures: other work on the machine changes the rates from one slice to the next.",
    ]
    return report.write(folder, "watch", "What watching costs", sections)


def _percent(bystanders: Bystanders) -> str:
    return f"{report.median_with_range(bystanders.percent_of_core, 1)} % of one core"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    settings.add_options(parser, seconds=4)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured.
    """
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb, f"wrk {wrk_version()}")
        bystanders = {name: Bystanders() for name in (WATCHED, PROXIED)}
        results = measure(couchdb, options.rounds, options.seconds, settings.RUN_FOLDER, bystanders)
    print(f"Written to {write(options.results, results, bystanders, options.seconds, surroundings)}")
    return 0
