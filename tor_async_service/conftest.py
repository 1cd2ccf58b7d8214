"""Fixtures of the chassis' tests: a database behind a proxy that provokes faults, and a service on it."""

from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.things import Documents
from tor_async_etcd.testing import EtcdServer
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import serving
from tor_async_service.tests.thing_service import make_app
from tor_async_service.tracing.tracer import RequestTracer


@pytest.fixture
def metrics() -> ServiceMetrics:
    return ServiceMetrics()


@pytest.fixture
def deadline_s() -> float:
    """A test that needs another deadline has a parameter of this name."""
    return 30.0


@pytest.fixture
def tracer() -> RequestTracer:
    """A module of tests that needs another tracer has a fixture of this name."""
    return RequestTracer()


@pytest.fixture
def parts(metrics: ServiceMetrics, deadline_s: float, tracer: RequestTracer) -> Parts:
    return Parts(deadline_s=deadline_s, metrics=metrics, tracer=tracer)


@pytest.fixture
def documents(couchdb: CouchDBServer, database_url: str) -> Documents:
    documents = Documents(couchdb, database_url)
    documents.put_view()
    return documents


@pytest.fixture
def guard() -> Guard:
    """A class of tests that needs another guard has a fixture of this name."""
    return Guard()


@pytest.fixture
async def database(
    couchdb: CouchDBServer, proxy: FaultProxy, metrics: ServiceMetrics, guard: Guard, tracer: RequestTracer
) -> AsyncIterator[Database]:
    """This test's database through the proxy; its requests are counted as those of a running service are."""
    async with Database(
        proxy.url,
        username=couchdb.username,
        password=couchdb.password,
        guard=guard,
        observer=metrics,
        tracer=tracer,
    ) as database:
        yield database


@pytest.fixture
def app(database: Database, parts: Parts) -> ServiceApplication:
    return make_app(database, parts=parts)


@pytest.fixture
async def client(app: ServiceApplication, documents: Documents) -> AsyncIterator[aiohttp.ClientSession]:
    async with serving(app) as client:
        yield client


@pytest.fixture
async def absent_database(metrics: ServiceMetrics) -> AsyncIterator[Database]:
    """A database that can't be reached, for tests that need none."""
    async with Database("http://127.0.0.1:1/absent", observer=metrics) as database:
        yield database


@pytest.fixture
async def lone_client(absent_database: Database, parts: Parts) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a service whose database can't be reached."""
    async with serving(make_app(absent_database, parts=parts)) as client:
        yield client


@pytest.fixture(scope="session")
def etcd() -> Iterator[EtcdServer]:
    with EtcdServer() as server:
        yield server
