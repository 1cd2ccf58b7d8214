"""A database that is killed under load and comes back, for each kind of CRUD sample."""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install
from suite.couchdb import CouchDB
from suite.experiments.writers import TOLD_NO, Writers
from suite.installations import installed
from suite.services import running
from suite.table import SAMPLES, Sample

# Not multi_master: the stand-in, killed while it replicates, answers no view when it is back.
CRUD = [sample for sample in SAMPLES if sample.name.startswith("crud/") and not sample.masters]
# One that sends each change by itself, and one that sends changes together. The others take longer.
QUICK = ("crud/exp_backoff", "crud/group_commit")


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[EmbeddedCouchDB]:
    node = find_node()
    install(node)
    with EmbeddedCouchDB(node, tmp_path / "couchdb", username="admin", password="secret") as server:
        yield server


@pytest.mark.parametrize(
    "sample",
    [
        pytest.param(sample, id=sample.name, marks=[] if sample.name in QUICK else [pytest.mark.long])
        for sample in CRUD
    ],
)
def test_killed_database_costs_no_acknowledged_change(
    sample: Sample, stand_in: EmbeddedCouchDB, tmp_path: Path
) -> None:
    couchdb = CouchDB(stand_in.url, "admin", "secret")
    with (
        installed([sample.anywhere()], couchdb, "test") as commands,
        running(commands, tmp_path) as services,
    ):
        writers = Writers(services[0].url)
        with writers.running():
            writers.wait_for_successes(20)
            os.kill(stand_in.pid, signal.SIGKILL)
            writers.wait_until(lambda: 503 in writers.statuses)
            stand_in.stop()
            stand_in.start()
            writers.wait_for_successes(20, after_s=time.monotonic())
        assert writers.statuses - {200, *TOLD_NO} == {503}
        writers.check()
