import argparse
import shutil
from pathlib import Path

import pytest

from benchmarks.tracing.command import OURS, ROWS, STOCK, Figure, cost_of_hooks_us, measure, run, write
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from tor_async_couchdb.testing.couchdb import CouchDBServer


def test_difference_is_that_within_each_round(tmp_path: Path) -> None:
    offs = (300.0, 500.0, 400.0)
    figures = {
        (row, contender.name): [Figure(off + 50 * i, 2.0 * i) for off in offs]
        for row in ROWS
        for i, contender in enumerate((*OURS, *STOCK))
    }
    text = write(tmp_path, figures, 0.5, 6, ["Machine: any."]).read_text()
    assert text.count("| off | 400 (300 to 500) | 0 | 0.00 |") == 3
    assert text.count("| stock, all sampled | 600 (500 to 700) | 200 | 8.00 |") == 3
    assert "costs a GET with one call 0.50 µs" in text


def test_hooks_cost_something() -> None:
    assert cost_of_hooks_us() > 0


def test_folder_without_the_peer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"does not have the packages of benchmarks/tracing/peer\.txt"):
        run(argparse.Namespace(stock=tmp_path, rounds=1, seconds=1, results=tmp_path))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_spans_arrive_if_and_only_if_they_are_sampled(couchdb: CouchDBServer, tmp_path: Path) -> None:
    server = CouchDB(couchdb.url, couchdb.username, couchdb.password)
    figures = measure(OURS, None, server, 1, 2, tmp_path)
    for row in ROWS:
        (off,), (few,), (every,) = (figures[row, contender.name] for contender in OURS)
        assert off.spans == 0
        assert 0 <= few.spans < 0.2
        assert every.spans > 1
