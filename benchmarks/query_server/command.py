"""The query server's speed through its pipe, beside couchpy of couchdb-python.

Everything is pinned to one core, the driver too. A round drives each server once, in turn, over the same
lines; the table shows medians. "pipelined" sends lines as fast as the pipe takes them; "one by one" waits
for each answer, as CouchDB does. The floor is a server that reads and answers and does nothing else.

couchpy is the command of the PyPI package CouchDB 1.2; install it in an environment of its own and give its
path with --couchpy. The processor time is the server's own, without start-up (/proc, so Linux only).
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.measuring import settings

_MODULE = "couch_named_python.examples.fruits"
_COUCHPY_FUNCTION = """
def by_color(fruit):
    if fruit.get("type") == "fruit_v1.0":
        yield fruit["color"], fruit["fruit_id"]
"""
JAVASCRIPT_FUNCTION = (
    "function (fruit) { if (fruit.type === 'fruit_v1.0') { emit(fruit.color, fruit.fruit_id); } }"
)
_FLOOR = """
import os
while block := os.read(0, 1 << 16):
    os.write(1, b"[]\\n" * block.count(b"\\n"))
"""
_COLORS = ("red", "green", "yellow", "orange", "purple")
_BLOCK_BYTES = 1 << 16


class Server(NamedTuple):
    """A query server under measurement, and what its map function is called there."""

    name: str
    command: Sequence[str]
    function: str


class Figures(NamedTuple):
    """What one run took, by the wall clock and of the server's processor time."""

    documents_per_s: float
    cpu_us_per_document: float


class Session:
    """A running query server that knows one map function."""

    def __init__(self, server: Server) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- the commands above
            server.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("no pipe")
        self._input_fd = self._process.stdin.fileno()
        self._output_fd = self._process.stdout.fileno()
        self.prompt(b'["reset",{"reduce_limit":true,"timeout":5000}]\n')
        self.prompt(msgspec.json.encode(["add_fun", server.function]) + b"\n")

    def prompt(self, line: bytes) -> None:
        """Send one line and wait for its answer."""
        os.write(self._input_fd, line)
        self._await_answers(1)

    def stream(self, lines: Sequence[bytes]) -> None:
        """Send all lines as fast as the pipe takes them and wait for as many answers."""
        writer = threading.Thread(target=self._write_all, args=[b"".join(lines)])
        writer.start()
        self._await_answers(len(lines))
        writer.join()

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._input_fd, rest[:_BLOCK_BYTES]) :]

    def _await_answers(self, count: int) -> None:
        while count > 0:
            block = os.read(self._output_fd, _BLOCK_BYTES)
            if not block:
                raise RuntimeError("the query server has ended")
            count -= block.count(b"\n")

    def cpu_s(self) -> float:
        """Return the processor time that the server has used so far."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0]) / 1e9

    def close(self) -> None:
        """Close the pipe and wait for the server's end."""
        self._process.communicate(timeout=10)


def fruit(number: int) -> dict[str, str]:
    """Return a fruit as the CRUD samples store it."""
    return {
        "type": "fruit_v1.0",
        "fruit_id": f"{number:032x}",
        "color": _COLORS[number % len(_COLORS)],
        "created_on": "2026-11-21T10:00:00.000000+00:00",
        "updated_on": "2026-11-21T10:00:00.000000+00:00",
    }


def fruit_lines(count: int) -> list[bytes]:
    """Return CouchDB's ``map_doc`` lines for ``count`` fruits."""
    return [
        msgspec.json.encode(
            ["map_doc", {"_id": f"{number:032x}", "_rev": f"1-{number:032x}", **fruit(number)}]
        )
        + b"\n"
        for number in range(count)
    ]


