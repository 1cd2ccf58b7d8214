"""A retry storm: the database is slow for some seconds. When do clients succeed again?

Clients arrive at a constant rate, and each gives up long before a queue of some seconds is served. The
database goes on with requests whose clients have left, as CouchDB does. So immediate retries can keep it busy
for nobody, long after the cause has gone (Bronson et al., "Metastable Failures in Distributed
Systems", 2021).
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiohttp import web

from benchmarks.measuring import plots, report, settings
from benchmarks.measuring.machine import describe
from benchmarks.measuring.rounds import alternated
from suite.couchdb import CouchDB
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError, TransportError
from tor_async_couchdb.retries import Pause, RetryBudget, RetryStrategy, full_jitter, immediately
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request

_CLIENTS_PER_S = 50
_SERVICE_TIME_S = 0.01
_SLOW_SERVICE_TIME_S = 0.2
_SLOW_FROM_S, _SLOW_UNTIL_S, _END_S = 4.0, 7.0, 25.0
_TIMEOUT_S = 1.0
_MAX_RETRIES = 3
# Enough processes for their pools of connections not to hold the storm back.
_PROCESSES = 8
_TOKENS = 10.0  # enough for a hiccup at this rate; the library's own are for hundreds of requests a second
_RECOVERED = 0.9
_STEP_S = 0.25
_DRAIN_TIMEOUT_S = 60.0


@dataclasses.dataclass(frozen=True)
class Policy:
    """How a client whose request timed out tries again."""

    max_retries: int
    pause: Pause = immediately
    has_budget: bool = False

    def strategy(self) -> RetryStrategy:
        """A process's strategy, with a budget of its own if it has one."""
        budget = RetryBudget(max_tokens=_TOKENS) if self.has_budget else None
        return RetryStrategy(self.pause, max_retries=self.max_retries, retry_if=_is_unanswered, budget=budget)


_JITTER = full_jitter(base_s=0.5, cap_s=4.0)

POLICIES = {
    "no retries": Policy(0),
    "at once": Policy(_MAX_RETRIES),
    "full jitter": Policy(_MAX_RETRIES, _JITTER),
    "at once, budget": Policy(_MAX_RETRIES, has_budget=True),
    "full jitter, budget": Policy(_MAX_RETRIES, _JITTER, has_budget=True),
}


def _is_unanswered(error: CouchDBError) -> bool:
    return isinstance(error, TransportError)


@dataclasses.dataclass(frozen=True)
class Storm:
    """When clients succeeded, in seconds since the beginning, and how many requests CouchDB got."""

    succeeded_s: list[float]
    clients: int
    requests: int

    @property
    def goodput(self) -> list[int]:
        """Successes in each second."""
        by_second = collections.Counter(int(moment_s) for moment_s in self.succeeded_s)
        return [by_second[second] for second in range(int(_END_S))]


def recovery_s(succeeded_s: Sequence[float], slow_from_s: float, slow_until_s: float, end_s: float) -> float:
    """Seconds from the end of the slowness until goodput is back above 90 %, for good; math.inf: never.

    Goodput is that of the second that follows; what it has to come back to is that before the slowness.
    """
    normal_per_s = sum(moment_s < slow_from_s for moment_s in succeeded_s) / slow_from_s
    recovered_s = start_s = slow_until_s
    while start_s + 1.0 <= end_s:
        successes = sum(start_s <= moment_s < start_s + 1.0 for moment_s in succeeded_s)
        start_s += _STEP_S
        if successes < _RECOVERED * normal_per_s:
            recovered_s = start_s
    return recovered_s - slow_until_s if recovered_s + 1.0 <= end_s else math.inf


class _Queue:
    """Lets requests through one after the other, each after the time that the database takes for it."""

    def __init__(self) -> None:
        self.service_time_s = _SERVICE_TIME_S
        self._turn = asyncio.Lock()
        self._free_s = 0.0
        self._unanswered = 0
        self._is_idle = asyncio.Event()

    async def __call__(self, request: Request) -> web.StreamResponse:
        self._unanswered += 1
        self._is_idle.clear()
        try:
            async with self._turn:
                self._free_s = max(self._free_s, time.monotonic()) + self.service_time_s
                await asyncio.sleep(self._free_s - time.monotonic())
            return await request.forward()
        finally:
            self._unanswered -= 1
            if self._unanswered == 0:
                self._is_idle.set()

    async def drain(self) -> None:
        """Serves those who wait at once, and returns when none is left."""
        self.service_time_s = 0.0
        async with asyncio.timeout(_DRAIN_TIMEOUT_S):
            await self._is_idle.wait()


