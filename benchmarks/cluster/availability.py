"""What clients of a service get while nodes of a cluster are killed or hang, and from when to when.

    python -m benchmarks cluster_availability --fault "one node hangs" \\
        --break 'kill -STOP 1234' --mend 'kill -CONT 1234'

COUCHDB_URL names the nodes, separated by commas. Each client changes a fruit of its own and reads it.
"""

import argparse
import asyncio
import collections
import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import hardware
from benchmarks.measuring.shell import shell
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import running
from suite.table import sample_named

_SAMPLE = "crud/exp_backoff"
_REQUEST_TIMEOUT_S = 40.0  # a service answers within its deadline, 30 s
_PAUSE_S = 0.1
_PARTS = 4  # of an outage, each with a row of its own


class Answer(NamedTuple):
    """A request: when it was sent and how long it took, in seconds, and what came of it."""

    at_s: float
    duration_s: float
    is_change: bool
    what: str


@dataclasses.dataclass
class Load:
    """All answers, when the fault began and ended, and what is wrong in the end."""

    answers: list[Answer] = dataclasses.field(default_factory=list)
    broken_s: float = 0.0
    mended_s: float = 0.0
    wrong: list[str] = dataclasses.field(default_factory=list)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--fault", metavar="NAME", help="what the commands do")
    parser.add_argument("--break", dest="break_", metavar="COMMAND", help="begins the fault")
    parser.add_argument("--mend", metavar="COMMAND", help="ends it")
    parser.add_argument("--clients", type=settings.count, default=6, help="each with a fruit of its own")
    parser.add_argument("--seconds", type=settings.count, default=80, help="length of the fault")
    settings.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: an option is missing, COUCHDB_URL names no cluster, or an acknowledged change was lost.
    """
    if not (options.fault and options.break_ and options.mend):
        raise SuiteError("Give all of --fault, --break and --mend.")
    with settings.couchdb_to_measure() as couchdb:
        if not couchdb.other_urls:
            raise SuiteError("COUCHDB_URL has to name several nodes of a cluster, separated by commas.")
        load = _measure(couchdb, options)
    print(f"Written to {_write(options, load)}")
    if load.wrong:
        raise SuiteError("; ".join(load.wrong))
    return 0


def _measure(couchdb: CouchDB, options: argparse.Namespace) -> Load:
    load = Load()
    with (
        installed([sample_named(_SAMPLE).anywhere()], couchdb, "availability") as commands,
        running(commands, settings.RUN_FOLDER) as services,
    ):
        asyncio.run(_drive(services[0].url, options, load))
    return load


async def _drive(url: str, options: argparse.Namespace, load: Load) -> None:
    timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        clients = [_Client(session, f"{url}/v1.0/fruits", load) for _ in range(options.clients)]
        await asyncio.gather(*(client.create() for client in clients))
        tasks = [asyncio.create_task(client.run()) for client in clients]
        before_s = after_s = options.seconds / _PARTS
        await asyncio.sleep(before_s)
        load.broken_s = time.monotonic()
        await shell(options.break_)
        await asyncio.sleep(options.seconds)
        load.mended_s = time.monotonic()
        await shell(options.mend)
        await asyncio.sleep(after_s)
        for client in clients:
            client.is_done = True
        await asyncio.gather(*tasks)
        load.wrong = [wrong for client in clients if (wrong := await client.verdict())]


class _Client:
    """Changes a fruit and reads it, in turns."""

    def __init__(self, session: aiohttp.ClientSession, url: str, load: Load) -> None:
        self._session = session
        self._url = url
        self._load = load
        self._acknowledged = self._unknown = 0
        self.is_done = False

    async def create(self) -> None:
        async with self._session.post(self._url, json={"color": "red"}) as answer:
            answer.raise_for_status()
            self._url += f"/{(await answer.json())['fruit_id']}"

    async def run(self) -> None:
        while not self.is_done:
            what = await self._ask("PUT")
            self._acknowledged += what == "200"
            self._unknown += what != "200"
            await self._ask("GET")
            await asyncio.sleep(_PAUSE_S)

    async def _ask(self, method: str) -> str:
        started_s = time.monotonic()
        body = {"color": "red"} if method == "PUT" else None
        try:
            async with self._session.request(method, self._url, json=body) as answer:
                content = await answer.json()
                what = str(answer.status)
                if answer.status != 200:
                    what += f" {content.get('type', '').rpartition(':')[2]}: {content.get('title', '')}"
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            what = type(error).__name__
        self._load.answers.append(Answer(started_s, time.monotonic() - started_s, method == "PUT", what))
        return what

    async def verdict(self) -> str:
        """What is wrong with the count of changes in the fruit; nothing if all is well."""
        async with self._session.get(self._url) as answer:
            count: int = (await answer.json())["change_count"]
        if self._acknowledged <= count <= self._acknowledged + self._unknown:
            return ""
        return f"{self._acknowledged} acknowledged, {self._unknown} of unknown outcome, {count} counted"


def _write(options: argparse.Namespace, load: Load) -> Path:
    part_s = options.seconds / _PARTS
    spans = [("before", load.broken_s - part_s, load.broken_s)]
    for part in range(_PARTS):
        begin_s = load.broken_s + part * part_s
        spans.append((f"{part * part_s:.0f} to {(part + 1) * part_s:.0f} s", begin_s, begin_s + part_s))
    spans.append(("after", load.mended_s, load.mended_s + part_s))
    rows = [[name, *_figures(load.answers, begin_s, end_s)] for name, begin_s, end_s in spans]
    refusals = collections.Counter(answer.what for answer in load.answers if answer.what != "200")
    header = [
        "sent",
        "changes made/s",
        "refused",
        "slowest (s)",
        "reads answered/s",
        "refused",
        "slowest (s)",
    ]
    return report.write(
        options.results / "cluster_availability",
        options.fault.replace(" ", "_"),
        f"A cluster of three nodes, and a fault: {options.fault}",
        [
            f"crud/exp_backoff, {options.clients} clients, each of which changes and reads a fruit of its "
            f"own. A row is for requests that were sent so long after the fault began. {hardware()}.",
            report.table(header, rows),
            _listed(refusals),
            f"In the end each fruit counts all acknowledged changes: {'no' if load.wrong else 'yes'}.",
        ],
    )


def _figures(answers: Sequence[Answer], begin_s: float, end_s: float) -> list[str]:
    figures = []
    for is_change in (True, False):
        those = [each for each in answers if begin_s <= each.at_s < end_s and each.is_change is is_change]
        good = [each for each in those if each.what == "200"]
        slowest_s = max((each.duration_s for each in those), default=0.0)
        figures += [f"{len(good) / (end_s - begin_s):.1f}", str(len(those) - len(good)), f"{slowest_s:.1f}"]
    return figures


def _listed(refusals: collections.Counter[str]) -> str:
    if not refusals:
        return "No request was refused."
    lines = [f"- {count:,} times {what}" for what, count in refusals.most_common()]
    return "\n".join(["Refusals:", "", *lines])
