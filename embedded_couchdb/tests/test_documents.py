from concurrent.futures import ThreadPoolExecutor

import pytest

from embedded_couchdb.tests.couch import JSON, Couch


def test_update_needs_the_current_revision(database: Couch) -> None:
    first = database.save("a", color="red")
    second = database.save("a", color="blue", _rev=first)
    for body in ({"color": "green"}, {"color": "green", "_rev": first}):
        response = database.put("/a", json=body)
        assert (response.status_code, response.json()["error"]) == (409, "conflict")
    assert database.get("/a").json() == {"_id": "a", "_rev": second, "color": "blue"}


def test_one_of_many_updates_at_once_wins(couch: Couch, database: Couch) -> None:
    rev = database.save("a")
    clients = [database.below("a") for _ in range(10)]
    with ThreadPoolExecutor(len(clients)) as pool:
        statuses = list(pool.map(lambda client: client.put(json={"_rev": rev}).status_code, clients))
    assert sorted(statuses) == [201] + [409] * 9


def test_id_of_the_url_wins(database: Couch) -> None:
    assert database.put("/a", json={"_id": "other"}).json()["id"] == "a"
    assert database.get("/other").status_code == 404


def test_id_of_a_posted_document_is_32_hexadecimal_digits(database: Couch) -> None:
    ids = [database.post("", json={}).json()["id"] for _ in range(3)]
    assert all(len(doc_id) == 32 and int(doc_id, 16) >= 0 for doc_id in ids)
    assert len(set(ids)) == 3


def test_posted_document_may_bring_its_id(database: Couch) -> None:
    assert database.post("", json={"_id": "a"}).status_code == 201
    assert database.post("", json={"_id": "a"}).status_code == 409


def test_unknown_special_member_is_refused(database: Couch) -> None:
    response = database.put("/a", json={"_foo": 1})
    assert (response.status_code, response.json()["error"]) == (400, "doc_validation")


@pytest.mark.parametrize("doc_id", ["_foo", "_design", "_local"])
def test_reserved_id_is_refused(database: Couch, doc_id: str) -> None:
    response = database.post("", json={"_id": doc_id})
    assert (response.status_code, response.json()["error"]) == (400, "illegal_docid")


@pytest.mark.parametrize("doc_id", ["a%2Fb", "%2E%2E", "a%20b", "%C3%A4", "0", "a+b", "a%25b", "_design/x"])
def test_unusual_ids_are_found_again(database: Couch, doc_id: str) -> None:
    written = database.put(f"/{doc_id}", json={}).json()
    assert database.get(f"/{doc_id}").json()["_rev"] == written["rev"]
    assert database.get(f"/{doc_id}").json()["_id"] == written["id"]


@pytest.mark.parametrize(("path", "doc_id"), [("a+b", "a b"), ("a%2Bb", "a+b"), ("_local/a+b", "_local/a b")])
def test_plus_in_a_path_is_a_space(database: Couch, path: str, doc_id: str) -> None:
    assert database.put(f"/{path}", json={}).json()["id"] == doc_id


def test_deleted_conflicts_are_reported_on_request(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "2-bb", _deleted=True)
    assert database.get("/a?deleted_conflicts=true").json()["_deleted_conflicts"] == ["2-bb"]
    meta = database.get("/a?meta=true").json()
    assert (meta["_deleted_conflicts"], meta["_revs_info"][0]["rev"]) == (["2-bb"], "1-aa")


def test_delete_needs_a_revision(database: Couch) -> None:
    rev = database.save("a")
    refused = database.delete("/a")
    assert (refused.status_code, refused.json()["error"]) == (409, "conflict")
    assert database.delete("/a?rev=1-0123456789abcdef0123456789abcdef").status_code == 409
    assert database.delete(f"/a?rev={rev}").status_code == 200
    gone = database.get("/a")
    assert (gone.status_code, gone.json()["reason"]) == (404, "deleted")


@pytest.mark.parametrize("query", ["", "?rev=1-0123456789abcdef0123456789abcdef"])
def test_delete_of_a_missing_document_is_not_found(database: Couch, query: str) -> None:
    response = database.delete(f"/a{query}")
    assert (response.status_code, response.json()["error"]) == (404, "not_found")


def test_deleted_document_can_be_written_again(database: Couch) -> None:
    rev = database.save("a")
    database.delete(f"/a?rev={rev}")
    assert database.save("a", color="red").startswith("3-")


def test_etag_is_the_revision(database: Couch) -> None:
    put = database.put("/a", json={})
    rev = put.json()["rev"]
    assert put.headers["ETag"] == f'"{rev}"'
    assert database.get("/a").headers["ETag"] == f'"{rev}"'
    assert database.ask("HEAD", "/a").headers["ETag"] == f'"{rev}"'
    assert database.get("/a", headers={"If-None-Match": f'"{rev}"'}).status_code == 304


def test_if_match_is_the_revision_to_replace(database: Couch) -> None:
    first = database.save("a")
    second = database.put("/a", json={}, headers={"If-Match": f'"{first}"'}).json()["rev"]
    assert database.put("/a", json={}, headers={"If-Match": first}).status_code == 409
    assert database.delete("/a", headers={"If-Match": first}).status_code == 409
    assert database.delete("/a", headers={"If-Match": second}).status_code == 200


