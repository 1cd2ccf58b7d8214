import gzip
import json
from typing import Any

import pytest
import requests

from embedded_couchdb.tests.couch import Couch

TEXT = {"Content-Type": "text/plain"}
AS_JSON = {"Accept": "application/json"}


def attach(database: Couch, path: str, data: bytes, **headers: str) -> requests.Response:
    return database.put(path, data=data, headers=TEXT | headers)


def test_write_needs_the_current_revision(database: Couch) -> None:
    first = database.save("a")
    assert attach(database, "/a/note", b"x").status_code == 409
    assert attach(database, "/a/note", b"x", **{"If-Match": "1-aa"}).status_code == 409
    second = attach(database, "/a/note", b"x", **{"If-Match": first}).json()["rev"]
    assert attach(database, "/a/note", b"y", **{"If-Match": f'"{first}"'}).status_code == 409
    third = attach(database, "/a/other", b"y", **{"If-Match": f'"{second}"'}).json()["rev"]
    assert third.startswith("3-")
    assert database.get("/a/note").content == b"x"


def test_delete_needs_the_current_revision(database: Couch) -> None:
    rev = attach(database, "/a/note", b"x").json()["rev"]
    assert database.delete("/a/note").status_code == 409
    assert database.delete("/a/note", headers={"If-Match": "1-aa"}).status_code == 409
    response = database.delete("/a/note", headers={"If-Match": rev})
    assert (response.status_code, response.json()["rev"][:2]) == (200, "2-")
    assert database.get("/a/note").status_code == 404
    assert "_attachments" not in database.get("/a").json()
    assert database.delete(f"/a/note?rev={response.json()['rev']}").status_code == 404


def test_contradicting_revisions_are_refused(database: Couch) -> None:
    rev = attach(database, "/a/note", b"x").json()["rev"]
    for method in ("PUT", "DELETE"):
        response = database.ask(method, f"/a/note?rev={rev}", data=b"y", headers={"If-Match": "1-aa"})
        assert (response.status_code, response.json()["error"]) == (400, "bad_request")
    assert database.get("/a/note").content == b"x"


def test_attachment_makes_a_document_unless_it_names_a_revision(database: Couch) -> None:
    assert attach(database, "/new/note", b"x").status_code == 201
    assert attach(database, "/other/note?rev=1-aa", b"x").status_code == 409
    assert attach(database, "/third/note?rev=x", b"x").status_code == 400
    assert database.delete("/missing/note").status_code == 404


@pytest.mark.parametrize("name", ["a.txt", "deep/er/name", "%C3%A4%20b", "a+b"])
@pytest.mark.parametrize("data", [b"x", b"", bytes(range(256)) * 1000])
def test_any_attachment_comes_back(database: Couch, name: str, data: bytes) -> None:
    assert attach(database, f"/a/{name}", data).status_code == 201
    got = database.get(f"/a/{name}")
    assert (got.content, got.headers["Content-Type"]) == (data, "text/plain")
    unchanged = database.get(f"/a/{name}", headers={"If-None-Match": got.headers["ETag"]})
    assert unchanged.status_code == 304
    assert database.ask("HEAD", f"/a/{name}").status_code == 200


def test_attachment_of_an_older_revision_is_read(database: Couch) -> None:
    first = attach(database, "/a/note", b"x").json()["rev"]
    attach(database, "/a/note", b"y", **{"If-Match": first})
    assert database.get("/a/note").content == b"y"
    assert database.get(f"/a/note?rev={first}").content == b"x"
    assert database.get("/a/note?rev=1-aa").status_code == 404


@pytest.mark.parametrize("name", ["_x", "_note"])
def test_reserved_name_is_refused(database: Couch, name: str) -> None:
    assert attach(database, f"/a/{name}", b"x").status_code == 400
    attachments = {name: {"data": "eA=="}}
    assert database.put("/a", json={"_attachments": attachments}).status_code == 400


def test_attachment_survives_a_change_that_keeps_its_stub(database: Couch) -> None:
    rev = attach(database, "/a/note", b"x").json()["rev"]
    rev = database.save("a", _rev=rev, n=1, _attachments={"note": {"stub": True}})
    stub = database.get("/a").json()["_attachments"]["note"]
    assert (stub["stub"], stub["revpos"], stub["content_type"], stub["length"]) == (True, 1, "text/plain", 1)
    docs = [{"_id": "a", "_rev": rev, "n": 2, "_attachments": {"note": {"stub": True}}}]
    [result] = database.post("/_bulk_docs", json={"docs": docs}).json()
    assert database.get("/a/note").content == b"x"
    database.save("a", _rev=result["rev"], n=3)
    assert database.get("/a/note").status_code == 404


def test_stub_of_nothing_is_refused(database: Couch) -> None:
    rev = database.save("a")
    for body in ({"_rev": rev}, {"_rev": rev, "n": 1}):
        response = database.put("/a", json={**body, "_attachments": {"note": {"stub": True}}})
        assert (response.status_code, response.json()["error"]) == (412, "missing_stub")
    assert database.put("/b", json={"_attachments": {"note": {"stub": True}}}).status_code == 412


@pytest.mark.parametrize("attachment", [{"data": "!!!"}, {"data": 5}])
def test_malformed_attachment_is_refused(database: Couch, attachment: Any) -> None:
    assert database.put("/a", json={"_attachments": {"note": attachment}}).status_code == 400


