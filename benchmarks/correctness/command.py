"""Is a change lost or applied twice, does a client wait too long, does a service leak?

Many writers change one fruit through two processes of a service, which must count each change that it
acknowledges once; then again while connections to CouchDB are cut after a write has been applied; then one
process answers many requests, and its memory and its open files are looked at meanwhile.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import aiohttp
from aiohttp import web

from benchmarks.correctness.tally import Tally, change_together
from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import describe
from suite.couchdb import CouchDB
from suite.experiments.faults import faulty_link
from suite.services import Service, ServiceCommand, running
from suite.table import sample_named
from tor_async_couchdb.testing.fault_proxy import Request

SAMPLES = ("exp_backoff", "group_commit")
DEADLINE_S = 120.0
_FRUITS = 500
_CLIENTS = 32
_GRACE_S = 2.0  # for the way to the service and back, on a busy machine
_GROWTH = 1.05
_HIDDEN_FOR_S = 1.0


class Cutter:
    """Cuts the connection after every `one_in`th write; after half of these CouchDB is not to be asked.

    So the service finds that half of these writes were applied, and can't know it of the other half.
    """

    def __init__(self, one_in: int) -> None:
        self._one_in = one_in
        self._writes = 0
        self._hidden_until_s = 0.0
        self.cut = 0

    async def meet(self, request: Request) -> web.StreamResponse:
        """The fault that each request meets."""
        if "_bulk_get?revs" in request.path and time.monotonic() < self._hidden_until_s:
            return request.cut()
        answer = await request.forward()
        if "_bulk_docs" not in request.path:
            return answer
        self._writes += 1
        if self._writes % self._one_in:
            return answer
        self.cut += 1
        if self.cut % 2 == 0:
            self._hidden_until_s = time.monotonic() + _HIDDEN_FOR_S
        return request.cut()


@contextlib.contextmanager
def _services(sample: str, count: int, database_url: str, couchdb: CouchDB) -> Iterator[list[Service]]:
    anywhere = sample_named(f"crud/{sample}").anywhere()
    options = ("--deadline", str(DEADLINE_S))
    commands = [
        ServiceCommand(anywhere, database_url, couchdb.environment, number, options)
        for number in range(1, count + 1)
    ]
    with tempfile.TemporaryDirectory() as logs, running(commands, Path(logs)) as services:
        yield services


def count_changes(
    sample: str, couchdb: CouchDB, *, writers: int, changes: int, cut_one_in: int | None = None
) -> Tally:
    """The tally of a load on two processes of a sample, with or without cuts between them and CouchDB."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(couchdb.installed_database("correctness"))
        cutter = None if cut_one_in is None else Cutter(cut_one_in)
        if cutter is not None:
            url = stack.enter_context(faulty_link(url.split(",")[0], cutter.meet))
        services = stack.enter_context(_services(sample, 2, url, couchdb))
        urls = [service.url for service in services]
        tally = asyncio.run(change_together(urls, writers, changes, DEADLINE_S + 10))
        tally.cut = 0 if cutter is None else cutter.cut
        return tally


@dataclasses.dataclass
class Usage:
    """What a process of a service holds after so many requests."""

    requests: int
    memory_kib: int
    files: int


def watch_memory(sample: str, couchdb: CouchDB, *, requests: int, clients: int = _CLIENTS) -> list[Usage]:
    """What one process holds after each tenth of the requests: half PUT, half GET, on 500 fruits."""
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(couchdb.installed_database("correctness"))
        (service,) = stack.enter_context(_services(sample, 1, url, couchdb))
        return asyncio.run(_use(service, requests, clients))


async def _use(service: Service, requests: int, clients: int) -> list[Usage]:
    usages = []
    async with aiohttp.ClientSession(service.url) as client:

        async def create() -> str:
            async with client.post("/v1.0/fruits", json={"color": "red"}) as response:
                return response.headers["Location"]

        paths = [await create() for _ in range(_FRUITS)]

        async def use(start: int, end: int) -> None:
            for number in range(start, end, clients):
                path = paths[number % _FRUITS]
                request = client.get(path) if number % 2 else client.put(path, json={"color": "blue"})
                async with request as response:
                    await response.read()

        for tenth in range(10):
            start, end = tenth * requests // 10, (tenth + 1) * requests // 10
            await asyncio.gather(*(use(start + i, end) for i in range(clients)))
            usages.append(_usage(end, service.process.pid))
            print(usages[-1], flush=True)
    return usages


