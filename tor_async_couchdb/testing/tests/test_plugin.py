"""The fixtures as a service's tests use them."""

import pytest

from tor_async_couchdb import Database, NotFoundError, TransportError
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, cut_before


async def test_database_is_empty_and_this_tests_own(
    couchdb_database: Database, couchdb_database_url: str
) -> None:
    assert (await couchdb_database.information())["doc_count"] == 0
    assert couchdb_database.name == couchdb_database_url.rpartition("/")[2]
    await couchdb_database.save({"_id": "a"})


async def test_faults_happen_to_the_database(couchdb_database: Database, couchdb_faults: FaultProxy) -> None:
    couchdb_faults.inject(cut_before, times=3)
    with pytest.raises(TransportError):
        await couchdb_database.information()
    assert len(couchdb_faults.requests) == 3


async def test_new_database_is_deleted_at_the_end(couchdb: CouchDBServer) -> None:
    with couchdb.new_database() as url:
        name = url.rpartition("/")[2]
        assert couchdb.succeed("GET", name).json()["doc_count"] == 0
    async with Database(url, username=couchdb.username, password=couchdb.password) as database:
        with pytest.raises(NotFoundError):
            await database.information()
