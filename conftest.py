"""Fixtures for the tests of all packages: a CouchDB, and databases of a test's own on it."""

import contextlib
import dataclasses
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node, install


@dataclasses.dataclass(frozen=True)
class CouchDBServer:
    """A CouchDB to test on: the one that COUCHDB_URL names, or the stand-in."""

    url: str
    username: str
    password: str = dataclasses.field(repr=False)

    def request(self, method: str, path: str, **arguments: object) -> requests.Response:
        """The answer to a request as the administrator; an error if it is not a success."""
        response = requests.request(
            method,
            f"{self.url}/{path}",
            auth=(self.username, self.password),
            timeout=30,
            **arguments,  # type: ignore[arg-type]
        )
        response.raise_for_status()
        return response

    @contextlib.contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of a new database, which is deleted in the end."""
        name = f"tor_async_couchdb_test_{uuid.uuid4().hex}"
        self.request("PUT", name)
        try:
            yield f"{self.url}/{name}"
        finally:
            self.request("DELETE", name)


@contextlib.contextmanager
def running_couchdb_server(folder: Path) -> Iterator[CouchDBServer]:
    """The CouchDB that COUCHDB_URL names, or else the stand-in, with its data in `folder`."""
    if "COUCHDB_URL" in os.environ:
        environment = os.environ
        yield CouchDBServer(
            environment["COUCHDB_URL"].rstrip("/"),
            environment["COUCHDB_USER"],
            environment["COUCHDB_PASSWORD"],
        )
        return
    node = find_node()
    install(node)
    username, password = "admin", uuid.uuid4().hex
    with EmbeddedCouchDB(node, folder, username=username, password=password) as server:
        yield CouchDBServer(server.url, username, password)


@pytest.fixture(scope="session")
def couchdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CouchDBServer]:
    """The CouchDB that the whole run tests on."""
    with running_couchdb_server(tmp_path_factory.mktemp("couchdb")) as server:
        yield server


@pytest.fixture
def database_url(couchdb: CouchDBServer) -> Iterator[str]:
    """The URL of a database of this test's own, without credentials."""
    with couchdb.new_database() as url:
        yield url


pytest_plugins = ("tor_async_couchdb.tests.fixtures",)
