"""All samples under a light load with the watch page open, for an hour: does a process grow, or the page?"""

import argparse
import collections
import contextlib
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import psutil  # type: ignore[import-untyped]  # it has no types
import requests
from playwright.sync_api import CDPSession, Page, ViewportSize

from benchmarks.measuring import report, settings
from benchmarks.measuring.browser import running_browser
from benchmarks.measuring.machine import hardware
from suite.environment_file import NAME as ENVIRONMENT
from suite.processes import Process, signals_wait
from suite.table import SAMPLES
from tor_async_etcd.testing import free_ports

_FRUITS = 5
_PERCENT_PUT = 80
_START_TIMEOUT_S = 180.0
_STOP_TIMEOUT_S = 180.0
_POLL_INTERVAL_S = 0.1
_REQUEST_TIMEOUT_S = 60.0
_TALL: ViewportSize = {"width": 1280, "height": 6000}  # all panels are on the screen: others are not drawn
_KIB, _MIB = 2**10, 2**20
# What is kept of the last minutes, and what is loaded once, is there after the first sixth.
_PARTS = 6
_MAX_GROWTH = 1.25

PAGE_HEAP, PAGE_NODES, PAGE_LISTENERS = "JavaScript heap, KiB", "DOM nodes", "event listeners"
_PAGE_METRICS = {PAGE_HEAP: "JSHeapUsedSize", PAGE_NODES: "Nodes", PAGE_LISTENERS: "JSEventListeners"}
STAND_IN = "the stand-in for CouchDB"
# What the processes are that are no services, by a word in their commands.
_OTHERS = {
    "watch.service": "the page's service",
    "locust": "locust",
    "server.js": STAND_IN,
    "function_process.js": "the stand-in's views",
    "etcd": "etcd",
}
_RUN = "the run: proxies, faults, control API"

# What was read of each process or of the page, in the order of time.
Readings = Mapping[str, Sequence[float]]


class Run:
    """The suite as a process of its own, on free ports; it is ready when the block begins."""

    def __init__(self, folder: Path, users: int, pace: float) -> None:
        self.folder = folder
        self._users = users
        self._pace = pace

    def __enter__(self) -> Self:
        page_port, watch_port = free_ports(2)
        self.watch_url = f"http://127.0.0.1:{watch_port}/"
        command = [sys.executable, "-m", "suite.elsewhere", str(self.folder), str(page_port), str(watch_port)]
        environment = {"LOADGEN_PACE": str(self._pace), "COLUMNS": "80"}
        with contextlib.ExitStack() as stack:
            with signals_wait():
                log = self.folder / "run.log"
                self._process = Process("The run", [*command, "--no-load"], log, environment)
                stack.enter_context(self._process)
            self._process.wait_until(lambda: "Ctrl-C ends everything." in log.read_text(), _START_TIMEOUT_S)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        # Killed any earlier, it would leave its twenty services behind.
        self._process.ask_to_stop()
        deadline_s = time.monotonic() + _STOP_TIMEOUT_S
        while self._process.is_running and time.monotonic() < deadline_s:
            time.sleep(_POLL_INTERVAL_S)
        self._stack.close()

    def start_load(self) -> None:
        """Puts the load on all samples that are meant for it."""
        samples = [sample.name for sample in SAMPLES if sample.is_under_load]
        load = {"samples": samples, "users": self._users, "fruits": _FRUITS, "percent_put": _PERCENT_PUT}
        self._ask("PUT", "load", load)

    def acknowledged(self) -> int:
        """How many changes were acknowledged so far."""
        return sum(books["acknowledged"] for books in self._ask("GET", "books").values())

    def lost(self) -> int:
        """How many of them are known to be lost."""
        return sum(books["lost"] for books in self._ask("GET", "books").values())

    def memory_mib(self) -> dict[str, float]:
        """The resident memory of each of its processes."""
        labels = {service["pid"]: service["label"] for service in self._ask("GET", "services")}
        run = psutil.Process(self._process.pid)
        memory = {_RUN: run.memory_info().rss / _MIB}
        for process in run.children(recursive=True):
            with contextlib.suppress(psutil.Error):  # it has ended since
                name = labels.get(process.pid) or _name_of(process)
                memory[name] = memory.get(name, 0.0) + process.memory_info().rss / _MIB
        return memory

    def _ask(self, method: str, path: str, body: object = None) -> Any:
        environment = _environment(self.folder)
        answer = requests.request(
            method,
            f"{environment['SUITE_CONTROL_URL']}/{path}",
            headers={"Authorization": f"Bearer {environment['SUITE_CONTROL_TOKEN']}"},
            json=body,
            timeout=_REQUEST_TIMEOUT_S,
        )
        answer.raise_for_status()
        return answer.json()


def _environment(folder: Path) -> dict[str, str]:
    words = shlex.split((folder / ENVIRONMENT).read_text())
    return dict(word.split("=", 1) for word in words if "=" in word)


def _name_of(process: psutil.Process) -> str:
    command = process.cmdline()
    known = (name for word, name in _OTHERS.items() if any(word in part for part in command))
    return next(known, " ".join(Path(part).name for part in command[:3]))


