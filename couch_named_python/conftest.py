import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from couch_named_python.helpers import STAGE
from couch_named_python.tests.couchdb_double import CouchDBDouble
from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess


@pytest.fixture
def server() -> Iterator[QueryServerProcess]:
    process = QueryServerProcess(FUNCTIONS)
    yield process
    process.close()


@pytest.fixture
def logged() -> Iterator[list[str]]:
    """What design functions log that are run without a query server."""
    lines: list[str] = []
    before, STAGE.log = STAGE.log, lines.append
    yield lines
    STAGE.log = before


@pytest.fixture
def alarm_restored() -> Iterator[None]:
    """Leave SIGALRM as it was: the time limit takes it."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def source_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder from which modules can be imported, without cached bytecode."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    return tmp_path


@pytest.fixture
def couchdb() -> Iterator[CouchDBDouble]:
    double = CouchDBDouble()
    yield double
    double.close()
