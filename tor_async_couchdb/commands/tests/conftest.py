import pytest

from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.testing.couchdb import CouchDBServer


@pytest.fixture(autouse=True)
def credentials_in_the_environment(couchdb: CouchDBServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUCHDB_USER", couchdb.username)
    monkeypatch.setenv("COUCHDB_PASSWORD", couchdb.password)


@pytest.fixture
def database(admin_database: AdminDatabase) -> AdminDatabase:
    """A database that does not exist yet."""
    return admin_database


@pytest.fixture
def options(couchdb: CouchDBServer, database: AdminDatabase) -> list[str]:
    """The options that name the database."""
    return [f"--host={couchdb.url}", f"--database={database.name}"]
