import pytest

from tor_async_couchdb.installer.admin import AdminDatabase


@pytest.fixture
def database(admin_database: AdminDatabase) -> AdminDatabase:
    """A database that does not exist yet."""
    return admin_database