def test_attachment_without_a_type_is_a_byte_stream(database: Couch) -> None:
    database.save("a", _attachments={"inline": {"data": "eA=="}})
    assert database.get("/a/inline").headers["Content-Type"] == "application/octet-stream"


def related(doc: dict[str, Any], *bodies: bytes) -> dict[str, Any]:
    """A request's body and headers: a document, then the attachments that follow it."""
    parts = [b"Content-Type: application/json\r\n\r\n" + json.dumps(doc).encode()]
    parts += [b"Content-Disposition: attachment\r\n\r\n" + body for body in bodies]
    body = b"".join(b"--limit\r\n" + part + b"\r\n" for part in parts) + b"--limit--"
    return {"data": body, "headers": {"Content-Type": 'multipart/related; boundary="limit"'}}


def following(data: bytes, **members: Any) -> dict[str, Any]:
    return {"follows": True, "length": len(data), "content_type": "text/plain", **members}


def test_document_is_written_with_its_attachments_as_multipart(database: Couch) -> None:
    packed = gzip.compress(b"much text " * 50)
    attachments = {
        "plain": following(b"one\r\ntwo"),
        "packed": following(b"x" * 500, encoding="gzip", encoded_length=len(packed)),
        "inline": {"data": "aGk=", "content_type": "text/plain"},
        "binary": following(bytes(range(256))),
    }
    body = related({"n": 1, "_attachments": attachments}, b"one\r\ntwo", packed, bytes(range(256)))
    assert database.put("/a", **body).status_code == 201
    contents = {name: database.get(f"/a/{name}").content for name in attachments}
    assert contents == {
        "plain": b"one\r\ntwo",
        "packed": b"much text " * 50,
        "inline": b"hi",
        "binary": bytes(range(256)),
    }
    assert database.get("/a").json()["n"] == 1


def test_replicated_document_is_written_as_multipart(database: Couch) -> None:
    revisions = {"start": 3, "ids": ["cc", "bb", "aa"]}
    doc = {"_rev": "3-cc", "_revisions": revisions, "_attachments": {"note": following(b"hello", revpos=2)}}
    assert database.put("/a?new_edits=false", **related(doc, b"hello")).status_code == 201
    stored = database.get("/a?revs=true", headers=AS_JSON).json()
    assert (stored["_rev"], stored["_revisions"]) == ("3-cc", revisions)
    assert database.get("/a/note").content == b"hello"


@pytest.mark.parametrize(
    "body",
    [
        related({"_attachments": {"note": following(b"longer")}}, b"short"),
        {"data": b"--limit\r\n\r\n{}", "headers": {"Content-Type": "multipart/related"}},
        {"data": b"", "headers": {"Content-Type": "multipart/related"}},
        related({"_attachments": {"note": following(b"x", encoding="gzip", encoded_length=1)}}, b"x"),
    ],
)
def test_malformed_multipart_is_refused(stand_in_database: Couch, body: dict[str, Any]) -> None:
    assert stand_in_database.put("/a", **body).status_code == 400
    assert stand_in_database.get("/a").status_code == 404


def test_document_is_read_with_its_attachments_as_multipart(database: Couch) -> None:
    database.save("a", n=1, _attachments={"note": {"data": "aGVsbG8=", "content_type": "application/x"}})
    response = database.get("/a?attachments=true", headers={"Accept": "multipart/related"})
    assert response.headers["Content-Type"].startswith('multipart/related; boundary="')
    boundary = response.headers["Content-Type"].split('"')[1].encode()
    first, document, attachment, last = response.content.split(b"--" + boundary)
    assert (first, last) == (b"", b"--")
    stub = json.loads(document.split(b"\r\n\r\n")[1])["_attachments"]["note"]
    assert (stub["follows"], stub["length"]) == (True, 5)
    assert attachment.split(b"\r\n\r\n")[1] == b"hello\r\n"
    inline = database.get("/a?attachments=true", headers=AS_JSON).json()
    assert inline["_attachments"]["note"]["data"] == "aGVsbG8="


@pytest.mark.parametrize("accept", ["multipart/mixed", "*/*", "application/json, */*"])
def test_open_revisions_are_multipart_for_a_client_that_accepts_it(database: Couch, accept: str) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf(
        "a", "1-bb", _attachments={"note": {"data": "aGVsbG8=", "content_type": "application/x"}}
    )
    query = '/a?open_revs=["1-aa","1-bb","1-cc"]&revs=true'
    response = database.get(query, headers={"Accept": accept})
    assert response.headers["Content-Type"].startswith('multipart/mixed; boundary="')
    boundary = response.headers["Content-Type"].split('"')[1].encode()
    parts = sorted(response.content.split(b"--" + boundary)[1:-1], key=len)
    assert [part.strip().split(b"\r\n")[0].split(b"boundary")[0] for part in parts] == [
        b'Content-Type: application/json; error="true"',
        b"Content-Type: application/json",
        b"Content-Type: multipart/related; ",
    ]
    assert json.loads(parts[0].split(b"\r\n\r\n")[1]) == {"missing": "1-cc"}
    assert json.loads(parts[1].split(b"\r\n\r\n")[1])["_revisions"] == {"start": 1, "ids": ["aa"]}
    assert b"hello" in parts[2]


@pytest.mark.parametrize("accept", ["application/json", "text/html"])
def test_open_revisions_are_json_for_a_client_that_accepts_no_multipart(database: Couch, accept: str) -> None:
    database.save_leaf("a", "1-aa")
    assert database.get("/a?open_revs=all", headers={"Accept": accept}).json()[0]["ok"]["_rev"] == "1-aa"
