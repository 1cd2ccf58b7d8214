"""Sample services on the nodes of a real cluster, with the rule and without, and a fault: what is lost?

    python -m benchmarks cluster_services --fault "node killed" \\
        --break 'kill -9 1234' --mend './start_node 3' --samples crud/basic crud/group_commit

COUCHDB_URL names the nodes, separated by commas. Each sample runs one process for each node. Clients change
three fruits, each time through another process; or, with --own, a fruit of their own through one process.
"""

import argparse
import asyncio
import collections
import contextlib
import dataclasses
import itertools
import random
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.measuring import plots, report, settings
from benchmarks.measuring.machine import hardware
from benchmarks.measuring.rounds import alternated
from benchmarks.measuring.shell import shell
from loadgen.history import Operation
from loadgen.linearizability import Checker
from loadgen.writes import Demands, asks_for_key
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.installations import installed
from suite.services import Service, ServiceCommand, running, wait_until_healthy
from suite.table import SAMPLES, Sample, sample_named
from tor_async_couchdb.errors import CouchDBError

_SAMPLES = [sample.name for sample in SAMPLES if sample.name.startswith("crud/")]
_WITHOUT_ORDER = ("crud/append_only",)  # two processes may give the same `change_count` to two changes
_FRUITS = 3
_COLORS = ("red", "green", "blue", "yellow")
_REQUEST_TIMEOUT_S = 40.0  # a service answers within its deadline, 30 s
_SETTLED_WITHIN_S = 120.0
_COUNT_OF_REQUESTS = re.compile(r"^db_client_operation_duration_seconds_count\{.*\} (\S+)$", re.MULTILINE)
_SERVICES_KILLED = "services killed"


@dataclasses.dataclass
class Load:
    """What clients were told, and what became of it."""

    seconds: float
    acknowledged: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    unknown: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    refused: int = 0
    latencies_s: list[float] = dataclasses.field(default_factory=list)
    operations: list[Operation] = dataclasses.field(default_factory=list)
    stored: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    live_leaves: int = 0
    requests: float = 0.0
    is_linearizable: bool | None = None

    @property
    def lost(self) -> int:
        """Acknowledged changes that no fruit counts."""
        return sum(max(0, count - self.stored[fruit]) for fruit, count in self.acknowledged.items())

    @property
    def doubled(self) -> int:
        """Changes that are counted though nobody made them."""
        surplus = self.stored - self.acknowledged - self.unknown
        return surplus.total()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    parser.add_argument("--samples", nargs="+", default=_SAMPLES, metavar="NAME", help="which samples")
    parser.add_argument("--writers", type=settings.count, default=20, metavar="N", help="clients at once")
    parser.add_argument("--apart", action="store_true", help="give each process one node, not all of them")
    parser.add_argument("--own", action="store_true", help="a fruit and a process of its own for each client")
    parser.add_argument(
        "--fault", default="none", metavar="NAME", help=f'its name; "{_SERVICES_KILLED}" is built in'
    )
    parser.add_argument("--break", dest="break_", metavar="COMMAND", help="run after a third of the load")
    parser.add_argument("--mend", metavar="COMMAND", help="run after two thirds of the load")
    settings.add_options(parser, rounds=1, seconds=15)


def run(options: argparse.Namespace) -> int:
    """Measures and writes the result; the exit status.

    Raises:
        SuiteError: COUCHDB_URL names no cluster, matplotlib is missing, or a change was lost or doubled in
            spite of the rule.
    """
    plots.check_installed()
    loads: dict[tuple[str, bool], list[Load]] = collections.defaultdict(list)
    with settings.couchdb_to_measure() as couchdb:
        nodes = [couchdb.url, *couchdb.other_urls]
        if len(nodes) < 2:
            raise SuiteError("COUCHDB_URL has to name several nodes of a cluster, separated by commas.")
        for number, name in itertools.product(range(options.rounds), options.samples):
            for follows_rule in alternated([True, False], number):
                load = _measure(sample_named(name), couchdb, len(nodes), options, follows_rule)
                loads[name, follows_rule].append(load)
                print(name, "with" if follows_rule else "without", *_figures([load]), flush=True)
    print(f"Written to {_write(options, len(nodes), loads)}")
    wrong = [load for (_, follows_rule), each in loads.items() if follows_rule for load in each]
    if any(load.lost or load.doubled or load.live_leaves or load.is_linearizable is False for load in wrong):
        raise SuiteError("changes were lost or doubled, or conflicts were left, in spite of the rule")
    return 0


