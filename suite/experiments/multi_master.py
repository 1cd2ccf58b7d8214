"""Two masters lose their link, take writes, and get it back: is an acknowledged change lost?"""

import asyncio
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import aiohttp

from suite.errors import SuiteError
from suite.experiments.sites import Site
from tor_async_couchdb import ChangeSet, count_changes
from tor_async_couchdb.model.entry_sets import covers

_CONVERGED_WITHIN_S = 300.0
_QUIET_S = 3.0
_POLL_INTERVAL_S = 0.1
_COLORS = ("red", "green", "blue", "yellow", "black", "white")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """The load, in clients and seconds, and the faults.

    `cut` breaks the link between the sites, `heal` restores it. `disturb` is called once, while the sites
    reconcile.
    """

    cut: Callable[[], Awaitable[None]]
    heal: Callable[[], Awaitable[None]]
    users: int = 25
    fruits: int = 25
    partition_s: float = 30.0
    load_after_heal_s: float = 0.0
    disturb: Callable[[], Awaitable[None]] | None = None


@dataclasses.dataclass(frozen=True)
class Figures:
    """The result. `lost` counts the acknowledged changes that neither master has."""

    acknowledged: Mapping[str, int]
    unknown: int
    conflicts: int
    merged: int
    superseded: int
    failed: int
    lost: int
    conflicts_left: int
    resume_s: float
    convergence_s: float
    writes_when_quiet: int


class _Books:
    """The answers that clients got: changes acknowledged, by fruit and by site, and of unknown outcome."""

    def __init__(self) -> None:
        self.acknowledged: Counter[str] = Counter()
        self.acknowledged_at: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()

    def acknowledge(self, fruit_id: str, site: str) -> None:
        self.acknowledged[fruit_id] += 1
        self.acknowledged_at[site] += 1

    def lost(self, documents: Sequence[Mapping[str, Any]]) -> int:
        """How many acknowledged changes the documents lack.

        Raises:
            SuiteError: a document counts more changes than were sent.
        """
        counts = {document["fruit_id"]: count_changes(document["changes"]) for document in documents}
        lost = 0
        for fruit_id, acknowledged in self.acknowledged.items():
            counted = counts.get(fruit_id, 0)
            lost += max(0, acknowledged - counted)
            if counted > acknowledged + self.unknown[fruit_id]:
                raise SuiteError(f"fruit {fruit_id} has {counted} changes, of {acknowledged} made")
        return lost


async def run(experiment: Experiment, sites: Sequence[Site]) -> Figures:
    """The figures of an experiment on two sites whose databases replicate.

    Raises:
        SuiteError: the sites don't converge, or a change was applied twice.
    """
    return await _Run(experiment, sites).figures()


