"""Two masters that are cut off from each other, take writes, and find together again: is anything lost?"""

import asyncio
import contextlib
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from suite.errors import SuiteError
from suite.sites import RunningSite, Site, running

_REQUEST_TIMEOUT_S = 30.0
_CONVERGED_WITHIN_S = 300.0
_QUIET_S = 3.0
_POLL_INTERVAL_S = 0.1
_COLORS = ("red", "green", "blue", "yellow", "black", "white")


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is done: `cut` and `heal` part the sites and join them; seconds and numbers of the load."""

    cut: Callable[[], Awaitable[None]]
    heal: Callable[[], Awaitable[None]]
    users: int = 25
    fruits: int = 25
    partition_s: float = 30.0
    load_after_heal_s: float = 0.0
    is_reconciler_killed: bool = False


@dataclasses.dataclass(frozen=True)
class Figures:
    """What came of it. `lost` counts acknowledged changes that no master has any more."""

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
    """What clients were told, by fruit and site: changes acknowledged, and changes of unknown outcome."""

    def __init__(self) -> None:
        self.acknowledged: Counter[tuple[str, str]] = Counter()
        self.unknown: Counter[tuple[str, str]] = Counter()

    def acknowledged_at(self, site: str) -> int:
        return sum(count for (_, at), count in self.acknowledged.items() if at == site)

    def lost(self, documents: Sequence[Mapping[str, Any]]) -> int:
        """SuiteError if a count is higher than what may have been written: a change was counted twice."""
        counts = {document["fruit_id"]: document["change_counts"] for document in documents}
        lost = 0
        for key, acknowledged in self.acknowledged.items():
            fruit_id, site = key
            counted = counts.get(fruit_id, {}).get(site, 0)
            lost += max(0, acknowledged - counted)
            if counted > acknowledged + self.unknown[key]:
                raise SuiteError(f"fruit {fruit_id} has {counted} changes of {site}, of {acknowledged} made")
        return lost


async def run(
    experiment: Experiment, sites: tuple[Site, Site], logs: Path, environment: Mapping[str, str]
) -> Figures:
    """Runs it on two databases that are installed and replicate; SuiteError if they don't converge."""
    timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
    async with contextlib.AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        )
        started = [await stack.enter_async_context(running(site, logs, environment)) for site in sites]
        fruit_ids = [await _create(session, started[i % 2]) for i in range(experiment.fruits)]
        await _until(lambda: _have_all(started, fruit_ids), "the fruits to be replicated")
        books = _Books()
        await experiment.cut()
        before = [await site.documents() for site in started]
        await _load(session, started, fruit_ids, books, experiment.users, experiment.partition_s)
        alone = [await site.documents() for site in started]
        healed_s = time.monotonic()
        await experiment.heal()
        load = asyncio.create_task(
            _load(session, started, fruit_ids, books, experiment.users, experiment.load_after_heal_s)
        )
        await _until(lambda: _has_resumed(started, alone), "the replication to resume")
        resumed_s = time.monotonic()
        if experiment.is_reconciler_killed:
            await started[0].kill(session)
            await started[0].start()
        await load
        loaded_s = max(resumed_s, time.monotonic()) if experiment.load_after_heal_s else resumed_s
        await _until(lambda: _has_converged(started), "the masters to converge")
        converged_s = time.monotonic()
        sequences = [await site.sequence() for site in started]
        await asyncio.sleep(_QUIET_S)
        documents, others = [await site.documents() for site in started]
        for site in started:
            await site.read_metrics(session)
        metrics = started[0].metrics + started[1].metrics
        changed = [
            {doc["fruit_id"] for doc, old in zip(now, then, strict=True) if doc["_rev"] != old["_rev"]}
            for now, then in zip(alone, before, strict=True)
        ]
        return Figures(
            acknowledged={site.name: books.acknowledged_at(site.name) for site in sites},
            unknown=books.unknown.total(),
            conflicts=len(changed[0] & changed[1]),
            merged=metrics["merged"],
            superseded=metrics["superseded"],
            failed=metrics["failed"],
            lost=books.lost(documents),
            conflicts_left=sum("_conflicts" in doc for doc in [*documents, *others]),
            resume_s=resumed_s - healed_s,
            convergence_s=converged_s - loaded_s,
            writes_when_quiet=sum(
                [await site.sequence() - then for site, then in zip(started, sequences, strict=True)]
            ),
        )


async def _create(session: aiohttp.ClientSession, site: RunningSite) -> str:
    async with session.post(f"{site.url}/v1.0/fruits", json={"color": "green"}) as answer:
        fruit_id: str = (await answer.json())["fruit_id"]
        return fruit_id


async def _load(
    session: aiohttp.ClientSession,
    sites: Sequence[RunningSite],
    fruit_ids: Sequence[str],
    books: _Books,
    users: int,
    duration_s: float,
) -> None:
    end_s = time.monotonic() + duration_s

    async def user(site: RunningSite) -> None:
        while time.monotonic() < end_s:
            await _change(session, site, random.choice(fruit_ids), books)  # noqa: S311

    await asyncio.gather(*(user(site) for site in sites for _ in range(users)))


async def _change(session: aiohttp.ClientSession, site: RunningSite, fruit_id: str, books: _Books) -> None:
    key = (fruit_id, site.site.name)
    color = random.choice(_COLORS)  # noqa: S311
    try:
        async with session.put(f"{site.url}/v1.0/fruits/{fruit_id}", json={"color": color}) as answer:
            if answer.status == 200:
                books.acknowledged[key] += 1
            elif answer.status != 409:
                books.unknown[key] += 1
    except aiohttp.ClientConnectorError:
        await asyncio.sleep(_POLL_INTERVAL_S)  # the service is being started again
    except (aiohttp.ClientError, TimeoutError):
        books.unknown[key] += 1


async def _until(is_so: Callable[[], Awaitable[bool]], what: str) -> None:
    deadline_s = time.monotonic() + _CONVERGED_WITHIN_S
    while not await is_so():
        if time.monotonic() > deadline_s:
            raise SuiteError(f"waited {_CONVERGED_WITHIN_S:.0f} s in vain for {what}")
        await asyncio.sleep(_POLL_INTERVAL_S)


async def _have_all(sites: Sequence[RunningSite], fruit_ids: Sequence[str]) -> bool:
    held = [{doc["fruit_id"] for doc in await site.documents()} for site in sites]
    return all(set(fruit_ids) <= each for each in held)


async def _has_resumed(sites: Sequence[RunningSite], alone: Sequence[list[dict[str, Any]]]) -> bool:
    """Whether each site has something of the other: conflicts, or counts that it had not alone."""
    for site, before, other in zip(sites, alone, reversed(sites), strict=True):
        known = {doc["_id"]: doc["change_counts"].get(other.site.name, 0) for doc in before}
        docs = await site.documents()
        if not any(
            "_conflicts" in doc or doc["change_counts"].get(other.site.name, 0) > known[doc["_id"]]
            for doc in docs
        ):
            return False
    return True


async def _has_converged(sites: Sequence[RunningSite]) -> bool:
    first, second = [await site.documents() for site in sites]
    return first == second and not any("_conflicts" in doc for doc in first)
