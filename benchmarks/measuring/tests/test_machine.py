import socket

from benchmarks.measuring import machine
from suite.couchdb import CouchDB
from tor_async_couchdb.testing.couchdb import CouchDBServer


def test_machine_versions_and_database_are_named(couchdb: CouchDBServer) -> None:
    lines = machine.describe(CouchDB(couchdb.url, couchdb.username, couchdb.password), "wrk 4.1.0")
    text = "\n".join(lines)
    assert "cores" in text
    assert "tornado 6" in text
    assert "wrk 4.1.0" in text
    assert "CouchDB 3" in text
    assert socket.gethostname() not in text
