"""Clients that change what they have seen: how many are told that somebody was faster, is a change lost?

Also what an answer weighs that the client has already: 304 beside 200.
"""

import argparse
import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import aiohttp

from benchmarks.measuring import report, settings
from benchmarks.measuring.databases import kind_of
from benchmarks.measuring.machine import describe
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import running
from suite.table import sample_named

_PROCESSES = 2
_FRUITS = 5
_TIMEOUT_S = 60.0
_COLOR_SIZES = (4, 1_000, 10_000)
_HEADERS = ["a color of so many characters", "bytes of a 200", "bytes of a 304"]


@dataclasses.dataclass
class Races:
    """What clients were told of their changes, and how many were counted in the end."""

    made: int = 0
    refused: int = 0
    failed: int = 0
    counted: int = 0
    won_twice: int = 0
    """Changes of a version that another acknowledged change had replaced already."""
    duration_s: float = 0.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds this benchmark's options."""
    settings.add_results(parser)
    parser.add_argument("--changes", type=settings.count, default=2_000, help="to be made")
    parser.add_argument("--clients", type=settings.count, default=16, help="at the same time")


def run(options: argparse.Namespace) -> int:
    """Measures; the exit status is 1 if an acknowledged change was lost."""
    with settings.couchdb_to_measure() as couchdb:
        with _services(couchdb) as urls:
            races = asyncio.run(_race(urls, options.changes, options.clients))
            if races.made != races.counted or races.won_twice:
                raise SuiteError(f"changes were lost: {races}")
            weights = [asyncio.run(_weigh(urls[0], size)) for size in _COLOR_SIZES]
        path = _write(options, couchdb, races, weights)
    print(f"Written to {path}")
    return 0


@contextlib.contextmanager
def _services(couchdb: CouchDB) -> Iterator[Sequence[str]]:
    """Two processes on one database; on a cluster each goes through another node."""
    sample = dataclasses.replace(sample_named("crud/conditional").anywhere(), processes=_PROCESSES)
    with installed([sample], couchdb, "conditional") as commands:
        each = []
        for command in commands:
            nodes = command.database_url.split(",")
            node = nodes[command.number % len(nodes)]
            each.append(dataclasses.replace(command, database_url=node))
        with running(each, settings.RUN_FOLDER) as services:
            yield [service.url for service in services]


async def _race(urls: Sequence[str], changes: int, clients: int) -> Races:
    races, replaced = Races(), set[str]()
    async with contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(_session(url)) for url in urls]
        paths = [await _new_fruit(sessions[0], "red") for _ in range(_FRUITS)]

        async def client(number: int) -> None:
            session, path = sessions[number % len(sessions)], paths[number % _FRUITS]
            while races.made < changes:
                async with session.get(path) as seen:
                    etag = seen.headers["ETag"]
                headers = {"If-Match": etag}
                async with session.put(path, json={"color": f"{number}"}, headers=headers) as response:
                    races.made += response.status == 200
                    races.refused += response.status == 412
                    races.failed += response.status not in (200, 412)
                    if response.status == 200:
                        races.won_twice += etag in replaced
                        replaced.add(etag)

        started_s = asyncio.get_running_loop().time()
        await asyncio.gather(*(client(number) for number in range(clients)))
        races.duration_s = asyncio.get_running_loop().time() - started_s
        for path in paths:
            async with sessions[-1].get(path) as response:
                races.counted += (await response.json())["change_count"]
    return races


async def _weigh(url: str, color_size: int) -> list[str]:
    async with _session(url) as session:
        path = await _new_fruit(session, "x" * color_size)
        async with session.get(path) as response:
            known = {"If-None-Match": response.headers["ETag"]}
        return [
            f"{color_size:,}",
            f"{await _size_of_answer(session, path, {}, 200):,}",
            f"{await _size_of_answer(session, path, known, 304):,}",
        ]


async def _size_of_answer(
    session: aiohttp.ClientSession, path: str, headers: dict[str, str], status: int
) -> int:
    """Bytes of header and body."""
    async with session.get(path, headers=headers) as response:
        body = await response.read()
        if response.status != status:
            raise SuiteError(f"{path} was answered {response.status}, not {status}")
        lines = [f"HTTP/1.1 {response.status} {response.reason}\r\n\r\n".encode()]
        lines += [b"%s: %s\r\n" % header for header in response.raw_headers]
        return sum(map(len, lines)) + len(body)


def _session(url: str) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(url, timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S))


async def _new_fruit(session: aiohttp.ClientSession, color: str) -> str:
    async with session.post("/v1.0/fruits", json={"color": color}) as response:
        response.raise_for_status()
        return response.headers["Location"]


def _write(
    options: argparse.Namespace, couchdb: CouchDB, races: Races, weights: Sequence[Sequence[str]]
) -> Path:
    kind = kind_of(couchdb)
    attempts = races.made + races.refused + races.failed
    share = f"{100 * races.refused / attempts:.0f} %"
    figures = (attempts, races.made, races.refused, races.failed, races.counted, races.won_twice)
    header = ["attempts", "200", "412", "others", "counted in the end", "versions that two have replaced"]
    sections = [
        "  \n".join(describe(couchdb)),
        f"{options.clients} clients read one of {_FRUITS} fruits and change what they have seen, through "
        f"{_PROCESSES} processes{kind.through}, {races.made / races.duration_s:,.0f} changes/s. {share} were "
        "told that somebody was faster.",
        report.table(header, [[f"{figure:,}" for figure in figures]]),
        "What is sent to a client that has the fruit already, header and body:",
        report.table(_HEADERS, weights),
    ]
    title = f"Changes of what a client has seen, on {kind.title}"
    return report.write(options.results, f"conditional_{kind.name}", title, sections)