class _Run:
    """One run of an experiment."""

    def __init__(self, experiment: Experiment, sites: Sequence[Site]) -> None:
        self._experiment = experiment
        self._sites = sites
        self._books = _Books()

    async def figures(self) -> Figures:
        conflicts, alone = await self._part()
        healed_s = time.monotonic()
        resumed_s, loaded_s = await self._join(alone)
        await _until(lambda: _has_converged(self._sites), "the masters to converge")
        converged_s = time.monotonic()
        writes = await self._writes_when_quiet()
        documents, others = [await site.documents() for site in self._sites]
        for site in self._sites:
            await site.read_metrics()
        metrics = self._sites[0].metrics + self._sites[1].metrics
        return Figures(
            acknowledged={site.name: self._books.acknowledged_at[site.name] for site in self._sites},
            unknown=self._books.unknown.total(),
            conflicts=conflicts,
            merged=metrics["merged"],
            superseded=metrics["superseded"],
            failed=metrics["failed"],
            lost=self._books.lost(documents),
            conflicts_left=sum("_conflicts" in doc for doc in [*documents, *others]),
            resume_s=resumed_s - healed_s,
            convergence_s=converged_s - loaded_s,
            writes_when_quiet=writes,
        )

    async def _part(self) -> tuple[int, list[list[dict[str, Any]]]]:
        """Cuts the link and puts both sites under load.

        Returns the number of fruits that both sites changed, and the documents of each site.
        """
        count = self._experiment.fruits
        self._fruit_ids = [await _create(self._sites[i % 2]) for i in range(count)]
        await _until(lambda: _have_all(self._sites, self._fruit_ids), "the fruits to be replicated")
        await self._experiment.cut()
        before = [await site.documents() for site in self._sites]
        await self._load(self._experiment.partition_s)
        alone = [await site.documents() for site in self._sites]
        changed = [
            {doc["_id"] for doc, old in zip(now, then, strict=True) if doc["_rev"] != old["_rev"]}
            for now, then in zip(alone, before, strict=True)
        ]
        return len(changed[0] & changed[1]), alone

    async def _join(self, alone: Sequence[list[dict[str, Any]]]) -> tuple[float, float]:
        """Restores the link: the monotonic times, in s, of the first replication and of the last answer."""
        await self._experiment.heal()
        loading = asyncio.create_task(self._load(self._experiment.load_after_heal_s))
        await _until(lambda: _has_resumed(self._sites, alone), "the replication to resume")
        resumed_s = time.monotonic()
        if self._experiment.disturb is not None:
            await self._experiment.disturb()
        return resumed_s, max(resumed_s, await loading)

    async def _load(self, duration_s: float) -> float:
        """The monotonic time, in seconds, at which the last change was answered."""
        end_s = time.monotonic() + duration_s

        async def user(site: Site) -> None:
            while time.monotonic() < end_s:
                await _change(site, random.choice(self._fruit_ids), self._books)  # noqa: S311

        users = range(self._experiment.users)
        await asyncio.gather(*(user(site) for site in self._sites for _ in users))
        return time.monotonic()

    async def _writes_when_quiet(self) -> int:
        before = [await site.sequence() for site in self._sites]
        await asyncio.sleep(_QUIET_S)
        after = [await site.sequence() for site in self._sites]
        return sum(after) - sum(before)


async def _create(site: Site) -> str:
    async with site.session.post(f"{site.url}/v1.0/fruits", json={"color": "green"}) as answer:
        fruit_id: str = (await answer.json())["fruit_id"]
        return fruit_id


async def _change(site: Site, fruit_id: str, books: _Books) -> None:
    color = random.choice(_COLORS)  # noqa: S311
    try:
        async with site.session.put(f"{site.url}/v1.0/fruits/{fruit_id}", json={"color": color}) as answer:
            if answer.status == 200:
                books.acknowledge(fruit_id, site.name)
            elif answer.status != 409:
                books.unknown[fruit_id] += 1
    except (aiohttp.ClientError, TimeoutError):
        # Even if nothing listens now, aiohttp may have sent the change before on a connection that broke.
        books.unknown[fruit_id] += 1
        await asyncio.sleep(_POLL_INTERVAL_S)


async def _until(is_so: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline_s = time.monotonic() + _CONVERGED_WITHIN_S
    while not await is_so():
        if time.monotonic() > deadline_s:
            raise SuiteError(f"waited {_CONVERGED_WITHIN_S:.0f} s in vain for {what}")
        await asyncio.sleep(_POLL_INTERVAL_S)


async def _have_all(sites: Sequence[Site], fruit_ids: Sequence[str]) -> bool:
    held = [{doc["fruit_id"] for doc in await site.documents()} for site in sites]
    return all(set(fruit_ids) <= each for each in held)


async def _has_resumed(sites: Sequence[Site], alone: Sequence[list[dict[str, Any]]]) -> bool:
    """Whether each site has received changes of the other since `alone`."""
    for site, before, others in zip(sites, alone, reversed(alone), strict=True):
        own, other = _changes(before), _changes(others)
        docs = await site.documents()
        if not any("_conflicts" in doc or _has_more(doc, own, other) for doc in docs):
            return False
    return True


def _changes(documents: Sequence[Mapping[str, Any]]) -> dict[str, ChangeSet]:
    return {document["_id"]: document["changes"] for document in documents}


def _has_more(
    document: Mapping[str, Any], own: Mapping[str, ChangeSet], other: Mapping[str, ChangeSet]
) -> bool:
    """Whether the document has changes of the other site that it had not before."""
    document_id, changes = document["_id"], document["changes"]
    return covers(changes, other[document_id]) and not covers(own[document_id], other[document_id])


async def _has_converged(sites: Sequence[Site]) -> bool:
    first, second = [await site.documents() for site in sites]
    return first == second and not any("_conflicts" in doc for doc in first)
