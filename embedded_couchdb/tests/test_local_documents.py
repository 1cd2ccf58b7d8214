import pytest

from embedded_couchdb.tests.couch import Couch


def test_revision_is_not_compared_but_counted_on(database: Couch) -> None:
    path = "/_local/checkpoint"
    assert database.put(path, json={"n": 1}).json()["rev"] == "0-1"
    assert database.put(path, json={"n": 2}).json()["rev"] == "0-1"
    assert database.put(path, json={"n": 3, "_rev": "0-7"}).json()["rev"] == "0-8"
    assert database.get(path).json() == {"_id": "_local/checkpoint", "_rev": "0-8", "n": 3}


@pytest.mark.parametrize("query", ["", "?rev=0-1", "?rev=0-9"])
def test_delete_needs_no_revision(database: Couch, query: str) -> None:
    database.put("/_local/a", json={})
    assert database.delete(f"/_local/a{query}").json() == {"ok": True, "id": "_local/a", "rev": "0-0"}
    assert database.get("/_local/a").status_code == 404
    assert database.delete("/_local/a").status_code == 404
    assert database.put("/_local/a", json={"n": 1}).json()["rev"] == "0-1"


@pytest.mark.parametrize("rev", ["1-abc", "0-abc", "x"])
def test_malformed_revision_is_refused(database: Couch, rev: str) -> None:
    assert database.put("/_local/a", json={"_rev": rev}).status_code >= 400
    assert database.get("/_local/a").status_code == 404


def test_documents_are_written_in_bulk_and_by_post(database: Couch) -> None:
    docs = [{"_id": "a"}, {"_id": "_local/b", "n": 1}, {"_id": "c"}]
    results = database.post("/_bulk_docs", json={"docs": docs}).json()
    assert [(result["id"], result["rev"][:2]) for result in results] == [
        ("a", "1-"),
        ("_local/b", "0-"),
        ("c", "1-"),
    ]
    assert database.post("", json={"_id": "_local/d"}).status_code == 201
    assert database.get("/_local/b").json()["n"] == 1
    [result] = database.post("/_bulk_get", json={"docs": [{"id": "_local/b"}]}).json()["results"]
    assert result["docs"][0]["error"]["error"] == "not_found"


@pytest.mark.parametrize("path", ["/_local%2Fa", "/_local/a%2Fb", "/_local/%C3%A4"])
def test_unusual_paths_are_found_again(database: Couch, path: str) -> None:
    assert database.put(path, json={"n": 1}).status_code == 201
    assert database.get(path).json()["n"] == 1
    assert database.get("/_all_docs").json()["rows"] == []


def test_checkpoint_of_a_replicator_keeps_no_history(database: Couch) -> None:
    body = {"_rev": "0-1", "_revisions": {"start": 0, "ids": ["1"]}, "session": "x"}
    assert database.put("/_local/checkpoint", json=body).json()["rev"] == "0-2"
    stored = database.get("/_local/checkpoint").json()
    assert stored == {"_id": "_local/checkpoint", "_rev": "0-2", "session": "x"}


@pytest.mark.parametrize("name", ["settings", "mrviews", "purges", "_pouch_dependentDbs", "lastSeq"])
def test_name_is_free_whatever_the_server_keeps_for_itself(database: Couch, name: str) -> None:
    database.put("/_security", json={"members": {"names": ["ann"], "roles": []}})
    database.save_views("ids", by_id="function (doc) { emit(doc._id); }")
    database.get("/_design/ids/_view/by_id")
    assert database.get(f"/_local/{name}").status_code == 404
    assert database.put(f"/_local/{name}", json={"n": 1}).status_code == 201
    database.save("a")
    assert database.get("/_design/ids/_view/by_id").json()["total_rows"] == 1


def test_attachments_and_what_only_answers_have_are_dropped(database: Couch) -> None:
    attachments = {"note": {"content_type": "text/plain", "data": "aGVsbG8="}}
    database.put("/_local/a", json={"n": 1, "_attachments": attachments, "_conflicts": [], "_revs_info": []})
    assert database.get("/_local/a?attachments=true").json() == {"_id": "_local/a", "_rev": "0-1", "n": 1}


def test_attachment_is_refused(database: Couch) -> None:
    database.put("/_local/a", json={})
    assert (
        database.put("/_local/a/note", data=b"x", headers={"Content-Type": "text/plain"}).status_code == 400
    )
