"""Load with many conflicts on one service after another, and a table of the results."""

import contextlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from loadgen.check import check_file
from loadgen.history import HistoryError
from loadgen.linearizability import Reads, Verdict
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.processes import Process, signals_wait
from suite.services import Service
from suite.table import ROOT
from tor_async_couchdb.errors import CouchDBError

_LOCUSTFILE = ROOT / "loadgen" / "locustfile.py"
_USERS = 25
_FRUITS = 5
_PERCENT_PUT = 80
_SUGGESTED = "crud/retry"  # the service that locust's page offers at first
# The rows of the table, and their names in the summary of loadgen.
_FIGURES = {
    "requests": "requests",
    "succeeded": "succeeded",
    "conflicts met": "conflicts_met",
    "resolved": "resolved",
    "given up": "given_up",
    "outcome unknown": "unknown",
    "updates lost": "lost",
    "p50 ms": "p50_ms",
    "p99 ms": "p99_ms",
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
    loaded = [service for service in services if service.sample.is_under_load] or services
    names = [service.sample.name for service in loaded]
    urls = ",".join(f"{service.sample.name}={service.url}" for service in loaded)
    first = _SUGGESTED if _SUGGESTED in names else names[0]
    where = locust_command("--services", urls, "--only", first)
    history = ["--history", str(logs / "loadgen_page.history.jsonl")]
    reads = ["--reads", reads_promised(loaded[0], couchdb).value]
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


def comparison_tables(
    summaries: Mapping[str, Mapping[str, Any]], fits: Callable[[Table], bool]
) -> list[Table]:
    """A column for each service, by the name of its sample; several tables if they don't fit into one."""
    groups: list[dict[str, Mapping[str, Any]]] = [{}]
    for name, summary in summaries.items():
        if groups[-1] and not fits(_comparison_table(groups[-1] | {name: summary})):
            groups.append({})
        groups[-1][name] = summary
    return [_comparison_table(group) for group in groups]


def _comparison_table(summaries: Mapping[str, Mapping[str, Any]]) -> Table:
    title = f"{_USERS} users on {_FRUITS} fruits, {_PERCENT_PUT} % of their requests are changes"
    table = Table("", title=title, title_justify="left")
    for name in summaries:
        table.add_column(name.rpartition("/")[2], justify="right")
    for title, key in _FIGURES.items():
        table.add_row(title, *(_cell(summary[key]) for summary in summaries.values()))
    return table


def _cell(value: float | None) -> str:
    if value is None:
        return "not known"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"
