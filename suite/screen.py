"""What run_all_samples.sh shows."""

import contextlib
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from suite.couchdb import CouchDB
from suite.services import Service

_console = Console(highlight=False)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Says what is being done; a terminal also sees for how long."""
    _console.print(text)
    clock = Progress(TextColumn(" "), SpinnerColumn(), TimeElapsedColumn(), console=_console, transient=True)
    clock.add_task("", total=None)
    with clock if _console.is_terminal else contextlib.nullcontext():
        yield


def say(text: str) -> None:
    """Text, wrapped by the terminal alone, so that what is pasted from it is whole."""
    _console.print(text, markup=False, soft_wrap=True)


def complain(text: str) -> None:
    """What went wrong."""
    _console.print(text, style="red", markup=False, soft_wrap=True)


def show(table: Table) -> None:
    """A table."""
    _console.print(table)


def service_table(services: Sequence[Service]) -> Table:
    """What runs where."""
    folder = services[0].process.log.parent
    table = Table("service", "where", f"its log, in {folder}")
    for service in services:
        table.add_row(service.sample.label, service.url, service.process.log.name)
    return table


def database_lines(couchdb: CouchDB, database_url: str) -> str:
    """Where the services' database is."""
    if couchdb.log is None:
        return f"Their database: {database_url}\n"
    return f"Their database: {database_url}\n(on the stand-in; its log: {couchdb.log})\n"


def curl_lines(services: Sequence[Service]) -> str:
    """What to try, ready to paste."""
    url = {service.sample.name: service.url for service in services}
    fruits = f"{url['crud/basic']}/v1.0/fruits"
    return "\n".join(
        [
            "Try:",
            f"  curl -i {fruits} \\",
            """    -H 'Content-Type: application/json' -d '{"color":"red"}'""",
            f"  curl -s '{fruits}?limit=5'",
            f"  curl -s '{url['health']}/_health?quick=false'",
            f"  curl -s {url['metrics']}/_metrics",
            f"  curl -s -H 'Accept: text/plain' {url['crud/retry']}/_metrics \\",
            "    | grep '^conflicts.*total'",
            "",
        ]
    )