def test_contradicting_revisions_are_refused(database: Couch) -> None:
    rev = database.save("a")
    other = "1-0123456789abcdef0123456789abcdef"
    assert database.put(f"/a?rev={other}", json={"_rev": rev}).status_code == 400


@pytest.mark.parametrize("rev", ["x", "1", "a-b"])
def test_malformed_revision_is_refused(database: Couch, rev: str) -> None:
    assert database.put("/a", json={"_rev": rev}).status_code == 400
    assert database.get(f"/a?rev={rev}").status_code == 400


@pytest.mark.parametrize("rev", ["1-", "1-xyz", "0-a"])
def test_revision_of_a_replicator_is_kept_as_it_is(database: Couch, rev: str) -> None:
    body = {"docs": [{"_id": "a", "_rev": rev}], "new_edits": False}
    assert database.post("/_bulk_docs", json=body).json() == []
    assert database.get("/a").json()["_rev"] == rev
    assert database.get(f"/a?rev={rev}").status_code == 200
    [leaf] = database.get("/a?open_revs=all", headers={"Accept": "application/json"}).json()
    assert leaf["ok"]["_rev"] == rev


def test_revisions_are_reported_on_request(database: Couch) -> None:
    first = database.save("a")
    second = database.save("a", _rev=first)
    doc = database.get("/a?revs=true").json()
    assert doc["_revisions"] == {"start": 2, "ids": [second[2:], first[2:]]}
    assert database.get(f"/a?rev={first}").json()["_rev"] == first


def test_conflicts_are_reported_on_request(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    doc = database.get("/a?conflicts=true").json()
    assert (doc["_rev"], doc["color"], doc["_conflicts"]) == ("1-bb", "blue", ["1-aa"])
    assert "_conflicts" not in database.get("/a").json()


def test_open_revisions_are_every_leaf(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    database.save_leaf("a", "2-cc", _deleted=True)
    accept = {"Accept": "application/json"}
    leaves = database.get("/a?open_revs=all", headers=accept).json()
    assert {leaf["ok"]["_rev"] for leaf in leaves} == {"1-aa", "1-bb", "2-cc"}
    chosen = database.get('/a?open_revs=["1-aa","1-dd"]', headers=accept).json()
    assert sorted(chosen, key=str) == [
        {"missing": "1-dd"},
        {"ok": {"_id": "a", "_rev": "1-aa", "color": "red"}},
    ]


def test_losing_leaf_can_be_deleted(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    assert database.delete("/a?rev=1-aa").status_code == 200
    doc = database.get("/a?conflicts=true").json()
    assert (doc["color"], doc.get("_conflicts")) == ("blue", None)


def test_local_document_is_not_listed(database: Couch) -> None:
    assert database.put("/_local/a", json={"seq": 1}).status_code == 201
    assert database.get("/_local/a").json()["seq"] == 1
    assert database.get("/_all_docs").json()["rows"] == []


@pytest.mark.parametrize("accept", ["*/*", "application/json", None])
def test_answers_are_json(database: Couch, accept: str | None) -> None:
    for path in ("", "/missing", "/_all_docs"):
        response = database.get(path, headers={"Accept": accept})
        assert response.headers["Content-Type"] == "application/json"


def test_attachment_is_kept(database: Couch) -> None:
    text = {"Content-Type": "text/plain"}
    assert database.put("/a/note.txt", data=b"hello", headers=text).status_code == 201
    got = database.get("/a/note.txt")
    assert (got.content, got.headers["Content-Type"]) == (b"hello", "text/plain")
    inline = database.get("/a?attachments=true", headers={"Accept": "application/json"}).json()
    assert inline["_attachments"]["note.txt"]["data"] == "aGVsbG8="


def test_validation_function_refuses(database: Couch) -> None:
    source = "function (doc) { if (doc.color === 'grey') { throw({forbidden: 'no grey'}); } }"
    assert database.put("/_design/rules", json={"validate_doc_update": source}).status_code == 201
    refused = database.put("/a", json={"color": "grey"})
    assert (refused.status_code, refused.json()) == (403, {"error": "forbidden", "reason": "no grey"})
    rev = database.save("a", color="red")
    assert database.put("/a", json={"color": "grey", "_rev": rev}).status_code == 403
    gone = database.get("/_design/rules").json()["_rev"]
    assert database.delete(f"/_design/rules?rev={gone}").status_code == 200
    assert database.put("/a", json={"color": "grey", "_rev": rev}).status_code == 201


def test_validation_function_sees_the_user_and_the_stored_document(couch: Couch, database: Couch) -> None:
    source = """function (doc, stored, user) {
        throw({forbidden: [stored && stored.color, user.name, user.roles.join()].join(' ')});
    }"""
    rev = database.save("a", color="red")
    database.put("/_design/rules", json={"validate_doc_update": source})
    refused = database.put("/a", json={"color": "blue", "_rev": rev})
    assert refused.json()["reason"] == f"red {couch.username} _admin"


def test_malformed_path_is_refused(database: Couch) -> None:
    assert database.get("/%ff").status_code in {400, 404}


def test_write_that_replicates_keeps_its_revision(database: Couch) -> None:
    body = '{"_rev": "3-abc", "color": "red"}'
    response = database.put("/a?new_edits=false", data=body, headers=JSON)
    assert (response.status_code, response.json()["rev"]) == (201, "3-abc")
    assert database.get("/a").json()["_rev"] == "3-abc"