def measure(session: Session, count: int, work: Callable[[], None]) -> Figures:
    """Time ``work``, which has the server map ``count`` documents."""
    cpu_s, began_s = session.cpu_s(), time.perf_counter()
    work()
    took_s = time.perf_counter() - began_s
    return Figures(count / took_s, (session.cpu_s() - cpu_s) / count * 1e6)


def run_round(server: Server, lines: Sequence[bytes]) -> tuple[Figures, Figures]:
    """Return the figures of one server, pipelined and one by one (a tenth of the lines)."""
    session = Session(server)
    session.stream(lines[: len(lines) // 10])
    pipelined = measure(session, len(lines), lambda: session.stream(lines))
    single_lines = lines[: len(lines) // 10]

    def one_by_one() -> None:
        for line in single_lines:
            session.prompt(line)

    single = measure(session, len(single_lines), one_by_one)
    session.close()
    return pipelined, single


def start_up_ms(server: Server) -> float:
    """Return the time from the process's start to its first two answers, the function's import included."""
    began_s = time.perf_counter()
    session = Session(server)
    took_s = time.perf_counter() - began_s
    session.close()
    return took_s * 1000


def servers(couchpy: str | None, couchjs: str | None) -> list[Server]:
    """Return what is measured, the project's own server first."""
    own = [sys.executable, "-m", "couch_named_python.serve.command", "--allow", _MODULE]
    found = [
        Server("couch-named-python", own, f"{_MODULE}.by_color|1"),
        Server("floor: does nothing", [sys.executable, "-S", "-c", _FLOOR], ""),
    ]
    if couchpy is not None:
        found.append(Server("couchpy", [couchpy], _COUCHPY_FUNCTION))
    if couchjs is not None:
        found.append(Server("CouchDB's JavaScript", [couchjs], JAVASCRIPT_FUNCTION))
    return found


def show(title: str, column: int, results: dict[str, list[tuple[Figures, Figures]]]) -> None:
    """Print the medians of one way of driving, each with its ratio to the project's own server."""
    table = Table("server", "documents/s", "ratio", "CPU µs/document", "ratio", title=title)
    medians = {
        name: Figures(
            *(statistics.median(values) for values in zip(*(r[column] for r in rounds), strict=True))
        )
        for name, rounds in results.items()
    }
    own = next(iter(medians.values()))
    for name, figures in medians.items():
        table.add_row(
            name,
            f"{figures.documents_per_s:,.0f}",
            f"{figures.documents_per_s / own.documents_per_s:.2f}",
            f"{figures.cpu_us_per_document:.2f}",
            f"{figures.cpu_us_per_document / own.cpu_us_per_document:.2f}",
        )
    Console().print(table)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--couchpy", default=shutil.which("couchpy"), help="path of couchpy")
    parser.add_argument("--couchjs", help="path of CouchDB's couchjs_mainjs (QuickJS), to measure it too")
    parser.add_argument("--rounds", type=settings.count, default=5, help="how often to measure everything")
    parser.add_argument("--documents", type=settings.count, default=100_000, help="in each round")
    parser.add_argument("--core", type=int, default=0, help="the core that all of it shares")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; the exit status."""
    os.sched_setaffinity(0, {arguments.core})
    lines = fruit_lines(arguments.documents)
    measured = servers(arguments.couchpy, arguments.couchjs)
    results: dict[str, list[tuple[Figures, Figures]]] = {server.name: [] for server in measured}
    for _ in range(arguments.rounds):
        for server in measured:
            results[server.name].append(run_round(server, lines))
    size = len(lines[0])
    show(f"pipelined, {arguments.documents:,} documents of {size} bytes, one core", 0, results)
    show("one by one", 1, results)
    for server in measured:
        times_ms = [start_up_ms(server) for _ in range(arguments.rounds)]
        Console().print(f"start-up to the first answers, {server.name}: {statistics.median(times_ms):.0f} ms")
    if arguments.couchpy is None:
        Console().print("couchpy was not found: pip install CouchDB==1.2 and give --couchpy its path")
    return 0
