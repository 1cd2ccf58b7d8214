"""Load with many conflicts on one service after another, and a table of the results."""

import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.table import Table

from loadgen.check import check_file
from loadgen.history import HistoryError
from loadgen.linearizability import Reads, Verdict
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.processes import Process, signals_wait
from suite.services import Service
from suite.table import ROOT, loaded
from tor_async_couchdb.errors import CouchDBError

_LOCUSTFILE = ROOT / "loadgen" / "locustfile.py"
_USERS = 25
_FRUITS = 5
_PERCENT_PUT = 80
_SUGGESTED = "crud/retry"  # the service that locust's page offers at first
# The columns of the table, and their names in the summary of loadgen.
_FIGURES = {
    "sent": "requests",
    "success": "succeeded",
    "conflicts": "conflicts_met",
    "resolved": "resolved",
    "given up": "given_up",
    "unknown": "unknown",
    "lost": "lost",
    "p50": "p50_ms",
    "p99": "p99_ms",
}


def locust_command(*where: str) -> list[str]:
    """The command that puts this load on the services that the options `where` name."""
    load = ["--fruits", str(_FRUITS), "--percent-put", str(_PERCENT_PUT), "--users", str(_USERS)]
    rate = ["--spawn-rate", str(_USERS)]
    return [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), *where, *load, *rate]


def page_command(services: Sequence[Service], couchdb: CouchDB, port: int, logs: Path) -> list[str]:
    """The command that shows locust's page, with a choice of the services that are meant for load.

    Raises:
        SuiteError: their database can't be asked what it promises reads.
    """
    names = loaded(service.sample for service in services)
    urls = {service.sample.name: service.url for service in reversed(services)}  # each one's first process
    choice = ",".join(f"{name}={urls[name]}" for name in names)
    first = _SUGGESTED if _SUGGESTED in names else names[0]
    where = locust_command("--services", choice, "--only", first)
    history = ["--history", str(logs / "loadgen_page.history.jsonl")]
    reads = ["--reads", reads_promised(services[0], couchdb).value]
    return [*where, *history, *reads, "--web-host", "127.0.0.1", "--web-port", str(port)]


def history_of(service: Service, logs: Path) -> Path:
    """The file where a load on a service leaves its history."""
    return logs / f"loadgen_{service.sample.name.replace('/', '_')}.history.jsonl"


def put_load(service: Service, duration_s: int, logs: Path) -> dict[str, Any]:
    """The summary that loadgen writes of a load of `duration_s` seconds; it leaves a history too.

    Raises:
        SuiteError: the load generator ended without a summary.
    """
    name = service.sample.name.replace("/", "_")
    summary = logs / f"loadgen_{name}.json"
    summary.unlink(missing_ok=True)
    command = [
        *locust_command("--host", service.url),
        "--headless",
        "--run-time",
        f"{duration_s}s",
        "--only-summary",
    ]
    files = ["--summary", str(summary), "--history", str(history_of(service, logs))]
    log = logs / f"loadgen_{name}.log"
    with contextlib.ExitStack() as stack:
        with signals_wait():
            load = Process(f"the load on {service.sample.name}", [*command, *files], log, {})
            stack.enter_context(load)
        load.wait()
    if not summary.exists():
        raise SuiteError(f"The load on {service.sample.name} ended without a summary: see {log}.")
    figures: dict[str, Any] = json.loads(summary.read_text())
    return figures


def reads_promised(service: Service, couchdb: CouchDB) -> Reads:
    """What the service's database promises reads: the newest version, or on a cluster a session.

    Raises:
        SuiteError: the database can't be asked.
    """
    name = service.command.database_url.rpartition("/")[2]
    try:
        with couchdb.connect() as server:
            description = server.ask("GET", name)
    except CouchDBError as error:
        raise SuiteError(str(error)) from error
    copies = description.get("cluster", {}).get("n", 1)
    return Reads.SESSION if copies > 1 else Reads.LINEARIZABLE


def verdict_on(history: Path, reads: Reads) -> Verdict:
    """Whether the history of a load is linearizable.

    Raises:
        SuiteError: it can't be checked.
    """
    try:
        return check_file(history, reads)
    except HistoryError as error:
        raise SuiteError(str(error)) from error


def comparison_table(summaries: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row for each service, by the name of its sample. It fits on a screen of 80 columns."""
    load = f"{_USERS} users on {_FRUITS} fruits, {_PERCENT_PUT} % of their requests are changes"
    title = f"{load}; p50 and p99 in ms"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column()
    for figure in _FIGURES:
        table.add_column(figure, justify="right")
    for name, summary in summaries.items():
        table.add_row(name.rpartition("/")[2], *(_cell(summary[key]) for key in _FIGURES.values()))
    return table


def _cell(value: float | None) -> str:
    """A count in up to six characters: "99,999", "100 k", "1.23 M"; milliseconds in five: "99.9", "13 s"."""
    if value is None:
        return "?"
    if isinstance(value, float):
        return _milliseconds(value)
    if value < 100_000:
        return f"{value:,}"
    return f"{value / 1e3:,.0f} k" if value < 999_500 else f"{value / 1e6:.2f} M"


def _milliseconds(value: float) -> str:
    if value < 99.95:
        return f"{value:.1f}"
    return f"{value:,.0f}" if value < 9_999.5 else f"{value / 1e3:.0f} s"
