"""What each pause between retries costs in time and in calls, for many writers of one document."""

import argparse
import asyncio
import collections
import contextlib
import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.contention.simulation import Outcome, network_delay_s, simulate
from benchmarks.contention.strategies import PUBLISHED, STRATEGIES
from benchmarks.measuring import plots, report, settings
from benchmarks.measuring.fruits import check_changes
from benchmarks.measuring.machine import describe
from benchmarks.measuring.rounds import alternated
from suite.couchdb import CouchDB
from tor_async_couchdb.calls import Call
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries import Pause, RetryStrategy

WRITERS = (10, 50, 100, 190)
MANY_WRITERS = (1_000, 10_000, 100_000)
_SIMULATIONS = 20
_SERVICE_TIME_S = 0.001
_LIMIT_S = 600.0
_SEED = 2015

_Cell = tuple[str, int]  # a strategy and a number of writers


class _WriteCounter(Observer):
    def __init__(self) -> None:
        self.calls: collections.Counter[str] = collections.Counter()

    def request_finished(self, call: Call, *outcome: Any) -> None:
        self.calls[call.operation] += 1


def measure(
    couchdb: CouchDB, rounds: int, writer_counts: Sequence[int] = WRITERS
) -> dict[_Cell, list[Outcome]]:
    """Every strategy with every number of writers, over HTTP, in every round.

    Raises:
        SuiteError: an update was lost.
    """
    outcomes: dict[_Cell, list[Outcome]] = collections.defaultdict(list)
    generator = random.Random(_SEED)  # noqa: S311 - of a model, not of secrets
    with couchdb.installed_database("benchmark") as url:
        for i in range(rounds):
            print(f"Round {i + 1} of {rounds}", flush=True)
            for writers in writer_counts:
                for name in alternated(list(STRATEGIES), i):
                    pause = STRATEGIES[name](generator.random)
                    outcome = asyncio.run(_race(couchdb, url, writers, pause, generator))
                    outcomes[name, writers].append(outcome)
                    print(f"  {writers:4} writers  {name:20} {_cell([outcome])}", flush=True)
    return outcomes


async def _race(couchdb: CouchDB, url: str, writers: int, pause: Pause, generator: random.Random) -> Outcome:
    """Each writer is a client of its own, as far away as in the model: its calls are never coalesced."""
    counter = _WriteCounter()
    async with contextlib.AsyncExitStack() as stack:
        databases = [
            await stack.enter_async_context(
                Database(
                    url,
                    username=couchdb.username,
                    password=couchdb.password,
                    observer=counter,
                    timeout_s=60.0,
                )
            )
            for _ in range(writers)
        ]
        document_id = await databases[0].new_document_id()
        await databases[0].save({"_id": document_id, "change_count": 0})
        for database in databases:  # which opens their connections
            await database.fetch(document_id)
        counter.calls.clear()
        started_s = time.monotonic()
        await asyncio.gather(*(_write(database, document_id, pause, generator) for database in databases))
        duration_s = time.monotonic() - started_s
        change_count = (await databases[0].fetch(document_id))["change_count"]
    check_changes("a race", change_count, at_least=writers, at_most=writers)
    return Outcome(writers, writers, duration_s, counter.calls["POST /{db}/_bulk_docs"])


async def _write(database: Database, document_id: str, pause: Pause, generator: random.Random) -> None:
    async def network() -> None:
        await asyncio.sleep(network_delay_s(generator))

    async def attempt() -> None:
        await network()
        document = await database.fetch(document_id)
        await network()
        await network()
        try:
            await database.save(document | {"change_count": document["change_count"] + 1})
        finally:
            await network()

    await RetryStrategy(pause, max_retries=None).run(attempt)


def write(
    folder: Path, measured: dict[_Cell, list[Outcome]], rounds: int, surroundings: Sequence[str]
) -> Path:
    """Simulates the same and more, and writes the tables and the plot; where the tables are."""
    generator = random.Random(_SEED)  # noqa: S311 - of a model, not of secrets
    unlimited = {cell: _simulations(*cell, generator, service_time_s=0.0) for cell in measured}
    limited = {cell: _simulations(*cell, generator, service_time_s=_SERVICE_TIME_S) for cell in measured}
    _draw(folder / "contention.svg", {"over HTTP": measured, "simulated, 1 ms a request": limited})
    sections = [
        "  \n".join(surroundings),
        f"Over HTTP: medians of {rounds} rounds in alternating order, one document, and one client a writer; "
        "each message is delayed as in the model, by |N(10, 2)| ms. Each cell: completion in ms / calls to "
        "write, each after one read. In the end the document had every writer's change.",
        "![completion and calls](contention.svg)",
        "## All at once on one document",
        report.table(
            ("writers", "pause", "published simulation", "this simulation", "1 ms a request", "over HTTP"),
            [_row(*cell, [unlimited[cell], limited[cell], measured[cell]]) for cell in measured],
        ),
        "## Simulated: a server that takes 1 ms a request, for ten minutes",
        "The published simulation's server has no limit. This one has: one request after the other, in the "
        "order in which they come. One writer after the other would need two requests each: 2 s for 1,000 "
        "writers, 20 s for 10,000, 200 s for 100,000.",
        report.table(
            ("writers", "pause", "succeeded", "seconds", "calls to write"), _limited_rows(generator)
        ),
    ]
    return report.write(folder, "contention", "Contention: pauses between retries", sections)


def _simulations(name: str, writers: int, generator: random.Random, service_time_s: float) -> list[Outcome]:
    pause = STRATEGIES[name](generator.random)
    return [simulate(writers, pause, generator, service_time_s=service_time_s) for _ in range(_SIMULATIONS)]


def _row(name: str, writers: int, outcomes: Sequence[Sequence[Outcome]]) -> list[str]:
    published = PUBLISHED.get(name, {}).get(writers)
    cell = "" if published is None else f"{published[0]:,} / {published[1]:,}"
    return [str(writers), name, cell, *map(_cell, outcomes)]


def _cell(outcomes: Sequence[Outcome]) -> str:
    duration_ms = report.median_with_range([outcome.duration_s * 1000 for outcome in outcomes])
    return f"{duration_ms} / {report.median_with_range([outcome.write_calls for outcome in outcomes])}"


def _limited_rows(generator: random.Random) -> list[list[str]]:
    rows = []
    for writers in MANY_WRITERS:
        for name, make in STRATEGIES.items():
            pause = make(generator.random)
            outcome = simulate(writers, pause, generator, service_time_s=_SERVICE_TIME_S, limit_s=_LIMIT_S)
            figures = [f"{outcome.succeeded:,}", f"{outcome.duration_s:,.0f}", f"{outcome.write_calls:,}"]
            rows.append([f"{writers:,}", name, *figures])
    return rows


def _draw(path: Path, outcomes: Mapping[str, Mapping[_Cell, Sequence[Outcome]]]) -> None:
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for title, cells in outcomes.items():
        panels[title] = {name: [] for name in STRATEGIES}
        for (name, _), of_cell in cells.items():
            calls = report.median([outcome.write_calls for outcome in of_cell])
            panels[title][name].append((calls, report.median([outcome.duration_s for outcome in of_cell])))
    label = "calls to write (one point each: 10, 50, 100, 190 writers)"
    plots.draw_lines(path, panels, x=label, y="seconds", y_scale="log")


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
        outcomes = measure(couchdb, options.rounds)
    print(f"Written to {write(options.results, outcomes, options.rounds, surroundings)}")
    return 0
