import uuid
from collections.abc import Iterator

import pytest

from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.testing.couchdb import CouchDBServer


@pytest.fixture
def credentials(couchdb: CouchDBServer) -> UserPassword:
    return UserPassword(couchdb.username, couchdb.password)


@pytest.fixture
def database(couchdb: CouchDBServer, credentials: UserPassword) -> Iterator[AdminDatabase]:
    """A database that does not exist yet, of a name of its own; what a test makes of it is deleted."""
    with AdminClient(couchdb.url, credentials=credentials) as server:
        database = AdminDatabase(server, f"tor_async_couchdb_test_{uuid.uuid4().hex}")
        yield database
        if database.exists():
            database.delete()
