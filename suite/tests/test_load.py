"""The load that the run puts on some samples, here on each CRUD sample and for longer."""

from pathlib import Path

import pytest

from suite.couchdb import CouchDB
from suite.installations import installed
from suite.load import put_load
from suite.services import running
from suite.table import SAMPLES, Sample
from tor_async_couchdb.testing.couchdb import CouchDBServer

CRUD = [sample for sample in SAMPLES if sample.name.startswith("crud/")]
DURATION_S = 30


@pytest.mark.long
@pytest.mark.parametrize("sample", CRUD, ids=lambda sample: sample.name)
def test_load_loses_no_acknowledged_update(sample: Sample, couchdb: CouchDBServer, tmp_path: Path) -> None:
    server = CouchDB(couchdb.url, couchdb.username, couchdb.password)
    with (
        installed([sample.anywhere()], server, "test") as commands,
        running(commands, tmp_path) as services,
    ):
        summary = put_load(services[0], DURATION_S, tmp_path)
    assert summary["problems"] == []
    assert summary["acknowledged"] > 100
