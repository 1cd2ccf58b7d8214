"""A pytest plugin for the tests of services.

It is loaded wherever the distribution is installed. Its fixtures:

- `couchdb`: a `CouchDBServer` for the whole run.
- `couchdb_database_url`: the URL of a new database for one test, which is deleted at the end.
- `couchdb_faults`: a `FaultProxy` in front of that database; by default it only forwards.
- `couchdb_database`: a `Database` that is connected through `couchdb_faults`. It needs pytest-asyncio.

A test that is marked with `single_copy` gets a database that keeps one copy of each document, on a cluster
too.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.couchdb import CouchDBServer, running_couchdb
from tor_async_couchdb.testing.fault_proxy import FaultProxy


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker."""
    config.addinivalue_line(
        "markers", "single_copy: its database keeps one copy of each document, on a cluster too"
    )


@pytest.fixture(scope="session")
def couchdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CouchDBServer]:
    """The CouchDB that the whole run tests on."""
    with running_couchdb(tmp_path_factory.mktemp("couchdb")) as server:
        yield server


@pytest.fixture
def couchdb_database_url(couchdb: CouchDBServer, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a database of this test's own, without credentials."""
    is_single = request.node.get_closest_marker("single_copy") is not None
    with couchdb.new_database(copies=1 if is_single else None) as url:
        yield url


@pytest.fixture
async def couchdb_faults(couchdb_database_url: str) -> AsyncIterator[FaultProxy]:
    """A proxy in front of this test's database, which provokes faults."""
    async with FaultProxy(couchdb_database_url) as proxy:
        yield proxy


@pytest.fixture
async def couchdb_database(couchdb: CouchDBServer, couchdb_faults: FaultProxy) -> AsyncIterator[Database]:
    """This test's database, through `couchdb_faults`."""
    async with Database(couchdb_faults.url, username=couchdb.username, password=couchdb.password) as database:
        await database.copies()  # now, so that no fault meets this question
        couchdb_faults.requests.clear()
        yield database
