import uuid
from collections.abc import Iterator

import pytest

from conftest import CouchDBServer
from tor_async_couchdb.clparserutil import UserPassword
from tor_async_couchdb.installer.database import Database
from tor_async_couchdb.installer.server import Server


@pytest.fixture
def credentials(couchdb: CouchDBServer) -> UserPassword:
    return UserPassword(couchdb.username, couchdb.password)


@pytest.fixture
def database(couchdb: CouchDBServer, credentials: UserPassword) -> Iterator[Database]:
    """A database that does not exist yet, of a name of its own; what a test makes of it is deleted."""
    with Server(couchdb.url, credentials=credentials) as server:
        database = Database(server, f"tor_async_couchdb_test_{uuid.uuid4().hex}")
        yield database
        if database.exists():
            database.delete()
