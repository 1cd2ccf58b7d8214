"""Replication between the stand-in and the CouchDB that COUCHDB_URL names: run by either, both ways."""

import base64

import pytest

from embedded_couchdb.tests.couch import Couch
from embedded_couchdb.tests.test_replication import with_auth

BINARY = bytes(range(256)) * 2000
TEXT = b"much text " * 5000


def fill(database: Couch) -> None:
    database.save("plain", n=1)
    database.save_views("ids", by_id="function (doc) { emit(doc._id); }")
    page = {"content_type": "text/html", "data": base64.b64encode(b"<p>").decode()}
    database.save("_design/page", _attachments={"index.html": page})
    rev = database.put(
        "/files/binary", data=BINARY, headers={"Content-Type": "application/octet-stream"}
    ).json()["rev"]
    text = {"Content-Type": "text/plain", "If-Match": rev}
    rev = database.put("/files/t%C3%A4xt%20b", data=TEXT, headers=text).json()["rev"]
    database.save("files", _rev=rev, n=2, _attachments={"binary": {"stub": True}, "täxt b": {"stub": True}})
    database.save_leaf("conflict", "1-aa", color="red")
    database.save_leaf("conflict", "1-bb", color="blue")
    rev = database.save("gone")
    database.delete(f"/gone?rev={rev}")
    database.save(
        "odd%2Fid%20%C3%A4%3F", _attachments={"note": {"data": "aGk=", "content_type": "text/plain"}}
    )


def check(database: Couch) -> None:
    ids = sorted(row["id"] for row in database.get("/_all_docs").json()["rows"])
    assert ids == ["_design/ids", "_design/page", "conflict", "files", "odd/id ä?", "plain"]
    assert database.get("/files/binary").content == BINARY
    assert database.get("/files/t%C3%A4xt%20b").content == TEXT
    assert database.get("/odd%2Fid%20%C3%A4%3F/note").content == b"hi"
    assert database.get("/_design/page/index.html").content == b"<p>"
    assert database.get("/_design/ids/_view/by_id").json()["total_rows"] == 4
    assert database.get("/conflict?conflicts=true").json()["_conflicts"] == ["1-aa"]
    assert database.get("/gone").json()["reason"] == "deleted"
    assert len(database.get("/files?revs=true").json()["_revisions"]["ids"]) == 3


@pytest.mark.parametrize("runner", ["stand_in", "couchdb"])
@pytest.mark.parametrize("source", ["stand_in", "couchdb"])
def test_databases_become_alike_and_stay_so(
    request: pytest.FixtureRequest,
    stand_in_database: Couch,
    couchdb_database: Couch,
    runner: str,
    source: str,
) -> None:
    server: Couch = request.getfixturevalue(runner)
    databases = (stand_in_database, couchdb_database)
    start, end = databases if source == "stand_in" else databases[::-1]
    fill(start)
    job = {"source": with_auth(start), "target": with_auth(end)}
    for _ in range(2):
        response = server.post("/_replicate", json=job)
        assert (response.status_code, response.json().get("ok")) == (200, True), response.text
        check(end)
    rev = start.get("/files").json()["_rev"]
    start.put("/files/binary", data=b"new", headers={"Content-Type": "application/x", "If-Match": rev})
    assert server.post("/_replicate", json=job).status_code == 200
    assert end.get("/files/binary").content == b"new"
    assert end.get("/files/t%C3%A4xt%20b").content == TEXT
