"""The samples' services log in as users that are no administrators, where there are such users."""

import os
import uuid
from pathlib import Path
from typing import Any

import pytest
import requests

from suite.couchdb import CouchDB
from suite.installations import installed
from suite.services import Service, running
from suite.table import SAMPLES
from tor_async_couchdb.errors import ResponseError
from tor_async_couchdb.installer.admin import AdminClient
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.testing.couchdb import CouchDBServer

SERVICES = [sample for sample in SAMPLES if not sample.needs("etcd")]


@pytest.fixture
def suite_couchdb(couchdb: CouchDBServer) -> CouchDB:
    has_users = "COUCHDB_URL" in os.environ
    return CouchDB(couchdb.url, couchdb.username, couchdb.password, has_users=has_users)


def ask(service: Service, method: str, path: str, **arguments: Any) -> requests.Response:
    """The answer to a request, which is a success."""
    headers = {"If-Match": "*", "Idempotency-Key": f'"{uuid.uuid4()}"'} | arguments.pop("headers", {})
    response = requests.request(method, f"{service.url}/{path}", headers=headers, timeout=30, **arguments)
    assert response.ok, (service.sample.name, method, path, response.text)
    return response


def exercise(service: Service) -> None:
    """Asks for all that a sample answers."""
    for path in ("_health?quick=false", "_metrics", "_version", "_noop"):
        ask(service, "GET", path)
    assert "couchdb_documents" in ask(service, "GET", "_metrics", headers={"Accept": "text/plain"}).text
    if not service.sample.name.startswith("crud/"):
        return
    created = ask(service, "POST", "v1.0/fruits", json={"color": "red"}).json()
    path = f"v1.0/fruits/{created['fruit_id']}"
    assert ask(service, "PUT", path, json={"color": "blue"}).json()["color"] == "blue"
    assert ask(service, "GET", path).json()["change_count"] == 1
    assert ask(service, "GET", "v1.0/fruits").json()
    ask(service, "DELETE", path)


@pytest.mark.skipif("COUCHDB_URL" not in os.environ, reason="the stand-in has one user")
def test_samples_need_no_administrator(suite_couchdb: CouchDB, tmp_path: Path) -> None:
    samples = [sample.anywhere() for sample in SERVICES]
    with installed(samples, suite_couchdb, "test") as commands, running(commands, tmp_path) as services:
        for service in services:
            credentials = service.command.environment
            user = UserPassword(credentials["COUCHDB_USER"], credentials["COUCHDB_PASSWORD"])
            assert user.user == service.command.database_url.rpartition("/")[2]
            with AdminClient(suite_couchdb.url, credentials=user) as client:
                assert client.ask("GET", "_session")["userCtx"]["roles"] == [f"{user.user}:member"]
            exercise(service)
        names = {service.command.environment["COUCHDB_USER"] for service in services}
    with suite_couchdb.connect() as server:
        for name in names:
            with pytest.raises(ResponseError, match="404"):
                server.ask("GET", "_users", f"org.couchdb.user:{name}")


@pytest.mark.skipif("COUCHDB_URL" in os.environ, reason="about the stand-in")
def test_stand_in_has_the_administrator_only(suite_couchdb: CouchDB) -> None:
    with installed([SERVICES[0]], suite_couchdb, "test") as (command,):
        assert command.environment == suite_couchdb.environment
