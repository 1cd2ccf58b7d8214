"""Load with many conflicts on one service after another, and a table of the results."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from rich.table import Table

from suite.errors import SuiteError
from suite.processes import Process, signals_wait
from suite.services import Service
from suite.table import ROOT

_LOCUSTFILE = ROOT / "loadgen" / "locustfile.py"
_USERS = 25
_FRUITS = 5
_PERCENT_PUT = 80
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


def locust_command(service: Service) -> list[str]:
    """The command that puts this load on a service, with locust's page."""
    load = ["--fruits", str(_FRUITS), "--percent-put", str(_PERCENT_PUT), "--users", str(_USERS)]
    rate = ["--spawn-rate", str(_USERS)]
    return [sys.executable, "-m", "locust", "-f", str(_LOCUSTFILE), "--host", service.url, *load, *rate]


def put_load(service: Service, duration_s: int, logs: Path) -> dict[str, Any]:
    """The summary that loadgen writes of a load of `duration_s` seconds.

    Raises:
        SuiteError: the load generator ended without a summary.
    """
    name = service.sample.name.replace("/", "_")
    summary = logs / f"loadgen_{name}.json"
    summary.unlink(missing_ok=True)
    command = [*locust_command(service), "--headless", "--run-time", f"{duration_s}s", "--only-summary"]
    log = logs / f"loadgen_{name}.log"
    with contextlib.ExitStack() as stack:
        with signals_wait():
            load = Process(
                f"the load on {service.sample.name}", [*command, "--summary", str(summary)], log, {}
            )
            stack.enter_context(load)
        load.wait()
    if not summary.exists():
        raise SuiteError(f"The load on {service.sample.name} ended without a summary: see {log}.")
    figures: dict[str, Any] = json.loads(summary.read_text())
    return figures


def comparison_table(summaries: dict[str, dict[str, Any]]) -> Table:
    """A column for each service, by the name of its sample."""
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
