"""What the suite makes of a load's history."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from loadgen.linearizability import Reads
from suite import load
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.processes import Process
from suite.services import Service, ServiceCommand
from suite.table import sample_named
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


def test_services_that_do_not_fit_on_the_screen_are_in_a_table_of_their_own() -> None:
    summary = dict.fromkeys(
        (
            "requests",
            "succeeded",
            "conflicts_met",
            "resolved",
            "given_up",
            "unknown",
            "lost",
            "p50_ms",
            "p99_ms",
        ),
        1,
    )
    summaries = {f"crud/{name}": summary for name in ("a", "b", "c", "d", "e")}
    tables = load.comparison_tables(summaries, lambda table: len(table.columns) <= 3)
    headers = [[str(column.header) for column in table.columns] for table in tables]
    assert headers == [["", "a", "b"], ["", "c", "d"], ["", "e"]]
    (table,) = load.comparison_tables(summaries, lambda _: True)
    assert len(table.columns) == 6