class OpenPage:
    """What the page takes, as Chromium counts it once it has collected its garbage."""

    def __init__(self, page: Page) -> None:
        self._client: CDPSession = page.context.new_cdp_session(page)
        self._client.send("Performance.enable")

    def metrics(self) -> dict[str, float]:
        """The size of its heap, and the numbers of its nodes and listeners."""
        self._client.send("HeapProfiler.collectGarbage")
        found = self._client.send("Performance.getMetrics")["metrics"]
        by_name = {each["name"]: float(each["value"]) for each in found}
        metrics = {name: by_name[key] for name, key in _PAGE_METRICS.items()}
        return metrics | {PAGE_HEAP: metrics[PAGE_HEAP] / _KIB}


def read(run: Run, duration_s: int, interval_s: int) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """The memory of the run's processes, and what the page takes, every `interval_s` seconds."""
    memory: dict[str, list[float]] = collections.defaultdict(list)
    of_page: dict[str, list[float]] = collections.defaultdict(list)
    with _opened_page(run.watch_url) as (page, open_page):
        run.start_load()
        started_s = time.monotonic()
        while True:
            processes, metrics = run.memory_mib(), open_page.metrics()
            elapsed_s = time.monotonic() - started_s
            for name, value in processes.items():
                memory[name].append(value)
            for name, value in metrics.items():
                of_page[name].append(value)
            sums = f"all processes {sum(processes.values()):,.0f} MiB, heap {metrics[PAGE_HEAP]:,.0f} KiB"
            print(f"{elapsed_s:6,.0f} s: {sums}, {run.acknowledged():,} changes", flush=True)
            if elapsed_s >= duration_s:
                return memory, of_page
            # Not time.sleep: Playwright takes what the browser reports only inside of its own calls.
            page.wait_for_timeout(1000 * min(interval_s, max(duration_s - elapsed_s, 1)))


@contextlib.contextmanager
def _opened_page(url: str) -> Iterator[tuple[Page, OpenPage]]:
    with running_browser() as browser:
        page = browser.new_page(viewport=_TALL)
        page.goto(url)
        page.wait_for_selector("#rungs article")
        yield page, OpenPage(page)


def grown(readings: Readings, *, at_most: float = _MAX_GROWTH) -> dict[str, float]:
    """What has a growth above `at_most`, and which one.

    That of the stand-in does not count: Node.js collects garbage late, and takes memory in the meantime.
    """
    ratios = {name: growth(values) for name, values in readings.items() if name != STAND_IN}
    return {name: ratio for name, ratio in ratios.items() if ratio > at_most}


def growth(values: Sequence[float]) -> float:
    """How many times as large it is in the last sixth as in the second one; each is a median."""
    second, last = _sixths(values)
    return last / second


def _sixths(values: Sequence[float]) -> tuple[float, float]:
    size = max(len(values) // _PARTS, 1)
    second = values[size : 2 * size] or values  # of a process that has been there for one reading
    return report.median(second), report.median(values[-size:])


def _rows(readings: Readings, digits: int) -> list[list[str]]:
    rows = []
    for name, values in readings.items():
        shown = (values[0], *_sixths(values), max(values))
        rows.append([name, *(f"{value:,.{digits}f}" for value in shown), f"{growth(values):.2f}"])
    return rows


def write(folder: Path, memory: Readings, of_page: Readings, load: str, surroundings: Sequence[str]) -> Path:
    """Writes the tables; where they are."""
    header = ("at first", "second sixth", "last sixth", "most", "growth")
    sections = [
        "  \n".join(surroundings),
        f"{load} Each reading of the page follows a garbage collection. The second and the last sixth of "
        "the time are medians of their readings, and growth is their ratio: what is loaded once, and the "
        "minutes that page and services keep, are there after the first sixth. Locust keeps about nine bytes "
        "for each request of a load, so that its percentiles are exact. Node.js collects the stand-in's "
        "garbage late: what it takes says little about what it holds.",
        report.table(("resident memory, MiB", *header), _rows(dict(sorted(memory.items())), 1)),
        report.table(("the page in Chromium", *header), _rows(of_page, 0)),
    ]
    return report.write(folder, "long_run", "Memory in a long run", sections)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--duration", type=settings.count, default=3600, metavar="SECONDS", help="how long")
    parser.add_argument(
        "--interval", type=settings.count, default=60, metavar="SECONDS", help="how long between two readings"
    )
    parser.add_argument("--users", type=settings.count, default=8, help="how many clients, on all samples")
    parser.add_argument(
        "--pace", type=settings.count, default=4, help="how often a second each of them asks at most"
    )
    settings.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status is 1 if something grew, or a change was lost.

    Raises:
        SuiteError: something can't be started.
    """
    with tempfile.TemporaryDirectory() as folder, Run(Path(folder), options.users, options.pace) as suite:
        started_s = time.monotonic()
        memory, of_page = read(suite, options.duration, options.interval)
        minutes = (time.monotonic() - started_s) / 60
        acknowledged, lost = suite.acknowledged(), suite.lost()
    load = (
        f"All samples, with the watch page open, for {minutes:.0f} minutes: {options.users} users, each "
        f"{options.pace} times a second at most, on {_FRUITS} fruits in each sample; {acknowledged:,} "
        f"changes were acknowledged, {lost} lost."
    )
    database = "the CouchDB of COUCHDB_URL" if "COUCHDB_URL" in os.environ else "the stand-in"
    surroundings = [
        f"{hardware()}; shared by load, services, database and browser.",
        f"Database: {database}.",
    ]
    print(f"Written to {write(options.results, memory, of_page, load, surroundings)}")
    too_much = grown({**memory, **of_page})
    for name, ratio in too_much.items():
        print(f"{name} has grown to {ratio:.2f} times its size.", file=sys.stderr)
    return 1 if too_much or lost else 0