def _measure(
    sample: Sample, couchdb: CouchDB, nodes: int, options: argparse.Namespace, follows_rule: bool
) -> Load:
    load = Load(options.seconds)
    with installed([_with_processes(sample, nodes)], couchdb, "cluster") as commands:
        each = [
            _command(command, node, nodes, options.apart, follows_rule)
            for command in commands
            for node in ([commands.index(command)] if not sample.masters else range(nodes))
        ]
        for number, command in enumerate(each, 1):
            each[number - 1] = dataclasses.replace(command, number=number)
        with running(each, settings.RUN_FOLDER) as services:
            asyncio.run(_Run(services, couchdb, options, load).run())
    return load


def _with_processes(sample: Sample, nodes: int) -> Sample:
    anywhere = sample.anywhere()
    return anywhere if sample.masters else dataclasses.replace(anywhere, processes=nodes)


class _UnsealedSample(Sample):
    @property
    def module(self) -> str:
        return "benchmarks.cluster.without_rule"


def _command(
    command: ServiceCommand, node: int, nodes: int, is_apart: bool, follows_rule: bool
) -> ServiceCommand:
    urls = command.database_url.split(",")
    url = urls[node] if is_apart else command.database_url
    command = dataclasses.replace(command, database_url=url)
    if follows_rule:
        return command
    unsealed = _UnsealedSample(
        **{field.name: getattr(command.sample, field.name) for field in dataclasses.fields(Sample)}
    )
    environment = {**command.environment, "SERVICE_MODULE": command.sample.module}
    return dataclasses.replace(command, sample=unsealed, environment=environment)


