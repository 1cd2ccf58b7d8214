"""Tests of CouchDB's behaviour run against the stand-in and, when COUCHDB_URL is set, that CouchDB too."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install
from embedded_couchdb.tests.couch import Couch

SERVERS = ["stand-in"] + (["couchdb"] if "COUCHDB_URL" in os.environ else [])


@pytest.fixture(scope="session")
def node() -> Path:
    executable = find_node()
    install(executable)
    return executable


@pytest.fixture(scope="session", params=SERVERS)
def couch(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, node: Path
) -> Iterator[Couch]:
    if request.param == "couchdb":
        url = os.environ["COUCHDB_URL"].rstrip("/")
        yield Couch(url, os.environ["COUCHDB_USER"], os.environ["COUCHDB_PASSWORD"])
        return
    folder = tmp_path_factory.mktemp("stand-in")
    with EmbeddedCouchDB(node, folder, username="admin", password="secret") as server:
        yield Couch(server.url, "admin", "secret")


@pytest.fixture
def database(couch: Couch) -> Iterator[Couch]:
    new = couch.below(f"test_embedded_couchdb_{uuid.uuid4().hex}")
    assert new.put().status_code == 201
    yield new
    new.delete()


@pytest.fixture
def other_database(couch: Couch) -> Iterator[Couch]:
    new = couch.below(f"test_embedded_couchdb_{uuid.uuid4().hex}")
    assert new.put().status_code == 201
    yield new
    new.delete()
