"""Options, folders and the database that benchmarks share."""

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path

from suite.couchdb import CouchDB, running_couchdb
from suite.table import ANY_PORT, ROOT

RUN_FOLDER = ROOT / ".run" / "benchmarks"
RESULTS = ROOT / "benchmarks" / "results"


def add_options(parser: argparse.ArgumentParser, *, rounds: int = 5, seconds: int | None = None) -> None:
    """Adds --rounds and --results, and --seconds unless the benchmark has a length of its own."""
    parser.add_argument("--rounds", type=count, default=rounds, help="how often to measure everything")
    add_results(parser)
    if seconds is not None:
        parser.add_argument("--seconds", type=count, default=seconds, help="length of each load")


def add_results(parser: argparse.ArgumentParser) -> None:
    """Adds --results."""
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER", help="where to write")


def count(text: str) -> int:
    """The number of an option, 1 or more.

    Raises:
        argparse.ArgumentTypeError: `text` is something else.
    """
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, 1 or more")
    return int(text)


@contextlib.contextmanager
def couchdb_to_measure() -> Iterator[CouchDB]:
    """The CouchDB that COUCHDB_URL names, or else the stand-in. Logs go to RUN_FOLDER, which exists then.

    Raises:
        SuiteError: it can't be used.
    """
    RUN_FOLDER.mkdir(parents=True, exist_ok=True)
    with running_couchdb(RUN_FOLDER / "couchdb", ANY_PORT) as couchdb:
        yield couchdb