def _usage(requests: int, pid: int) -> Usage:
    process = Path(f"/proc/{pid}")
    (memory,) = (line for line in (process / "status").read_text().splitlines() if line.startswith("VmRSS"))
    return Usage(requests, int(memory.split()[1]), len([*(process / "fd").iterdir()]))


def complaints(tallies: Mapping[str, Tally], usages: Sequence[Usage]) -> list[str]:
    """What of it is not as it has to be; nothing, if all is well."""
    found = [
        f"{title}: {getattr(tally, name)} {name.replace('_', ' ')}"
        for title, tally in tallies.items()
        for name in ("lost", "doubled", "given_up", "failed")
        if getattr(tally, name)
    ]
    found += [
        f"{title}: somebody waited for {tally.slowest_s:.1f} s"
        for title, tally in tallies.items()
        if tally.slowest_s > DEADLINE_S + _GRACE_S
    ]
    # The first tenths fill what is filled once: connections, remembered ids, the interpreter's own pools.
    settled, last = usages[len(usages) // 2], usages[-1]
    if last.memory_kib > settled.memory_kib * _GROWTH or last.files > settled.files * _GROWTH:
        found.append(f"it grows: from {settled} to {last}")
    return found


def write(
    folder: Path, tallies: Mapping[str, Tally], usages: Sequence[Usage], surroundings: list[str]
) -> Path:
    """Writes correctness.md; where it is."""
    names = ["acknowledged", "unknown", "change_count", "lost", "doubled", "given_up", "failed", "cut"]
    changes = [
        [
            title,
            *(f"{getattr(tally, name):,}" for name in names),
            f"{tally.slowest_s:.1f}",
            f"{tally.took_s:.0f}",
        ]
        for title, tally in tallies.items()
    ]
    memory = [[f"{usage.requests:,}", f"{usage.memory_kib / 1024:.1f}", str(usage.files)] for usage in usages]
    sections = [
        "  \n".join(surroundings),
        f"Changes of one fruit through two processes with a deadline of {DEADLINE_S:.0f} s. Cut: the answers "
        "to so many writes, which had been applied; after every other of these CouchDB could not be asked "
        "what had become of it, so that its outcome is unknown.",
        report.table(("", *(name.replace("_", " ") for name in names), "slowest s", "took s"), changes),
        f"One process, half PUT, half GET, {_FRUITS} fruits, {_CLIENTS} clients:",
        report.table(("requests", "memory MiB", "open files"), memory),
    ]
    return report.write(folder, "correctness", "Nothing lost, nothing doubled, nothing leaked", sections)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--writers", type=settings.count, default=200, help="at once, on one fruit")
    parser.add_argument("--changes", type=settings.count, default=50, help="of each writer")
    parser.add_argument("--cut-one-in", type=settings.count, default=1000, help="of the changes, about")
    parser.add_argument("--requests", type=settings.count, default=1_000_000, help="while memory is watched")
    settings.add_results(parser)


def run(options: argparse.Namespace) -> int:
    """The exit status: 0 if nothing was lost, doubled, given up or leaked, and no client waited too long."""
    tallies = {}
    with settings.couchdb_to_measure() as couchdb:
        surroundings = describe(couchdb)
        # Up to half of the writers share a write of group_commit, so that there are few to cut.
        cuts = {"exp_backoff": options.cut_one_in, "group_commit": options.cut_one_in // options.writers or 1}
        for sample in SAMPLES:
            for one_in in (None, cuts[sample]):
                title = sample if one_in is None else f"{sample}, one in {one_in:,} cut"
                load = {"writers": options.writers, "changes": options.changes}
                tallies[title] = count_changes(sample, couchdb, **load, cut_one_in=one_in)
                print(f"{title}: {tallies[title]}", flush=True)
        usages = watch_memory("exp_backoff", couchdb, requests=options.requests)
    print(f"Written to {write(options.results, tallies, usages, surroundings)}")
    print("\n".join(found := complaints(tallies, usages)), file=sys.stderr)
    return bool(found)
