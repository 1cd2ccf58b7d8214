"""Clients that repeat each change until they have an answer, while every fifth answer is lost.

Shared by the tests and by the benchmark of crud/idempotent. The changes that were counted are compared with
those that were made.
"""

import asyncio
import contextlib
import dataclasses
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from suite.couchdb import CouchDB
from suite.experiments.faults import faulty_link
from suite.installations import installed
from suite.services import ServiceCommand, running
from suite.table import Sample
from tor_async_couchdb.testing.fault_proxy import Request, cut_after

LOST = 5  # one answer of so many
_PROCESSES = 2
_WRITES = "_bulk_docs"
_TIMEOUT_S = 60.0
_PAUSE_S = 0.05
_MAX_PAUSE_S = 2.0


@dataclasses.dataclass
class Tally:
    """What clients were told, and what was counted in the end.

    `repeats` are those of the clients; aiohttp itself sends a PUT again once before they learn of it.
    """

    changes: int
    repeats: int = 0
    unknown: int = 0
    answered: int = 0
    counted: int = 0
    duration_s: float = 0.0
    counts: list[tuple[str, int]] = dataclasses.field(default_factory=list)

    def check(self) -> None:
        """Compares the counted changes with those that were made.

        Raises:
            AssertionError: a change was lost or made twice, or two changes were answered alike.
        """
        figures = f"{self.changes} changes, {self.answered} answered, {self.counted} counted"
        if not self.changes == self.answered == self.counted:
            raise AssertionError(f"changes were lost or made twice: {figures}")
        if len(set(self.counts)) < len(self.counts):
            raise AssertionError(f"two changes were answered with the same count: {figures}")


class Losses:
    """Loses every fifth answer after the request was handled; `lost` are so many of `requests`."""

    def __init__(self) -> None:
        self.requests = 0
        self.lost = 0

    async def __call__(self, request: Request) -> web.StreamResponse:
        """The fault of a link."""
        self.requests += 1
        if self.requests % LOST:
            return await request.forward()
        self.lost += 1
        return await cut_after(request)


@dataclasses.dataclass(frozen=True)
class Lossy:
    """Services whose answers are lost: between `urls` and them, and between them and CouchDB."""

    urls: Sequence[str]
    to_clients: Losses
    to_services: Losses


@contextlib.contextmanager
def lossy_services(sample: Sample, couchdb: CouchDB, logs: Path) -> Iterator[Lossy]:
    """Two processes of a sample on one database, which loses every fifth answer to a write."""
    sample = dataclasses.replace(sample.anywhere(), processes=_PROCESSES)
    with contextlib.ExitStack() as stack:
        commands = stack.enter_context(installed([sample], couchdb, "repeats"))
        to_clients, to_services = Losses(), Losses()
        lossy = [
            dataclasses.replace(
                command,
                database_url=stack.enter_context(faulty_link(_node_of(command), to_services, _WRITES)),
            )
            for command in commands
        ]
        services = stack.enter_context(running(lossy, logs))
        urls = [stack.enter_context(faulty_link(service.url, to_clients, "/fruits/")) for service in services]
        yield Lossy(urls, to_clients, to_services)


def _node_of(command: ServiceCommand) -> str:
    """The database; on a cluster each process goes through another node."""
    urls = command.database_url.split(",")
    return urls[command.number % len(urls)]


async def make_changes(urls: Sequence[str], *, changes: int, clients: int, fruits: int) -> Tally:
    """Makes so many changes of new fruits; each is repeated, at the next URL, until it is answered."""
    tally = Tally(changes)
    async with contextlib.AsyncExitStack() as stack:
        timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
        sessions = [
            await stack.enter_async_context(aiohttp.ClientSession(url, timeout=timeout)) for url in urls
        ]
        paths = [await _new_fruit(sessions[0]) for _ in range(fruits)]
        started_s = asyncio.get_running_loop().time()
        waiting = iter(range(changes))

        async def client() -> None:
            for number in waiting:
                await _change(sessions, paths[number % fruits], number, tally)

        await asyncio.gather(*(client() for _ in range(clients)))
        tally.duration_s = asyncio.get_running_loop().time() - started_s
        for path in paths:
            tally.counted += await _count(sessions[0], path)
    return tally


async def _new_fruit(session: aiohttp.ClientSession) -> str:
    headers = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    async with session.post("/v1.0/fruits", json={"color": "red"}, headers=headers) as response:
        response.raise_for_status()
        return f"/v1.0/fruits/{(await response.json())['fruit_id']}"


async def _change(sessions: Sequence[aiohttp.ClientSession], path: str, number: int, tally: Tally) -> None:
    key = {"Idempotency-Key": f'"{uuid.uuid4()}"'}
    attempt = 0
    while True:
        session = sessions[(number + attempt) % len(sessions)]
        attempt += 1
        tally.repeats += attempt > 1
        pause_s = min(_PAUSE_S * attempt, _MAX_PAUSE_S)
        try:
            async with session.put(path, json={"color": f"color {number}"}, headers=key) as response:
                body = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError):
            pass
        else:
            if response.status == 200:
                tally.answered += 1
                tally.counts.append((path, body["change_count"]))
                return
            tally.unknown += body["type"].endswith("outcome-unknown")
            asked_for = response.headers.get("Retry-After", "")
            if asked_for.isascii() and asked_for.isdigit():
                pause_s = min(max(pause_s, float(asked_for)), _MAX_PAUSE_S)
        await asyncio.sleep(pause_s)


async def _count(session: aiohttp.ClientSession, path: str) -> int:
    while True:
        with contextlib.suppress(aiohttp.ClientError):
            async with session.get(path) as response:
                response.raise_for_status()
                return int((await response.json())["change_count"])