class _Run:
    """One load on the services of a sample."""

    def __init__(
        self, services: Sequence[Service], couchdb: CouchDB, options: argparse.Namespace, load: Load
    ) -> None:
        self._services = list(services)
        self._couchdb = couchdb
        self._options = options
        self._load = load
        self._has_masters = bool(services[0].sample.masters)
        self._demands = Demands()
        self._extra = contextlib.ExitStack()

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=_REQUEST_TIMEOUT_S)
        connector = aiohttp.TCPConnector(limit=0)
        with self._extra:
            async with aiohttp.ClientSession(timeout=timeout, connector=connector) as self._session:
                await self._drive()
                await self._judge()

    async def _drive(self) -> None:
        count = self._options.writers if self._options.own else _FRUITS
        fruits = [await self._create(number) for number in range(count)]
        self._demands = dataclasses.replace(self._demands, etag=bool(await self._etag(fruits[0])))
        await self._wait_until_known(fruits)
        end_s = time.monotonic() + self._load.seconds
        writers = [self._write_until(end_s, number, fruits) for number in range(self._options.writers)]
        await asyncio.gather(self._disturb(), *writers)
        self._fruits = fruits

    async def _create(self, number: int) -> str:
        url = f"{self._services[0].url}/v1.0/fruits"
        start_ns = time.monotonic_ns()
        while True:
            headers = self._demands.headers("")
            async with self._session.post(url, json={"color": "red"}, headers=headers) as answer:
                if not self._demands.key and asks_for_key(answer.status, await answer.read()):
                    self._demands = Demands(key=True)
                    continue
                answer.raise_for_status()
                fruit = await answer.json()
                break
        self._load.operations.append(
            Operation(
                document=fruit["fruit_id"],
                kind="create",
                client=-1 - number,
                start_ns=start_ns,
                end_ns=time.monotonic_ns(),
                status=201,
                change_count=0,
                epoch=fruit["created_on"],
            )
        )
        return str(fruit["fruit_id"])

    async def _wait_until_known(self, fruits: Sequence[str]) -> None:
        """Returns once the other master has the fruits, too."""
        deadline_s = time.monotonic() + _SETTLED_WITHIN_S
        pairs = list(itertools.product(self._services, fruits))
        while not all(["fruit_id" in await self._fruit(*pair) for pair in pairs]):
            if time.monotonic() > deadline_s:
                raise SuiteError("the fruits did not reach all services")
            await asyncio.sleep(0.1)

    async def _write_until(self, end_s: float, client: int, fruits: Sequence[str]) -> None:
        dice = random.Random(client)  # noqa: S311 - load
        while time.monotonic() < end_s:
            fruit_id, service = dice.choice(fruits), dice.choice(self._services)
            if self._options.own:
                fruit_id, service = fruits[client], self._services[client % len(self._services)]
            await self._change(client, service, fruit_id, dice.choice(_COLORS))

    async def _etag(self, fruit_id: str) -> str:
        """The version of a fruit; "" if the service has no versions, or no answer."""
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with self._session.get(f"{self._services[0].url}/v1.0/fruits/{fruit_id}") as answer:
                return answer.headers.get("ETag", "")
        return ""

    async def _change(self, client: int, service: Service, fruit_id: str, color: str) -> None:
        url = f"{service.url}/v1.0/fruits/{fruit_id}"
        headers = self._demands.headers(await self._etag(fruit_id) if self._demands.etag else "")
        operation = Operation(
            document=fruit_id, kind="update", client=client, start_ns=time.monotonic_ns(), end_ns=0
        )
        try:
            async with self._session.put(url, json={"color": color}, headers=headers) as answer:
                operation.status = answer.status
                body = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError):
            operation.status = None
            await asyncio.sleep(0.1)
        else:
            if answer.status == 200:
                operation.change_count, operation.epoch = body["change_count"], body["created_on"]
        operation.end_ns = time.monotonic_ns()
        self._load.operations.append(operation)
        self._book(operation)

    def _book(self, operation: Operation) -> None:
        if operation.status == 200:
            self._load.acknowledged[operation.document] += 1
            self._load.latencies_s.append((operation.end_ns - operation.start_ns) / 1e9)
        elif operation.status is None or operation.status >= 500:
            self._load.unknown[operation.document] += 1
        else:
            self._load.refused += 1

    async def _disturb(self) -> None:
        await asyncio.sleep(self._load.seconds / 3)
        if self._options.fault == _SERVICES_KILLED:
            await asyncio.to_thread(self._kill_services)
        if self._options.break_:
            await shell(self._options.break_)
        await asyncio.sleep(self._load.seconds / 3)
        if self._options.mend:
            await shell(self._options.mend)

    def _kill_services(self) -> None:
        for number, service in enumerate(self._services[1:], 1):
            service.process.kill()
            process = service.command.start(settings.RUN_FOLDER, {})
            self._extra.callback(process.stop)
            self._services[number] = Service(service.command, wait_until_healthy(process), process)

    async def _judge(self) -> None:
        """Reads what is stored once all copies agree, and compares it with what clients were told."""
        self._load.requests = await self._requests()
        for fruit_id in self._fruits:
            await self._read(fruit_id)
        if not self._has_masters and self._services[0].sample.name not in _WITHOUT_ORDER:
            checker = Checker()
            for operation in self._load.operations:
                checker.add(operation)
            self._load.is_linearizable = checker.verdict().is_linearizable

    async def _read(self, fruit_id: str) -> None:
        deadline_s = time.monotonic() + _SETTLED_WITHIN_S
        while True:
            start_ns = time.monotonic_ns()
            answers = [await self._fruit(service, fruit_id) for service in self._services]
            leaves = await asyncio.to_thread(self._conflicts, fruit_id)
            if answers.count(answers[0]) == len(answers) and (not leaves or not self._has_masters):
                break
            if time.monotonic() > deadline_s:
                raise SuiteError(f"the services did not agree on fruit {fruit_id}: {answers}")
            await asyncio.sleep(0.5)
        self._load.live_leaves += leaves
        self._load.stored[fruit_id] = answers[0]["change_count"]
        self._load.operations.append(
            Operation(
                document=fruit_id,
                kind="read",
                client=10_000,
                start_ns=start_ns,
                end_ns=time.monotonic_ns(),
                status=200,
                change_count=answers[0]["change_count"],
                epoch=answers[0]["created_on"],
            )
        )

    async def _fruit(self, service: Service, fruit_id: str) -> dict[str, Any]:
        async with self._session.get(f"{service.url}/v1.0/fruits/{fruit_id}") as answer:
            fruit: dict[str, Any] = await answer.json()
        return fruit

    def _conflicts(self, fruit_id: str) -> int:
        """How many live leaves of a fruit there are beside the winners, in all databases."""
        names = {service.command.database_url.split(",")[0].rpartition("/")[2] for service in self._services}
        try:
            with self._couchdb.connect() as server:
                rows = [
                    row
                    for name in names
                    for row in server.ask(
                        "GET", name, "_all_docs", query={"include_docs": "true", "conflicts": "true"}
                    )["rows"]
                ]
        except CouchDBError as error:
            raise SuiteError(str(error)) from error
        return sum(
            len(row["doc"].get("_conflicts", ())) for row in rows if row["doc"].get("fruit_id") == fruit_id
        )

    async def _requests(self) -> float:
        count = 0.0
        for service in self._services:
            url = f"{service.url}/_metrics"
            async with self._session.get(url, headers={"Accept": "text/plain"}) as answer:
                count += sum(map(float, _COUNT_OF_REQUESTS.findall(await answer.text())))
        return count


