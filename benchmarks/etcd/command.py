"""tor_async_etcd beside aetcd and etcd3gw, on the same etcd, in turns.

    python -m venv peers && peers/bin/pip install -r benchmarks/etcd/peers.txt
    TMPDIR=/dev/shm python -m benchmarks etcd --peers peers/bin/python

Each measurement runs in a process of its own; in every round the clients take turns. etcd's data are in
TMPDIR. wrk, if it is installed, shows what etcd's JSON gateway does when the client costs next to nothing.
"""

import argparse
import asyncio
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.etcd import guarantees, report
from benchmarks.etcd.client import KEYS, VALUE
from benchmarks.measuring import machine, settings
from suite.table import ROOT
from tor_async_etcd import Client, OpSet, Transaction
from tor_async_etcd.testing import EtcdServer

_FOLDER = Path(__file__).parent
_EVENTS = 64_000
_PEERS = ("aetcd", "etcd3gw")
_IMPORTS_PER_ROUND = 3
_TIMEOUT_S = 120


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        "--peers", required=True, metavar="PYTHON", help="the Python that has aetcd and etcd3gw"
    )
    settings.add_options(parser, seconds=2)


def run(options: argparse.Namespace) -> int:
    """Measure, write the result, and return the exit status."""
    with EtcdServer("--quota-backend-bytes=4294967296") as etcd, tempfile.TemporaryDirectory() as folder:
        version = asyncio.run(prepare_replay(etcd.url))
        runner = Runner(etcd.url, options.peers, options.seconds, folder)
        for client in ("ours", *_PEERS):
            runner.run(client, "import", 1)
        measurements: report.Measurements = defaultdict(list)
        for number in range(options.rounds):
            for client, what, connections in turns(backwards=number % 2 == 1):
                measurements[client, what, connections].append(runner.run(client, what, connections))
            print(f"round {number + 1} of {options.rounds} is done", flush=True)
        counted = asyncio.run(check_guarantees(etcd.url, options.seconds))
    medium = "in memory" if Path(tempfile.gettempdir()).is_relative_to("/dev/shm") else "on disk"  # noqa: S108
    surroundings = [
        f"{machine.hardware()}; shared by clients and etcd, whose data are {medium}.",
        f"Versions: etcd {version}, Python {platform.python_version()}, {runner.peer_versions()}.",
        f"{options.rounds} rounds of {options.seconds} s each; clients take turns, each in its own process.",
    ]
    print(report.write(options.results, measurements, counted, surroundings))
    return 0


def turns(*, backwards: bool) -> Iterator[report.Measurement]:
    """Yield the measurements of a round, the clients of each in turns."""
    everyone = ["gateway", "ours", "coalescing", *_PEERS]
    for what in ("put", "range"):
        for connections in (1, 32, 128):
            for client in reversed(everyone) if backwards else everyone:
                yield client, what, connections
    for what in ("delay", "replay"):
        for client in ("aetcd", "ours") if backwards else ("ours", "aetcd"):
            yield client, what, 1
    for client in ("asyncio", "ours", *_PEERS) * _IMPORTS_PER_ROUND:
        yield client, "import", 1
    yield "ours", "contention", 32


class Runner:
    """Runs single measurements."""

    def __init__(self, url: str, peers: str, seconds: int, folder: str) -> None:
        """Take a folder for compiled Python, so that no import compiles but the first."""
        self._url = url
        self._peers = peers
        self._seconds = seconds
        self._environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONPYCACHEPREFIX": folder}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)

    def run(self, client: str, what: str, connections: int) -> dict[str, float]:
        """Return what one measurement measured; nothing if it needs wrk and there's none."""
        if client == "gateway" and shutil.which("wrk") is None:
            return {}
        if client == "gateway":
            command = self._load(what, connections)
        elif what == "import":
            module = {"ours": "tor_async_etcd"}.get(client, client)
            command = [self._python(client), str(_FOLDER / "weight.py"), module]
        else:
            command = self._measurement(client, what, connections)
        measured: dict[str, float] = json.loads(self._output(command))
        return measured

    def peer_versions(self) -> str:
        """Return what the peers are made of, for instance "aetcd 1.0.0, etcd3gw 2.7.0"."""
        program = "from importlib.metadata import version\n"
        program += f"print(*[f'{{name}} {{version(name)}}' for name in {(*_PEERS, 'grpcio')}], sep=', ')"
        return self._output([self._peers, "-c", program]).strip()

    def _load(self, what: str, connections: int) -> list[str]:
        fields = {"key": KEYS[0]} if what == "range" else {"key": KEYS[0], "value": VALUE}
        body = json.dumps({name: b64encode(value).decode() for name, value in fields.items()})
        options = ["-t1", f"-c{connections}", f"-d{self._seconds}s", "-s", str(_FOLDER / "gateway.lua")]
        return ["wrk", *options, f"{self._url}/v3/kv/{what}", "--", body]

    def _measurement(self, client: str, what: str, connections: int) -> list[str]:
        etcd = urlsplit(self._url)
        program = [str(_FOLDER / "client.py"), client, what, str(etcd.hostname), str(etcd.port)]
        amounts = [f"--connections={connections}", f"--seconds={self._seconds}", f"--events={_EVENTS}"]
        return [self._python(client), *program, *amounts, "--revision=2"]

    def _python(self, client: str) -> str:
        return self._peers if client in _PEERS else sys.executable

    def _output(self, command: Sequence[str]) -> str:
        done = subprocess.run(  # noqa: S603 - the command is made right here
            command, env=self._environment, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        if done.returncode:
            raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
        return done.stdout.splitlines()[-1]


async def prepare_replay(url: str) -> str:
    """Make the events that are replayed, 64 at a revision, and return etcd's version."""
    async with Client(url) as client:
        for number in range(_EVENTS // 64):
            keys = [b"replay/%d" % key for key in range(64)]
            await client.submit(Transaction(success=[OpSet(key, b"%d" % number) for key in keys]))
        return (await client.status()).version


async def check_guarantees(url: str, seconds: int) -> report.Guarantees:
    """Count what must hold under load."""
    return report.Guarantees(
        await guarantees.increments(url, clients=8, times=25),
        await guarantees.bank(url, clerks=8, seconds=2 * seconds),
        await guarantees.fence(url, times=100),
    )
