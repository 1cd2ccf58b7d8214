"""Fixtures of the library's tests: a database of a test's own, behind a proxy that can do harm."""

from collections.abc import AsyncIterator

import pytest

from conftest import CouchDBServer
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.baskets import Conflicts
from tor_async_couchdb.tests.things import Documents


@pytest.fixture
async def proxy(database_url: str) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(database_url) as proxy:
        yield proxy


@pytest.fixture
async def database(couchdb: CouchDBServer, proxy: FaultProxy) -> AsyncIterator[Database]:
    async with Database(proxy.url, username=couchdb.username, password=couchdb.password) as database:
        yield database


@pytest.fixture
def documents(couchdb: CouchDBServer, database_url: str) -> Documents:
    return Documents(couchdb, database_url)


@pytest.fixture
def conflicts(database: Database, documents: Documents, couchdb: CouchDBServer) -> Conflicts:
    return Conflicts(database, documents, couchdb)
