"""The multi-master part of the run: cut the link between the masters under load, and restore it."""

import asyncio
import contextlib
from collections.abc import Sequence

from rich.table import Table

from suite.couchdb import CouchDB
from suite.experiments.multi_master import Experiment, Figures, run
from suite.experiments.sites import connected
from suite.faults.masters import MastersLink
from suite.services import Service
from suite.table import Sample
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.replication import Master

_PARTITION_S = 5
_USERS = 25
_FRUITS = 25


def partition_step(sample: Sample) -> str:
    """What the experiment does with a sample, for people who wait for it."""
    return (
        f"Cutting the masters of {sample.name} off from each other for {_PARTITION_S} s, "
        f"{_USERS} users at each ..."
    )


def part_masters(services: Sequence[Service], couchdb: CouchDB, link: MastersLink) -> Figures:
    """The figures of the experiment on the two services of one sample, whose masters have this link.

    Raises:
        SuiteError: the masters don't converge, or a change was applied twice.
    """
    credentials = UserPassword(couchdb.username, couchdb.password)
    masters = [Master.from_url(service.command.database_url, credentials) for service in services]
    return asyncio.run(_figures(services, masters, link))


async def _figures(services: Sequence[Service], masters: Sequence[Master], link: MastersLink) -> Figures:
    names = services[0].sample.masters
    urls = [service.url for service in services]
    experiment = Experiment(
        cut=lambda: asyncio.to_thread(link.cut),
        heal=lambda: asyncio.to_thread(link.join),
        users=_USERS,
        fruits=_FRUITS,
        partition_s=_PARTITION_S,
    )
    async with contextlib.AsyncExitStack() as stack:
        named = zip(names, urls, masters, strict=True)
        sites = [await stack.enter_async_context(connected(*each)) for each in named]
        return await run(experiment, sites)


def partition_table(sample: Sample, figures: Figures) -> Table:
    """What was written while the link was cut, and what became of it."""
    table = Table("")
    table.add_column(sample.name.rpartition("/")[2], justify="right")
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
    """A sentence for each figure that must be zero and is not."""
    problems = {
        "acknowledged changes were lost": figures.lost,
        "documents were left in conflict": figures.conflicts_left,
        "writes were made after both had converged": figures.writes_when_quiet,
    }
    return [f"{count} {problem}" for problem, count in problems.items() if count]
