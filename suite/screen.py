"""The output of run_all_samples.sh."""

import contextlib
import textwrap
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from suite.couchdb import CouchDB
from suite.services import Service

_console = Console(highlight=False)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Prints what the block does; on a terminal also how long it has taken so far."""
    _console.print(text)
    clock = Progress(TextColumn(" "), SpinnerColumn(), TimeElapsedColumn(), console=_console, transient=True)
    clock.add_task("", total=None)
    with clock if _console.is_terminal else contextlib.nullcontext():
        yield


def say(text: str) -> None:
    """Prints text, wrapped between words. A word that is longer than the screen stays whole."""
    _console.print(_wrapped(text), markup=False, soft_wrap=True)


def complain(text: str) -> None:
    """Prints an error, in red."""
    _console.print(_wrapped(text), style="red", markup=False, soft_wrap=True)


def _wrapped(text: str) -> str:
    """The text in lines that the screen is wide enough for. Commands, which are indented, stay whole."""
    return "\n".join(
        line
        if line.startswith(" ")
        else textwrap.fill(line, _console.width, break_long_words=False, break_on_hyphens=False)
        for line in text.split("\n")
    )


def show(table: Table) -> None:
    """Prints a table."""
    _console.print(table)


def service_table(services: Sequence[Service]) -> Table:
    """Each service with its URL and its log, which is in the folder of the logs."""
    table = Table("service", "where", "its log")
    for service in services:
        table.add_row(service.command.label, service.url, service.process.log.name)
    return table


def database_lines(couchdb: CouchDB, database_url: str) -> str:
    """Where the database is that the services share, and how to look into it."""
    if couchdb.stand_in is None:
        return f"Their database:\n  {database_url}\n"
    return (
        f"Their database:\n  {database_url}\n"
        f"on the stand-in; user {couchdb.username}, password {couchdb.password};\n"
        f"its log: {couchdb.stand_in.log}\n"
    )


# Commands to try, by the sample that they ask.
_COMMANDS = {
    "crud/basic": """\
  curl -i {url}/v1.0/fruits \\
    -H 'Content-Type: application/json' -d '{{"color":"red"}}'
  curl -s '{url}/v1.0/fruits?limit=5'""",
    "health": "  curl -s '{url}/_health?quick=false'",
    "metrics": "  curl -s {url}/_metrics",
    "crud/retry": """\
  curl -s -H 'Accept: text/plain' {url}/_metrics \\
    | grep '^conflicts.*total'""",
}


def curl_lines(services: Sequence[Service]) -> str:
    """Commands to try, ready to paste, for the services that run."""
    urls = {service.sample.name: service.url for service in services}
    commands = [command.format(url=urls[name]) for name, command in _COMMANDS.items() if name in urls]
    return "\n".join(["Try:", *commands, ""]) if commands else ""
