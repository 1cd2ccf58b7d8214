"""Writers of a few documents through the nodes of a real cluster, with the rule and without: what is lost?"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import yarl

from benchmarks.measuring import report, settings
from benchmarks.measuring.machine import hardware
from benchmarks.measuring.rounds import alternated
from suite.errors import SuiteError
from tor_async_couchdb import deadline
from tor_async_couchdb.calls import Call
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, CouchDBError, OutcomeUnknownError
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries import RetryBudget
from tor_async_couchdb.wire.transport import HeaderAuthenticator, Response, Transport

_DOCUMENTS = ("one", "two", "three")
_TIMEOUT_S = 10.0
_MAX_TRIES = 50
_SETTLING_TIME_S = 2.0  # until the copies have replicated what the last writes left


class _Requests(Observer):
    def __init__(self) -> None:
        self.count = 0

    def request_finished(self, *arguments: Any, **more: Any) -> None:
        self.count += 1


class _OneCopy(Transport):
    """Says that the database keeps one copy of each document, so that the rule is not followed."""

    async def send(self, call: Call, url: yarl.URL, **more: Any) -> Response:
        if call.operation == "GET /{db}":
            return Response(200, b"{}", call.method, url.raw_path)
        return await super().send(call, url, **more)


@dataclasses.dataclass
class Load:
    """What writers were told, and what became of it."""

    seconds: float
    requests: int = 0
    acknowledged: set[str] = dataclasses.field(default_factory=set)
    unknown: set[str] = dataclasses.field(default_factory=set)
    failed: int = 0
    latencies_s: list[float] = dataclasses.field(default_factory=list)
    lost: int = 0
    doubled: int = 0
    conflicts: int = 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--writers", type=settings.count, default=20, metavar="N", help="how many at once")
    settings.add_options(parser, rounds=3, seconds=10)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: COUCHDB_URL names no cluster, or a change was lost or doubled in spite of the rule.
    """
    loads: dict[bool, list[Load]] = {True: [], False: []}
    with settings.couchdb_to_measure() as couchdb:
        nodes = [couchdb.url, *couchdb.other_urls]
        if len(nodes) < 2:
            raise SuiteError("COUCHDB_URL has to name several nodes of a cluster, separated by commas.")
        credentials = UserPassword(couchdb.username, couchdb.password)
        for number in range(options.rounds):
            for follows_rule in alternated([True, False], number):
                measured = _measure(nodes, credentials, options.writers, options.seconds, follows_rule)
                loads[follows_rule].append(asyncio.run(measured))
    print(f"Written to {_write(options, len(nodes), loads)}")
    wrong = sum(load.lost + load.doubled for load in loads[True])
    if wrong:
        raise SuiteError(f"{wrong} changes were lost or doubled in spite of the rule")
    return 0


async def _measure(
    nodes: Sequence[str], credentials: UserPassword, writers: int, seconds: int, follows_rule: bool
) -> Load:
    name = f"cluster_{uuid.uuid4().hex}"
    with AdminClient(nodes[0], credentials=credentials) as server:
        database = AdminDatabase(server, name)
        database.create()
        try:
            load = Load(seconds)
            observer = _Requests()
            async with _connected(nodes, name, credentials, observer, follows_rule) as databases:
                await _drive(databases, writers, load)
                load.requests = observer.count
                await asyncio.sleep(_SETTLING_TIME_S)
                await _judge(databases[0], load)
            return load
        finally:
            database.delete()


@contextlib.asynccontextmanager
async def _connected(
    nodes: Sequence[str], name: str, credentials: UserPassword, observer: Observer, follows_rule: bool
) -> AsyncIterator[list[Database]]:
    async with contextlib.AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                Database(
                    f"{node.rstrip('/')}/{name}",
                    transport=(Transport if follows_rule else _OneCopy)(
                        validate_cert=True,
                        timeout_s=_TIMEOUT_S,
                        observer=observer,
                        retry_budget=RetryBudget(),
                        authenticator=HeaderAuthenticator(credentials.authorization),
                    ),
                )
            )
            for node in nodes
        ]


async def _drive(databases: Sequence[Database], writers: int, load: Load) -> None:
    for document_id in _DOCUMENTS:
        with deadline.within(_TIMEOUT_S):
            await databases[0].save({"_id": document_id, "changes": []})
    end_s = time.monotonic() + load.seconds
    await asyncio.gather(
        *(_write_until(end_s, number, databases[number % len(databases)], load) for number in range(writers))
    )


async def _write_until(end_s: float, number: int, database: Database, load: Load) -> None:
    dice = random.Random(number)  # noqa: S311 - load
    for count in itertools.count():
        if time.monotonic() > end_s:
            return
        change = f"{number}.{count}"
        begin_s = time.monotonic()
        try:
            with deadline.within(_TIMEOUT_S):
                await _change(database, dice.choice(_DOCUMENTS), change, dice)
        except OutcomeUnknownError:
            load.unknown.add(change)
        except CouchDBError:
            load.failed += 1
        else:
            load.acknowledged.add(change)
            load.latencies_s.append(time.monotonic() - begin_s)


async def _change(database: Database, document_id: str, change: str, dice: random.Random) -> None:
    for tries in range(_MAX_TRIES):
        document = await database.fetch(document_id)
        changed = {name: document[name] for name in ("_id", "_rev", NONCES_PROPERTY_NAME) if name in document}
        try:
            await database.save(changed | {"changes": [*document["changes"], change]})
        except ConflictError:
            if tries == _MAX_TRIES - 1:
                raise
            await asyncio.sleep(dice.uniform(0, 0.02 * 2 ** min(tries, 5)))
        else:
            return


async def _judge(database: Database, load: Load) -> None:
    counts: collections.Counter[str] = collections.Counter()
    for document_id in _DOCUMENTS:
        counts.update((await database.fetch(document_id))["changes"])
        leaves = await database.fetch_leaves(document_id)
        load.conflicts += len([leaf for leaf in leaves if not leaf.get("_deleted")]) - 1
    load.lost = len(load.acknowledged - counts.keys())
    load.doubled = sum(counts.values()) - len(counts)


def _figures(loads: Sequence[Load]) -> list[str]:
    counts = [
        sum(len(load.acknowledged) for load in loads),
        sum(load.lost for load in loads),
        sum(load.doubled for load in loads),
        sum(load.conflicts for load in loads),
        sum(load.failed + len(load.unknown) for load in loads),
    ]
    return [
        *(f"{count:,}" for count in counts),
        report.median_with_range([len(load.acknowledged) / load.seconds for load in loads]),
        report.median_with_range([load.requests / len(load.acknowledged) for load in loads], 2),
        report.median_with_range([statistics.quantiles(load.latencies_s, n=100)[98] * 1e3 for load in loads]),
    ]


def _write(options: argparse.Namespace, nodes: int, loads: dict[bool, list[Load]]) -> Path:
    rows = [
        ["with the rule" if follows_rule else "without", *_figures(each)]
        for follows_rule, each in loads.items()
    ]
    header = [
        "",
        "acknowledged",
        "lost",
        "doubled",
        "live leaves left in conflict",
        "failed or unknown",
        "changes/s",
        "requests a change",
        "99 % within (ms)",
    ]
    return report.write(
        options.results,
        f"cluster_{nodes}_nodes_{options.writers}_writers",
        f"{options.writers} writers of {len(_DOCUMENTS)} documents through {nodes} nodes",
        [
            f"{options.rounds} rounds of {options.seconds} s, in turns. {hardware()}, shared by all.",
            report.table(header, rows),
        ],
    )
