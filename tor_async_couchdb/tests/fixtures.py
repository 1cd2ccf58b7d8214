"""Fixtures of the library's own tests."""

import contextlib
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.baskets import Conflicts
from tor_async_couchdb.tests.things import Documents


class Connect(Protocol):
    """Makes one more `Database`: the test's own database through the proxy, or the one at `url`."""

    def __call__(self, url: str | None = None, **parts: Any) -> Database:
        """`parts` are arguments of `Database`."""


@pytest.fixture
def database_url(couchdb_database_url: str) -> str:
    return couchdb_database_url


@pytest.fixture
async def proxy(couchdb_faults: FaultProxy) -> FaultProxy:
    return couchdb_faults


@pytest.fixture
async def database(couchdb_database: Database) -> Database:
    return couchdb_database


@pytest.fixture
async def connect(couchdb: CouchDBServer, proxy: FaultProxy) -> AsyncIterator[Connect]:
    """Connects to the test's database with other parts; all connections are closed after the test."""
    async with contextlib.AsyncExitStack() as stack:

        def connect(url: str | None = None, **parts: Any) -> Database:
            credentials = {"username": couchdb.username, "password": couchdb.password}
            database = Database(proxy.url if url is None else url, **credentials | parts)
            stack.push_async_exit(database)
            return database

        yield connect


@pytest.fixture
def documents(couchdb: CouchDBServer, couchdb_database_url: str) -> Documents:
    return Documents(couchdb, couchdb_database_url)


@pytest.fixture
def credentials(couchdb: CouchDBServer) -> UserPassword:
    return UserPassword(couchdb.username, couchdb.password)


@pytest.fixture
def admin_database(couchdb: CouchDBServer, credentials: UserPassword) -> Iterator[AdminDatabase]:
    """A database with a name of its own that does not exist yet; it is deleted after the test."""
    with AdminClient(couchdb.url, credentials=credentials) as server:
        database = AdminDatabase(server, f"tor_async_couchdb_test_{uuid.uuid4().hex}")
        yield database
        if database.exists():
            database.delete()


@pytest.fixture
def conflicts(database: Database, documents: Documents, couchdb: CouchDBServer) -> Conflicts:
    return Conflicts(database, documents, couchdb)
