"""tor_async_etcd beside aetcd and etcd3gw, on the same etcd, in turns.

    python -m venv peers && peers/bin/pip install -r benchmarks/etcd_peers.txt
    TMPDIR=/dev/shm python benchmarks/etcd.py --peers peers/bin/python

Every number is the median of the rounds, in each of which the clients take turns; each measurement runs in a
process of its own. etcd's data are in TMPDIR.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tor_async_etcd import Client, OpSet, Transaction  # noqa: E402 - found through the line above
from tor_async_etcd.testing import EtcdServer  # noqa: E402 - the same

EVENTS = 64_000
CONNECTIONS = (1, 32, 128)
PEERS = ("aetcd", "etcd3gw")

Measured = dict[str, float]
Case = tuple[str, int]


def main() -> None:
    """Measure, and print tables in Markdown."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("--peers", help="the Python that has aetcd and etcd3gw")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=2.0)
    chosen = options.parse_args()
    with EtcdServer("--quota-backend-bytes=4294967296") as etcd:
        runner = Runner(etcd, chosen.peers, chosen.seconds)
        version = asyncio.run(prepare_replay(etcd))
        say(f"etcd {version}, {os.cpu_count()} processors, {chosen.rounds} rounds of {chosen.seconds:g} s\n")
        clients = ["ours", "coalescing", *(PEERS if chosen.peers else ())]
        compare_throughput(runner, clients, chosen.rounds)
        compare_watches(runner, [client for client in clients if client in ("ours", "aetcd")], chosen.rounds)
        contended = median([runner.run("ours", "contention", 32) for _ in range(chosen.rounds)])
        say(f"\n32 clients increment one key: {contended['per_s']:,.0f}/s, {contended['lost']:.0f} lost")


class Runner:
    """Runs single measurements."""

    def __init__(self, etcd: EtcdServer, peers: str | None, seconds: float) -> None:
        self._etcd = etcd
        self._peers = peers
        self._seconds = seconds

    def run(self, client: str, what: str, connections: int = 1) -> Measured:
        """Return what one measurement in a process of its own measured."""
        url = urlsplit(self._etcd.url)
        command = [self._python(client), str(Path(__file__).with_name("etcd_client.py")), client, what]
        command += [str(url.hostname), str(url.port), f"--connections={connections}"]
        command += [f"--seconds={self._seconds}", f"--events={EVENTS}", "--revision=2"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(  # noqa: S603 - the command is made right here
            command, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise SystemExit(f"{client} {what}: {done.stderr[-2000:]}")
        measured: Measured = json.loads(done.stdout)
        return measured

    def import_ms(self, client: str) -> float:
        """Return how long a fresh Python takes to import the client, and all that it imports."""
        module = client if client in PEERS else "tor_async_etcd"
        program = f"import time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
        done = subprocess.run(  # noqa: S603 - the program is made right here
            [self._python(client), "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
        )
        return float(done.stdout) * 1000

    def _python(self, client: str) -> str:
        return self._peers if client in PEERS and self._peers else sys.executable


async def prepare_replay(etcd: EtcdServer) -> str:
    """Make the events that are replayed, 64 at a revision, and return etcd's version."""
    async with Client(etcd.url) as client:
        for number in range(EVENTS // 64):
            keys = [b"replay/%d" % key for key in range(64)]
            await client.submit(Transaction(success=[OpSet(key, b"%d" % number) for key in keys]))
        return (await client.status()).version


def compare_throughput(runner: Runner, clients: Sequence[str], rounds: int) -> None:
    """Print how many puts and gets of 256 bytes each client does, and what they cost."""
    cases: list[Case] = [(what, connections) for what in ("put", "range") for connections in CONNECTIONS]
    measured: dict[tuple[str, Case], list[Measured]] = {}
    for _ in range(rounds):
        for case in cases:
            for client in clients:
                measured.setdefault((client, case), []).append(runner.run(client, *case))
    medians = {key: median(results) for key, results in measured.items()}
    titles = [f"{what} {connections}" for what, connections in cases]
    table(["operations/s", *titles, "CPU s/1,000 at 32", "RSS MB", "import ms"])
    for client in clients:
        results = [medians[client, case] for case in cases]
        highest = max(result["rss_mb"] for result in results)
        row(
            [
                client,
                *[f"{result['per_s']:,.0f}" for result in results],
                f"{medians[client, ('put', 32)]['cpu_s_per_1000']:.3f}",
                f"{highest:.0f}",
                f"{statistics.median(runner.import_ms(client) for _ in range(9)):.0f}",
            ]
        )
    for peer in (peer for peer in PEERS if peer in clients):
        for client in ("ours", "coalescing"):
            ratios = [medians[client, case]["per_s"] / medians[peer, case]["per_s"] for case in cases]
            row([f"{client} / {peer}", *[f"{ratio:.2f}" for ratio in ratios], "", "", ""])


def compare_watches(runner: Runner, clients: Sequence[str], rounds: int) -> None:
    """Print how soon an event comes, and how fast past events do."""
    say("")
    table(["watch", "put to event, p50 ms", "p99 ms", "events/s"])
    for client in clients:
        delays = median([runner.run(client, "delay") for _ in range(rounds)])
        replayed = median([runner.run(client, "replay") for _ in range(rounds)])
        row([client, f"{delays['p50_ms']:.2f}", f"{delays['p99_ms']:.2f}", f"{replayed['per_s']:,.0f}"])


def median(results: Sequence[Measured]) -> Measured:
    """Return the median of each number."""
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


def table(titles: Sequence[str]) -> None:
    """Print the head of a table."""
    row(titles)
    row(["---"] * len(titles))


def row(cells: Sequence[str]) -> None:
    """Print a row of a table."""
    say(f"| {' | '.join(cells)} |")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
