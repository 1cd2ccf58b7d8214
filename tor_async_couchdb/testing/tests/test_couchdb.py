import sys
from pathlib import Path

import pytest
import requests

from tor_async_couchdb.testing.couchdb import CouchDBServer, running_couchdb


def test_succeed_returns_the_answer_and_raises_for_a_refusal(couchdb: CouchDBServer) -> None:
    assert couchdb.succeed("GET", "").json()["couchdb"] == "Welcome"
    with pytest.raises(requests.HTTPError, match="404"):
        couchdb.succeed("GET", "absent")


@pytest.mark.parametrize("other_nodes", ["", ",http://127.0.0.1:1"])
def test_couchdb_of_the_environment_is_used_with_its_credentials(
    other_nodes: str, couchdb: CouchDBServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUCHDB_URL", couchdb.url + other_nodes)
    monkeypatch.setenv("COUCHDB_USER", couchdb.username)
    monkeypatch.setenv("COUCHDB_PASSWORD", couchdb.password)
    with running_couchdb(tmp_path) as server:
        assert server.url == couchdb.url
        with server.new_database() as url:
            assert url.startswith(couchdb.url)


def test_without_a_couchdb_and_without_the_stand_in_the_error_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COUCHDB_URL", raising=False)
    monkeypatch.setitem(sys.modules, "embedded_couchdb.launcher", None)
    message = "set COUCHDB_URL, COUCHDB_USER and COUCHDB_PASSWORD"
    with pytest.raises(RuntimeError, match=message), running_couchdb(tmp_path):
        pass
