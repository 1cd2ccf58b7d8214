import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.request_cost import counted_service
from benchmarks.request_cost.command import calls_of
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.table import ROOT
from tor_async_couchdb.testing.couchdb import CouchDBServer

_MODULES = {
    "mine/__init__.py": "",
    "mine/low.py": """
import asyncio

def inner():
    pass

async def both():
    inner()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    inner()
""",
    "mine/high.py": """
from mine import low
from other import outside

async def top():
    await low.both()
    outside()
    low.inner()
""",
    "other.py": """
def outside():
    pass
""",
}
_PROGRAM = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from benchmarks.request_cost.counted_service import Calls
from mine.high import top
from mine import low

async def main():
    calls.is_counting = True
    await top()
    calls.is_counting = False

calls = Calls(frozenset(["mine"]))
sys.setprofile(calls.profile)
asyncio.run(main())
sys.setprofile(None)
print(calls.own_entries, calls.crossings)
"""


def test_resumed_coroutines_and_calls_within_a_module_are_no_crossings(tmp_path: Path) -> None:
    for name, text in _MODULES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-c", _PROGRAM, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - the test's own
    # top, both, and inner three times; into low came top's calls of both and of inner.
    assert done.stdout.split() == ["5", "2"]


@pytest.fixture
def server(couchdb: CouchDBServer) -> CouchDB:
    return CouchDB(couchdb.url, couchdb.username, couchdb.password)


def test_same_checkout_enters_the_same_functions(server: CouchDB, tmp_path: Path) -> None:
    first, second = (calls_of(ROOT, server, tmp_path / "log") for _ in range(2))
    assert first.entries > first.own_entries > first.crossings > 10
    assert second.own_entries == pytest.approx(first.own_entries, rel=0.02)
    assert second.crossings == pytest.approx(first.crossings, rel=0.02)


def test_other_checkout_is_the_one_that_runs(server: CouchDB, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="The service ended"):
        calls_of(tmp_path, server, tmp_path / "log")
    assert "No module named 'samples'" in (tmp_path / "log").read_text()


def test_program_that_counts_needs_only_the_standard_library() -> None:
    command = [sys.executable, "-I", "-S", counted_service.__file__, "a", "this"]
    subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=True)  # noqa: S603 - the test's own
