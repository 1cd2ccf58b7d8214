import pytest

from tor_async_couchdb.commands.command_line import main
from tor_async_couchdb.testing.couchdb import CouchDBServer


def test_two_databases_are_connected_and_disconnected(couchdb: CouchDBServer) -> None:
    def count() -> int:
        rows = couchdb.succeed("GET", "_replicator/_all_docs").json()["rows"]
        return sum(one.rpartition("/")[2] in row["id"] for row in rows)

    with couchdb.new_database() as one, couchdb.new_database() as other:
        pair = ("--between", one, "--and", other)
        assert main(["replicate", *pair]) == 0
        assert count() == 2
        assert main(["replicate", *pair, "--delete=true"]) == 0
        assert count() == 0


def test_unreachable_database_is_named_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    pair = ("--between", "http://127.0.0.1:1/a", "--and", "http://127.0.0.1:1/b")
    assert main(["replicate", *pair]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "http://127.0.0.1:1: can't be reached" in line
