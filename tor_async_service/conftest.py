"""Fixtures of the chassis' tests: a database behind a proxy that can do harm, and a service on it."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.fixtures import database, proxy
from tor_async_couchdb.tests.things import Documents
from tor_async_etcd.testing import EtcdServer
from tor_async_service.app.application import ServiceApplication
from tor_async_service.tests.serving import serving
from tor_async_service.tests.thing_service import make_app

__all__ = ["app", "client", "database", "documents", "etcd", "lone_client", "lone_database", "proxy"]


@pytest.fixture
def documents(couchdb: CouchDBServer, database_url: str) -> Documents:
    documents = Documents(couchdb, database_url)
    documents.put_view()
    return documents


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server


@pytest.fixture
def app(database: Database) -> ServiceApplication:
    return make_app(database)


@pytest.fixture
async def client(app: ServiceApplication, documents: Documents) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(app) as client:
        yield client


@pytest.fixture
async def lone_database() -> AsyncIterator[Database]:
    """A database that isn't there, for what needs none."""
    async with Database("http://127.0.0.1:1/absent") as database:
        yield database


@pytest.fixture
async def lone_client(lone_database: Database) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a service whose database isn't there."""
    async with serving(make_app(lone_database)) as client:
        yield client
