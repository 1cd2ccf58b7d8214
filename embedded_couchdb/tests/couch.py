"""Requests to the stand-in or to a CouchDB, and what tests expect of both."""

import json
import time
from collections.abc import Callable
from typing import Any

import requests

TIMEOUT_S = 30.0
JSON = {"Content-Type": "application/json"}
# Never the administrator's name: CouchDB locks a user out after five wrong passwords ([chttpd_auth_lockout]).
NOBODY = {"username": "test_embedded_couchdb_nobody", "password": "wrong"}


class Couch:
    """Requests to the URL of a server, a database or a document, as the administrator."""

    def __init__(self, url: str, username: str, password: str) -> None:
        self.url = url
        self.username = username
        self.password = password
        self.session = requests.Session()
        self.session.auth = (username, password)

    def below(self, path: str) -> "Couch":
        """Return the same for a URL below this one."""
        return Couch(f"{self.url}/{path}", self.username, self.password)

    def ask(self, method: str, path: str = "", **options: Any) -> requests.Response:
        """Send a request and return the response, whatever its status."""
        return self.session.request(method, self.url + path, timeout=TIMEOUT_S, **options)

    def get(self, path: str = "", **options: Any) -> requests.Response:
        return self.ask("GET", path, **options)

    def put(self, path: str = "", **options: Any) -> requests.Response:
        return self.ask("PUT", path, **options)

    def post(self, path: str = "", **options: Any) -> requests.Response:
        return self.ask("POST", path, **options)

    def delete(self, path: str = "", **options: Any) -> requests.Response:
        return self.ask("DELETE", path, **options)

    def save(self, doc_id: str, **body: Any) -> str:
        """Write a document that must be accepted and return its revision."""
        response = self.put(f"/{doc_id}", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["rev"])

    def save_leaf(self, doc_id: str, rev: str, **body: Any) -> None:
        """Write a revision as replication does, so that it may conflict."""
        generation, _, digest = rev.partition("-")
        revisions = {"start": int(generation), "ids": [digest]}
        doc = {"_id": doc_id, "_rev": rev, "_revisions": revisions, **body}
        response = self.post("/_bulk_docs", json={"docs": [doc], "new_edits": False})
        assert (response.status_code, response.json()) == (201, [])

    def save_views(self, name: str, **maps: str) -> None:
        """Write a design document with one map function a view."""
        views = {view: {"map": source} for view, source in maps.items()}
        response = self.put(f"/_design/{name}", data=json.dumps({"views": views}), headers=JSON)
        assert response.status_code == 201, response.text


def save_design(database: Couch, name: str, **members: Any) -> None:
    """Write a design document, or a new revision of it."""
    stored = database.get(f"/_design/{name}")
    rev = {"_rev": stored.json()["_rev"]} if stored.status_code == 200 else {}
    response = database.put(f"/_design/{name}", json={**rev, **members})
    assert response.status_code == 201, response.text


def eventually(condition: Callable[[], Any], timeout_s: float = TIMEOUT_S) -> Any:
    """Repeat until the condition returns something true; return that."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout_s} s: {condition}"
        time.sleep(0.05)