def _figures(loads: Sequence[Load]) -> Iterator[str]:
    acknowledged = [load.acknowledged.total() for load in loads]
    yield f"{sum(acknowledged):,}"
    yield f"{sum(load.lost for load in loads):,}"
    yield f"{sum(load.doubled for load in loads):,}"
    yield f"{sum(load.live_leaves for load in loads):,}"
    verdicts = {load.is_linearizable for load in loads}
    yield "not asked" if None in verdicts else ("no" if False in verdicts else "yes")
    yield f"{sum(load.refused for load in loads):,}"
    yield f"{sum(load.unknown.total() for load in loads):,}"
    yield report.median_with_range([load.acknowledged.total() / load.seconds for load in loads])
    yield report.median_with_range([load.requests / max(1, load.acknowledged.total()) for load in loads], 2)
    yield report.median_with_range([_p99_s(load) * 1e3 for load in loads])


def _p99_s(load: Load) -> float:
    return statistics.quantiles(load.latencies_s, n=100)[98] if len(load.latencies_s) > 1 else 0.0


def _write(options: argparse.Namespace, nodes: int, loads: dict[tuple[str, bool], list[Load]]) -> Path:
    rows = [
        [f"{name.rpartition('/')[2]} {'with the rule' if follows_rule else 'without'}", *_figures(each)]
        for (name, follows_rule), each in loads.items()
    ]
    header = [
        "",
        "acknowledged",
        "lost",
        "doubled",
        "live leaves left",
        "linearizable",
        "refused (409)",
        "unknown outcome",
        "changes/s",
        "requests a change",
        "99 % within (ms)",
    ]
    routing = "each through one node" if options.apart else "each through all nodes, by hash"
    fruits = "a fruit for each" if options.own else f"{_FRUITS} fruits"
    manner = ("apart" if options.apart else "hash") + ("_own" if options.own else "")
    fault = options.fault.replace(" ", "_")
    folder = options.results / "cluster_services"
    name = f"{nodes}_nodes_{options.writers}_writers_{manner}_{fault}"
    _plot(folder / f"{name}.svg", options.samples, loads)
    return report.write(
        folder,
        name,
        f"Samples on {nodes} nodes, {options.writers} writers, {fruits}, fault: {options.fault}",
        [
            f"{nodes} processes of each sample (multi_master: of each of its two masters), {routing}. "
            f"{options.rounds} rounds of {options.seconds} s, in turns. {hardware()}, shared by all.",
            report.table(header, rows),
            f"![Changes lost, and changes a second]({name}.svg)",
        ],
    )


def _plot(path: Path, samples: Sequence[str], loads: dict[tuple[str, bool], list[Load]]) -> None:
    """Each sample with the rule beside it without."""

    def pairs(figure: Callable[[Load], float]) -> dict[str, list[float]]:
        return {
            name.rpartition("/")[2]: [
                report.median(list(map(figure, loads[name, rule]))) for rule in (True, False)
            ]
            for name in samples
        }

    panels = {
        "acknowledged changes that were lost": pairs(lambda load: load.lost),
        "acknowledged changes a second": pairs(lambda load: load.acknowledged.total() / load.seconds),
    }
    plots.draw_pairs(path, panels, ["with the rule", "without"])
