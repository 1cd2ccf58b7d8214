import argparse
import shutil
from pathlib import Path

import pytest

from benchmarks.request_cost.command import CALL_ROWS, CPU_ROWS, measure, run, write
from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.table import ROOT
from tor_async_couchdb.testing.couchdb import CouchDBServer


def test_ratios_are_those_of_the_same_round(tmp_path: Path) -> None:
    figures = {
        (title, name): [value * factor for value in (1.0, 10.0, 2.0)]
        for title in (*CPU_ROWS, *CALL_ROWS)
        for name, factor in (("before", 1.0), ("now", 0.5))
    }
    text = write(tmp_path, figures, 6, ["Machine: any."]).read_text()
    assert "| GET, processor time, ms | 2.000 (1.000 to 10.000) | 1.000 (0.500 to 5.000) | 0.500 |" in text
    assert text.count("| 0.500 |") == 5


def test_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match="no checkout"):
        run(argparse.Namespace(before=tmp_path, rounds=1, seconds=1, results=tmp_path))


@pytest.mark.long
@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")
def test_checkout_beside_itself_costs_the_same(couchdb: CouchDBServer, tmp_path: Path) -> None:
    server = CouchDB(couchdb.url, couchdb.username, couchdb.password)
    figures = measure({"before": ROOT, "now": ROOT}, server, 1, 2, tmp_path)
    for title in CALL_ROWS:
        assert figures[title, "now"] == pytest.approx(figures[title, "before"], rel=0.02)
    for title in CPU_ROWS:
        assert all(value > 0 for name in ("before", "now") for value in figures[title, name])
