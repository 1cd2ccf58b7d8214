import sys

import pytest

from tor_async_couchdb.commands.replicate import main
from tor_async_couchdb.testing.couchdb import CouchDBServer


@pytest.fixture(autouse=True)
def environment(couchdb: CouchDBServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COUCHDB_USER", couchdb.username)
    monkeypatch.setenv("COUCHDB_PASSWORD", couchdb.password)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["replication", *arguments])
    return main()


def test_it_connects_and_disconnects(couchdb: CouchDBServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        rows = couchdb.succeed("GET", "_replicator/_all_docs").json()["rows"]
        return sum(one.rpartition("/")[2] in row["id"] for row in rows)

    with couchdb.new_database() as one, couchdb.new_database() as other:
        pair = ("--between", one, "--and", other)
        assert run(monkeypatch, *pair) == 0
        assert count() == 2
        assert run(monkeypatch, *pair, "--delete=true") == 0
        assert count() == 0


def test_what_is_wrong_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--between", "http://127.0.0.1:1/a", "--and", "http://127.0.0.1:1/b") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "http://127.0.0.1:1" in error


def test_both_databases_have_to_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="2"):
        run(monkeypatch, "--between", "http://127.0.0.1:1/a")
