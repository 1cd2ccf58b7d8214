"""Fixtures of the samples' tests: a database as it is installed, behind a proxy that can do harm."""

import json

import pytest

from samples.tests.folders import ROOT
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.fixtures import database, proxy
from tor_async_couchdb.tests.things import Documents

__all__ = ["database", "documents", "proxy"]


@pytest.fixture(autouse=True)
def documents(couchdb: CouchDBServer, database_url: str) -> Documents:
    documents = Documents(couchdb, database_url)
    for path in sorted((ROOT / "db_installer" / "design_docs").glob("*.json")):
        documents.put(_id=f"_design/{path.stem}", **json.loads(path.read_text()))
    return documents
