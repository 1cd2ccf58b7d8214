"""What the suite makes of a load's figures and history."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from loadgen.linearizability import Reads
from suite import load
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.processes import Process
from suite.services import Service, ServiceCommand
from suite.table import SAMPLES, sample_named
from tor_async_couchdb.errors import TransportError

SERVICE = Service(
    ServiceCommand(sample_named("crud/basic"), "http://127.0.0.1:5984/fruits", {}),
    "http://127.0.0.1:8445",
    Process.__new__(Process),
)


class _CouchDB(CouchDB):
    """Describes its databases as the test wants."""

    description: Any = {}  # noqa: RUF012 - each test sets its own

    @contextlib.contextmanager
    def connect(self) -> Iterator[Any]:  # type: ignore[override]  # only what is asked for
        yield self

    def ask(self, *_: str) -> Any:
        if isinstance(self.description, Exception):
            raise self.description
        return self.description


def couchdb(description: object) -> Any:
    return type("_Described", (_CouchDB,), {"description": description})("http://127.0.0.1:5984", "", "")


@pytest.mark.parametrize(
    ("description", "reads"),
    [
        ({"cluster": {"n": 3, "q": 2}}, Reads.SESSION),
        ({"cluster": {"n": 1, "q": 2}}, Reads.LINEARIZABLE),
        ({"doc_count": 1}, Reads.LINEARIZABLE),
    ],
)
def test_cluster_promises_reads_per_session(description: object, reads: Reads) -> None:
    assert load.reads_promised(SERVICE, couchdb(description)) is reads


def test_database_that_cannot_be_asked_is_an_error() -> None:
    with pytest.raises(SuiteError, match="no connection"):
        load.reads_promised(SERVICE, couchdb(TransportError("no connection")))


def test_history_that_cannot_be_checked_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "history.jsonl").write_text("{")
    with pytest.raises(SuiteError, match=r"history\.jsonl:1: "):
        load.verdict_on(tmp_path / "history.jsonl", Reads.LINEARIZABLE)


def test_table_fits_on_a_narrow_screen_however_large_the_figures_are() -> None:
    largest = {
        "requests": 9_989_999,
        "succeeded": 9_989_999,
        "conflicts_met": 9_989_999,
        "resolved": 9_989_999,
        "given_up": 9_989_999,
        "unknown": 999_499,
        "lost": 999,
        "p50_ms": 9_999.4,
        "p99_ms": 40_000.4,
    }
    names = [sample.name for sample in SAMPLES if sample.is_under_load]
    console = Console(width=80, file=io.StringIO())
    console.print(load.comparison_table(dict.fromkeys(names, largest)))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]  # it is the StringIO
    assert {line.split()[0] for line in lines[3:]} == {name.removeprefix("crud/") for name in names}
    figures = "9.99 M 9.99 M 9.99 M 9.99 M 9.99 M 999 k 999 9,999 40 s"
    assert {" ".join(line.split()[1:]) for line in lines[3:]} == {figures}


def test_figures_that_are_not_known_are_told_from_none() -> None:
    summary = dict.fromkeys(("requests", "succeeded", "conflicts_met", "resolved", "given_up", "unknown"), 0)
    unknown = {"in_database": None, "lost": None, "p50_ms": None, "p99_ms": None}
    console = Console(width=80, file=io.StringIO())
    console.print(load.comparison_table({"crud/basic": summary | unknown}))
    assert "basic 0 0 0 0 0 0 ? ? ?" in " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]  # it is the StringIO
