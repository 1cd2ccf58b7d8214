import asyncio
from pathlib import Path

import pytest

from suite.couchdb import CouchDB
from suite.experiments.repeats import LOST, Tally, lossy_services, make_changes
from suite.table import sample_named
from tor_async_couchdb.testing.couchdb import CouchDBServer


@pytest.fixture
def server(couchdb: CouchDBServer) -> CouchDB:
    return CouchDB(couchdb.url, couchdb.username, couchdb.password)


def tally_of(sample: str, server: CouchDB, folder: Path, changes: int, clients: int, fruits: int) -> Tally:
    with lossy_services(sample_named(sample), server, folder) as lossy:
        tally = asyncio.run(make_changes(lossy.urls, changes=changes, clients=clients, fruits=fruits))
        assert lossy.to_clients.lost > changes / LOST / 2
        assert lossy.to_services.lost > 0
        return tally


def test_each_change_is_made_once_although_every_fifth_answer_is_lost(
    server: CouchDB, tmp_path: Path
) -> None:
    tally_of("crud/idempotent", server, tmp_path, changes=200, clients=8, fruits=5).check()


@pytest.mark.long
def test_each_of_10_000_changes_is_made_once_although_every_fifth_answer_is_lost(
    server: CouchDB, tmp_path: Path
) -> None:
    tally_of("crud/idempotent", server, tmp_path, changes=10_000, clients=16, fruits=20).check()


def test_without_keys_some_changes_are_made_twice(server: CouchDB, tmp_path: Path) -> None:
    tally = tally_of("crud/exp_backoff", server, tmp_path, changes=60, clients=4, fruits=5)
    assert tally.answered == 60
    assert tally.counted > 60
    with pytest.raises(AssertionError, match="made twice: 60 changes"):
        tally.check()
