"""How much history a database remembers: what the installer sets, and that it is enough."""

import uuid
from collections.abc import Iterator

import pytest
import requests
from aiohttp import web

from db_installer.folders import REVS_LIMIT
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.installer import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request

_COUCHDBS_OWN_LIMIT = 1000


class Installer:
    """Installs a database without documents."""

    def __init__(self, couchdb: CouchDBServer) -> None:
        self.couchdb = couchdb
        self.name = f"tor_async_couchdb_test_{uuid.uuid4().hex}"

    def install(self, revs_limit: int | None = None) -> int:
        """Returns the limit that the database has then."""
        credentials = UserPassword(self.couchdb.username, self.couchdb.password)
        install(
            self.couchdb.url,
            self.name,
            credentials=credentials,
            revs_limit=revs_limit,
            revs_limit_if_new=REVS_LIMIT,
        )
        return int(self.couchdb.succeed("GET", f"{self.name}/_revs_limit").text)


@pytest.fixture
def installer(couchdb: CouchDBServer) -> Iterator[Installer]:
    installer = Installer(couchdb)
    yield installer
    couchdb.succeed("DELETE", installer.name)


def test_new_database_gets_the_limit_of_the_samples(installer: Installer) -> None:
    assert installer.install() == REVS_LIMIT


def test_limit_of_a_database_that_exists_stays_unless_another_one_is_given(installer: Installer) -> None:
    installer.couchdb.succeed("PUT", installer.name)
    assert installer.install() == _COUCHDBS_OWN_LIMIT
    assert installer.install(70) == 70
    assert installer.install() == 70


async def _change(database: Database, times: int) -> None:
    for _ in range(times):
        document = await database.fetch("hot")
        await database.save(document | {"count": document["count"] + 1})


@pytest.mark.single_copy
async def test_write_without_an_answer_is_found_though_others_came_after_it(
    couchdb: CouchDBServer, couchdb_database: Database, couchdb_faults: FaultProxy, couchdb_database_url: str
) -> None:
    name = couchdb_database_url.rpartition("/")[2]
    couchdb.succeed("PUT", f"{name}/_revs_limit", json=REVS_LIMIT)
    async with Database(couchdb_database_url, username=couchdb.username, password=couchdb.password) as others:
        await others.save({"_id": "hot", "count": 0})
        await _change(others, REVS_LIMIT)
        before = await couchdb_database.fetch("hot")

        async def applied_and_cut(request: Request) -> web.StreamResponse:
            await request.forward()
            await _change(others, REVS_LIMIT // 4)
            return request.cut()

        couchdb_faults.inject(applied_and_cut, "_bulk_docs")
        rev = await couchdb_database.save(before | {"count": before["count"] + 1})
        assert rev.startswith(f"{REVS_LIMIT + 2}-")
        assert (await others.fetch("hot"))["count"] == REVS_LIMIT + 1 + REVS_LIMIT // 4


async def test_changes_that_are_fewer_than_the_limit_replicate_without_a_conflict(
    couchdb: CouchDBServer, couchdb_database: Database, couchdb_database_url: str
) -> None:
    source = couchdb_database_url.rpartition("/")[2]
    with couchdb.new_database() as target_url:
        target = target_url.rpartition("/")[2]
        for name in (source, target):
            couchdb.succeed("PUT", f"{name}/_revs_limit", json=REVS_LIMIT)
        await couchdb_database.save({"_id": "hot", "count": 0})
        for changes in (REVS_LIMIT - 2, REVS_LIMIT // 2):
            await _change(couchdb_database, changes)
            _replicate(couchdb, source, target)
        document = couchdb.succeed("GET", f"{target}/hot", params={"conflicts": "true"}).json()
    assert document["count"] == REVS_LIMIT - 2 + REVS_LIMIT // 2
    assert "_conflicts" not in document


def _replicate(couchdb: CouchDBServer, source: str, target: str) -> requests.Response:
    auth = {"basic": {"username": couchdb.username, "password": couchdb.password}}
    ends = {
        end: {"url": f"{couchdb.url}/{name}", "auth": auth}
        for end, name in (("source", source), ("target", target))
    }
    return couchdb.succeed("POST", "_replicate", json=ends)
