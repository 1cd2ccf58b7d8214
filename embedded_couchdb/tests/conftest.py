"""Fixtures that run a test against the stand-in and, if COUCHDB_URL is set, against that CouchDB too."""

import contextlib
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


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory, node: Path) -> Iterator[Couch]:
    with EmbeddedCouchDB(
        node, tmp_path_factory.mktemp("stand-in"), username="admin", password="secret"
    ) as server:
        yield Couch(server.url, "admin", "secret")


@pytest.fixture(scope="session")
def couchdb() -> Couch:
    if "COUCHDB_URL" not in os.environ:
        pytest.skip("COUCHDB_URL names no CouchDB")
    url = os.environ["COUCHDB_URL"].split(",")[0].strip().rstrip("/")  # of several nodes of a cluster
    return Couch(url, os.environ["COUCHDB_USER"], os.environ["COUCHDB_PASSWORD"])


@pytest.fixture(scope="session", params=SERVERS)
def couch(request: pytest.FixtureRequest) -> Couch:
    server: Couch = request.getfixturevalue("stand_in" if request.param == "stand-in" else "couchdb")
    return server


@contextlib.contextmanager
def new_database(couch: Couch, options: str = "") -> Iterator[Couch]:
    """A database that keeps one copy of each document, as the stand-in does."""
    new = couch.below(f"test_embedded_couchdb_{uuid.uuid4().hex}")
    assert new.put(f"?n=1{options}").status_code == 201
    try:
        yield new
    finally:
        new.delete()


@pytest.fixture
def database(couch: Couch) -> Iterator[Couch]:
    with new_database(couch) as new:
        yield new


@pytest.fixture
def one_shard(couch: Couch) -> Iterator[Couch]:
    """A database whose changes come in the order of their writes."""
    with new_database(couch, "&q=1") as new:
        yield new


@pytest.fixture
def other_database(couch: Couch) -> Iterator[Couch]:
    with new_database(couch) as new:
        yield new


@pytest.fixture
def stand_in_database(stand_in: Couch) -> Iterator[Couch]:
    with new_database(stand_in) as new:
        yield new


@pytest.fixture
def couchdb_database(couchdb: Couch) -> Iterator[Couch]:
    with new_database(couchdb) as new:
        yield new
