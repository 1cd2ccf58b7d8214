"""A CouchDB for tests: the one that COUCHDB_URL names, or the stand-in if it is installed.

If COUCHDB_URL names several nodes of a cluster, separated by commas, tests use the first.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

from tor_async_couchdb.installer.admin import AdminClient
from tor_async_couchdb.installer.option_types import UserPassword


class CouchDBServer(AdminClient):
    """A CouchDB, with its administrator's credentials."""

    def __init__(self, url: str, username: str, password: str) -> None:
        super().__init__(url, credentials=UserPassword(username, password))
        self.url = self.host
        self.username = username
        self.password = password

    def succeed(self, method: str, path: str, **arguments: Any) -> requests.Response:
        """The answer to a request as the administrator; an error if it is not a success."""
        response = self.request(method, path, **arguments)
        response.raise_for_status()
        return response

    @contextlib.contextmanager
    def new_database(self, *, copies: int | None = None) -> Iterator[str]:
        """The URL, without credentials, of a new database that is deleted at the end.

        A cluster keeps as many `copies` of its documents, or else as many as it is configured to.
        """
        name = f"tor_async_couchdb_test_{uuid.uuid4().hex}"
        self.succeed("PUT", name, params={} if copies is None else {"n": copies})
        try:
            yield f"{self.url}/{name}"
        finally:
            self.succeed("DELETE", name)


@contextlib.contextmanager
def running_couchdb(folder: Path) -> Iterator[CouchDBServer]:
    """The CouchDB that COUCHDB_URL names, or else the stand-in, with its data in `folder`.

    Raises:
        RuntimeError: COUCHDB_URL is not set, and there is no stand-in.
    """
    if "COUCHDB_URL" in os.environ:
        credentials = os.environ.get("COUCHDB_USER", ""), os.environ.get("COUCHDB_PASSWORD", "")
        url = os.environ["COUCHDB_URL"].split(",")[0].strip()
        with CouchDBServer(url, *credentials) as server:
            yield server
        return
    try:
        from embedded_couchdb.launcher import EmbeddedCouchDB
        from embedded_couchdb.node import find_node, install
    except ImportError as error:
        raise RuntimeError(
            "set COUCHDB_URL, COUCHDB_USER and COUCHDB_PASSWORD, or install embedded_couchdb"
        ) from error
    node = find_node()
    install(node)
    username, password = "admin", uuid.uuid4().hex
    with (
        EmbeddedCouchDB(node, folder, username=username, password=password) as stand_in,
        CouchDBServer(stand_in.url, username, password) as server,
    ):
        yield server
