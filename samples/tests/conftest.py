"""Fixtures of the samples' tests: a database as it is installed, behind a proxy that provokes faults."""

import json
from collections.abc import AsyncIterator

import pytest

from samples.tests.folders import ROOT
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.guard import Guard
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.things import Documents
from tor_async_service.app.application import Parts
from tor_async_service.metrics import ServiceMetrics


@pytest.fixture
def parts() -> Parts:
    return Parts(metrics=ServiceMetrics(), deadline_s=20.0)


@pytest.fixture
def guard() -> Guard:
    """A test of a sample that has another guard has a fixture of this name."""
    return Guard()


@pytest.fixture
async def database(
    couchdb: CouchDBServer, proxy: FaultProxy, guard: Guard, parts: Parts
) -> AsyncIterator[Database]:
    """This test's database through the proxy."""
    async with Database(
        proxy.url, username=couchdb.username, password=couchdb.password, guard=guard, observer=parts.metrics
    ) as database:
        yield database


@pytest.fixture(autouse=True)
def documents(couchdb: CouchDBServer, database_url: str) -> Documents:
    documents = Documents(couchdb, database_url)
    for path in sorted((ROOT / "db_installer" / "design_docs").glob("*.json")):
        documents.put(_id=f"_design/{path.stem}", **json.loads(path.read_text()))
    return documents
