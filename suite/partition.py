"""The multi-master part of the run: its masters cut off from each other, under load, and joined again."""

import asyncio
import contextlib
from collections.abc import Sequence

from rich.table import Table

from suite.couchdb import CouchDB
from suite.installations import MASTERS, Installation
from suite.multi_master import Experiment, Figures, run
from suite.services import Service
from suite.sites import connected
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master, connect, disconnect

SAMPLE = "crud/multi_master"
_PARTITION_S = 5
_USERS = 25
_FRUITS = 25

# What it does, for who waits for it.
STEP = f"Cutting the masters of {SAMPLE} off from each other for {_PARTITION_S} s, {_USERS} users at each ..."


def part_masters(
    services: Sequence[Service], installations: Sequence[Installation], couchdb: CouchDB
) -> Figures:
    """What came of it.

    Raises:
        SuiteError: the masters have not become the same again.
    """
    urls = [service.url for service in services if service.sample.name == SAMPLE]
    credentials = UserPassword(couchdb.username, couchdb.password)
    masters = [
        Master.from_url(installation.database_url, credentials)
        for installation in installations
        if any(sample.name == SAMPLE for sample in installation.samples)
    ]
    return asyncio.run(_figures(urls, masters))


async def _figures(urls: Sequence[str], masters: Sequence[Master]) -> Figures:
    one, other = masters
    experiment = Experiment(
        cut=lambda: asyncio.to_thread(disconnect, one, other),
        heal=lambda: asyncio.to_thread(connect, one, other),
        users=_USERS,
        fruits=_FRUITS,
        partition_s=_PARTITION_S,
    )
    async with contextlib.AsyncExitStack() as stack:
        named = zip(MASTERS, urls, masters, strict=True)
        sites = [await stack.enter_async_context(connected(*each)) for each in named]
        return await run(experiment, sites)


def partition_table(figures: Figures) -> Table:
    """What was written while the masters were apart, and what was left of it."""
    table = Table("")
    table.add_column(SAMPLE.rpartition("/")[2], justify="right")
    rows = {f"changes in the {name}": count for name, count in figures.acknowledged.items()} | {
        "outcome unknown": figures.unknown,
        "conflicts": figures.conflicts,
        "merged": figures.merged,
        "colors superseded": figures.superseded,
        "updates lost": figures.lost,
        "conflicts left": figures.conflicts_left,
        "writes when quiet": figures.writes_when_quiet,
    }
    for title, count in rows.items():
        table.add_row(title, f"{count:,}")
    table.add_row("s to replicate again", f"{figures.resume_s:.1f}")
    table.add_row("s to converge then", f"{figures.convergence_s:.1f}")
    return table


def partition_problems(figures: Figures) -> list[str]:
    """What must not be, if anything."""
    problems = {
        "acknowledged changes were lost": figures.lost,
        "documents were left in conflict": figures.conflicts_left,
        "writes were made when all had converged": figures.writes_when_quiet,
    }
    return [f"{count} {problem}" for problem, count in problems.items() if count]
