"""Index builds on a real CouchDB: a Python view beside its JavaScript twin, and with query servers killed.

Needs a CouchDB of 3.x in COUCHDB_URL (COUCHDB_USER, COUCHDB_PASSWORD) that was started with, in its
environment::

    COUCHDB_QUERY_SERVER_PYTHON="/path/to/couch-named-python --allow couch_named_python.examples"

With --couchdb-pid, the process id of that CouchDB on this machine, its query servers are killed (SIGKILL) in
the middle of a build. Works in a database of its own, which it deletes.
"""

import argparse
import os
import signal
import statistics
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import requests
from rich.console import Console

from benchmarks.measuring import settings
from benchmarks.query_server.command import JAVASCRIPT_FUNCTION, fruit
from suite.errors import SuiteError

_VARIABLES = ("COUCHDB_URL", "COUCHDB_USER", "COUCHDB_PASSWORD")
_BATCH = 5000
_TIMEOUT_S = 900
_PYTHON = {
    "language": "python",
    "views": {"by_color": {"map": "couch_named_python.examples.fruits.by_color|1"}},
}
_JAVASCRIPT = {"language": "javascript", "views": {"by_color": {"map": JAVASCRIPT_FUNCTION}}}
_CONSOLE = Console()


class Database:
    """A database of fruits on the CouchDB under measurement."""

    def __init__(self) -> None:
        self._session = requests.Session()
        self._session.auth = os.environ["COUCHDB_USER"], os.environ["COUCHDB_PASSWORD"]
        self._url = f"{os.environ['COUCHDB_URL']}/cnp-benchmark-{uuid.uuid4().hex}"
        self._builds = 0

    def fill(self, count: int) -> None:
        """Create the database with ``count`` fruits."""
        self._request("PUT", "").raise_for_status()
        for begin in range(0, count, _BATCH):
            fruits = [fruit(number) for number in range(begin, min(begin + _BATCH, count))]
            self._request("POST", "/_bulk_docs", json={"docs": fruits}).raise_for_status()

    def create_view(self, design: dict[str, Any]) -> str:
        """Create a design document whose index doesn't exist yet, and return its path."""
        self._builds += 1
        path = f"/_design/build{self._builds}"
        # Design options are part of an index's signature: each build has an index of its own.
        self._request("PUT", path, json={**design, "options": {"build": self._builds}}).raise_for_status()
        return path

    def build(self, path: str) -> float:
        """Query the view until it answers, and return how long that took in seconds."""
        began_s = time.perf_counter()
        while not (response := self._request("GET", f"{path}/_view/by_color?limit=0")).ok:
            _CONSOLE.print(f"  answered {response.status_code} {response.text.strip()}; asking again")
        return time.perf_counter() - began_s

    def indexed(self, path: str) -> int:
        """Return how many changes the index has taken in so far."""
        return int(self._request("GET", f"{path}/_info").json()["view_index"]["update_seq"])

    def rows(self, path: str) -> Any:
        """Return all rows of the view."""
        return self._request("GET", f"{path}/_view/by_color").json()["rows"]

    def delete(self) -> None:
        """Delete the database and its indexes."""
        self._request("DELETE", "")

    def _request(self, method: str, path: str, json: Any = None) -> requests.Response:
        return self._session.request(method, f"{self._url}{path}", json=json, timeout=_TIMEOUT_S)


def query_servers(couchdb_pid: int) -> list[int]:
    """Return the process ids of the Python query servers below a CouchDB."""
    found = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            command = (directory / "cmdline").read_bytes()
        except OSError:
            continue
        is_query_server = b"couch-named-python" in command or b"couch_named_python.serve.command" in command
        if is_query_server and is_below(int(directory.name), couchdb_pid):
            found.append(int(directory.name))
    return found


def is_below(pid: int, ancestor: int) -> bool:
    """Tell whether a process descends from another."""
    while pid > 1 and pid != ancestor:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return pid == ancestor


def compare(database: Database, rounds: int) -> None:
    """Build the index in both languages in turn and print the medians."""
    times_s: dict[str, list[float]] = {"python": [], "javascript": []}
    for round_number in range(rounds):
        # Each goes first in every other round, so that neither always follows the other.
        for design in (_PYTHON, _JAVASCRIPT) if round_number % 2 else (_JAVASCRIPT, _PYTHON):
            times_s[str(design["language"])].append(database.build(database.create_view(design)))
    ratio = statistics.median(a / b for a, b in zip(*times_s.values(), strict=True))
    python_s, javascript_s = (statistics.median(each) for each in times_s.values())
    _CONSOLE.print(
        f"index build, median of {rounds}: Python {python_s:.1f} s, JavaScript {javascript_s:.1f} s"
    )
    _CONSOLE.print(f"Python / JavaScript, median of the rounds' ratios: {ratio:.2f}; all: {times_s}")


def kill(database: Database, couchdb_pid: int, count: int) -> None:
    """Kill the query servers once a third of the index is built, and compare time and rows."""
    undisturbed = database.create_view(_PYTHON)
    undisturbed_s = database.build(undisturbed)
    path = database.create_view(_PYTHON)
    killed: list[int] = []
    took_s: list[float] = []
    builder = threading.Thread(target=lambda: took_s.append(database.build(path)))
    builder.start()
    while builder.is_alive() and not killed:
        if database.indexed(path) > count / 3:
            for pid in query_servers(couchdb_pid):
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
        time.sleep(0.05)
    builder.join()
    are_equal = database.rows(path) == database.rows(undisturbed)
    _CONSOLE.print(f"{len(killed)} query servers killed in mid-build; the rows are equal: {are_equal}")
    _CONSOLE.print(f"the build took {took_s[0]:.1f} s instead of {undisturbed_s:.1f} s")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--documents", type=settings.count, default=100_000, help="in the index")
    parser.add_argument("--rounds", type=settings.count, default=5, help="how often to measure everything")
    parser.add_argument("--couchdb-pid", type=int, help="kill this CouchDB's query servers in mid-build")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; the exit status.

    Raises:
        SuiteError: there is no CouchDB to measure on.
    """
    if missing := [name for name in _VARIABLES if name not in os.environ]:
        raise SuiteError(f"Set {', '.join(missing)}: the stand-in has no query servers.")
    database = Database()
    try:
        database.fill(arguments.documents)
        if arguments.couchdb_pid is not None:
            kill(database, arguments.couchdb_pid, arguments.documents)
        compare(database, arguments.rounds)
    finally:
        database.delete()
    return 0