def measure(couchdb: CouchDB, rounds: int) -> dict[str, list[Storm]]:
    """Every policy in every round."""
    storms: dict[str, list[Storm]] = collections.defaultdict(list)
    with couchdb.installed_database("benchmark") as url:
        for i in range(rounds):
            print(f"Round {i + 1} of {rounds}", flush=True)
            for name in alternated(list(POLICIES), i):
                storm = asyncio.run(_run(couchdb, url, POLICIES[name]))
                storms[name].append(storm)
                print(f"  {name:20} {_recovery(storm):6.1f} s  {storm.goodput}", flush=True)
    return storms


async def _run(couchdb: CouchDB, url: str, policy: Policy) -> Storm:
    queue = _Queue()
    async with contextlib.AsyncExitStack() as stack:
        proxy = await stack.enter_async_context(FaultProxy(url.split(",")[0]))
        proxy.inject(queue, times=math.inf)
        processes = []
        for _ in range(_PROCESSES):
            database = Database(
                proxy.url, username=couchdb.username, password=couchdb.password, timeout_s=_TIMEOUT_S
            )
            processes.append((await stack.enter_async_context(database), policy.strategy()))
        document_id = await processes[0][0].new_document_id()
        rev = await processes[0][0].save({"_id": document_id})
        started_s = time.monotonic()
        loop = asyncio.get_running_loop()
        loop.call_later(_SLOW_FROM_S, setattr, queue, "service_time_s", _SLOW_SERVICE_TIME_S)
        loop.call_later(_SLOW_UNTIL_S, setattr, queue, "service_time_s", _SERVICE_TIME_S)
        succeeded_s: list[float] = []

        async def ask(database: Database, strategy: RetryStrategy) -> None:
            with contextlib.suppress(TransportError):
                # A read that is never coalesced: coalescing would not let the storm rise.
                await strategy.run(lambda: database.fetch_revision(document_id, rev))
                succeeded_s.append(time.monotonic() - started_s)

        async with asyncio.TaskGroup() as clients:
            for number, (database, strategy) in enumerate(itertools.cycle(processes)):
                due_s = number / _CLIENTS_PER_S
                if due_s >= _END_S:
                    break
                await asyncio.sleep(started_s + due_s - time.monotonic())
                clients.create_task(ask(database, strategy))
        await queue.drain()
        return Storm(succeeded_s, number, len(proxy.requests))


def _recovery(storm: Storm) -> float:
    return recovery_s(storm.succeeded_s, _SLOW_FROM_S, _SLOW_UNTIL_S, _END_S)


def write(
    folder: Path, storms: Mapping[str, Sequence[Storm]], rounds: int, surroundings: Sequence[str]
) -> Path:
    """Writes the table and the plot; where the table is."""
    header = (
        "after a timeout",
        "seconds to 90 % of the goodput",
        "requests a client",
        "clients that succeeded",
    )
    sections = [
        "  \n".join(surroundings),
        f"Medians of {rounds} rounds in alternating order. {_CLIENTS_PER_S} clients a second read a document "
        f"through a proxy that lets {1 / _SERVICE_TIME_S:.0f} requests a second through, one after the "
        f"other, but {1 / _SLOW_SERVICE_TIME_S:.0f} from second {_SLOW_FROM_S:.0f} to {_SLOW_UNTIL_S:.0f}. A "
        f"client waits {_TIMEOUT_S:.0f} s for an answer, and retries at most {_MAX_RETRIES} times. Clients "
        f"belong to {_PROCESSES} processes; a budget has {_TOKENS:.0f} tokens a process. Seconds are from "
        f"the end of the slowness; the run ends {_END_S - _SLOW_UNTIL_S:.0f} s after it.",
        "![goodput](storm.svg)",
        report.table(header, [_cells(name, of_policy) for name, of_policy in storms.items()]),
    ]
    lines = {
        name: [
            (second + 0.5, report.median([storm.goodput[second] for storm in of_policy]))
            for second in range(int(_END_S))
        ]
        for name, of_policy in storms.items()
    }
    title = f"slow from second {_SLOW_FROM_S:.0f} to {_SLOW_UNTIL_S:.0f}"
    plots.draw_lines(folder / "storm.svg", {title: lines}, x="second", y="successes/s")
    return report.write(folder, "storm", "A retry storm", sections)


def _cells(name: str, storms: Sequence[Storm]) -> list[str]:
    recoveries = [_recovery(storm) for storm in storms]
    recovered = report.median(recoveries)
    return [
        name,
        "never" if recovered == math.inf else report.median_with_range(recoveries, 1),
        report.median_with_range([storm.requests / storm.clients for storm in storms], 2),
        report.median_with_range([100 * len(storm.succeeded_s) / storm.clients for storm in storms]) + " %",
    ]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    settings.add_options(parser)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: something can't be measured, or a change was lost.
    """
    plots.check_installed()
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb)
        storms = measure(couchdb, options.rounds)
    print(f"Written to {write(options.results, storms, options.rounds, surroundings)}")
    return 0
