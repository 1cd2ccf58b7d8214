from typing import Any

import pytest

from embedded_couchdb.tests.couch import Couch


def bulk_get(database: Couch, *requests: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    response = database.post(f"/_bulk_get{query}", json={"docs": list(requests)})
    assert response.status_code == 200, response.text
    results: list[dict[str, Any]] = response.json()["results"]
    return results


def leaves(result: dict[str, Any]) -> set[tuple[str, bool]]:
    return {(leaf["ok"]["_rev"], leaf["ok"].get("_deleted", False)) for leaf in result["docs"]}


def test_documents_are_written_in_order(database: Couch) -> None:
    docs = [{"_id": "b"}, {}, {"_id": "a"}, {}, {"_id": "c"}]
    response = database.post("/_bulk_docs", json={"docs": docs})
    results = response.json()
    assert response.status_code == 201
    assert [results[index]["id"] for index in (0, 2, 4)] == ["b", "a", "c"]
    assert all(result["ok"] for result in results)
    assert all(len(results[index]["id"]) == 32 for index in (1, 3))


def test_each_document_has_its_own_outcome(database: Couch) -> None:
    rev = database.save("a")
    docs = [{"_id": "a"}, {"_id": "b"}, {"_id": "a", "_rev": rev}, {"_id": "c", "_rev": "1-aa"}]
    results = database.post("/_bulk_docs", json={"docs": docs}).json()
    assert [result["id"] for result in results] == ["a", "b", "a", "c"]
    assert [result.get("error") for result in results] == ["conflict", None, None, "conflict"]


def test_refused_documents_keep_their_place(database: Couch) -> None:
    source = "function (doc) { if (doc.color === 'grey') { throw({forbidden: 'no grey'}); } }"
    database.put("/_design/rules", json={"validate_doc_update": source})
    docs = [{"_id": "a"}, {"_id": "b", "color": "grey"}, {"_id": "c"}]
    results = database.post("/_bulk_docs", json={"docs": docs}).json()
    assert [result["id"] for result in results] == ["a", "b", "c"]
    assert results[1] == {"id": "b", "error": "forbidden", "reason": "no grey"}
    assert (results[0]["ok"], results[2]["ok"]) == (True, True)


def test_design_document_that_does_not_compile_fails_alone(database: Couch) -> None:
    broken = {"_id": "_design/broken", "views": {"all": {"map": "function (doc) {"}}}
    results = database.post("/_bulk_docs", json={"docs": [{"_id": "a"}, broken, {"_id": "b"}]}).json()
    assert [result["id"] for result in results] == ["a", "_design/broken", "b"]
    assert [result.get("error") for result in results] == [None, "compilation_error", None]


@pytest.mark.parametrize(
    "bad", [{"_id": "_foo"}, {"_id": ""}, {"_id": 1}, {"_id": "b", "_foo": 1}, 1, [], None]
)
def test_one_unstorable_document_fails_them_all(database: Couch, bad: Any) -> None:
    assert database.post("/_bulk_docs", json={"docs": [{"_id": "a"}, bad]}).status_code == 400
    assert database.get("/a").status_code == 404


@pytest.mark.parametrize("body", [{}, {"docs": 1}, []])
def test_documents_must_be_a_list(database: Couch, body: Any) -> None:
    assert database.post("/_bulk_docs", json=body).status_code == 400
    assert database.post("/_bulk_get", json=body).status_code >= 400


def test_nothing_to_do_is_done(database: Couch) -> None:
    assert database.post("/_bulk_docs", json={"docs": []}).json() == []
    assert bulk_get(database) == []


def test_documents_are_deleted_in_bulk(database: Couch) -> None:
    rev = database.save("a", color="red")
    doc = {"_id": "a", "_rev": rev, "_deleted": True}
    assert database.post("/_bulk_docs", json={"docs": [doc]}).json()[0]["ok"]
    assert database.get("/a").status_code == 404


def test_merge_and_removal_of_losers_go_in_one_batch(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    docs = [
        {"_id": "a", "_rev": "1-bb", "color": "purple"},
        {"_id": "a", "_rev": "1-aa", "_deleted": True},
    ]
    results = database.post("/_bulk_docs", json={"docs": docs}).json()
    assert [result["ok"] for result in results] == [True, True]
    doc = database.get("/a?conflicts=true").json()
    assert (doc["color"], doc.get("_conflicts")) == ("purple", None)


def test_every_leaf_is_read_tombstones_included(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    database.save_leaf("a", "3-dd", _deleted=True)
    [result] = bulk_get(database, {"id": "a"})
    assert leaves(result) == {("1-aa", False), ("1-bb", False), ("3-dd", True)}


def test_missing_and_deleted_documents_are_distinguished(database: Couch) -> None:
    rev = database.save("gone")
    tombstone = database.delete(f"/gone?rev={rev}").json()["rev"]
    missing, gone = bulk_get(database, {"id": "missing"}, {"id": "gone"})
    [error] = missing["docs"]
    assert (error["error"]["id"], error["error"]["error"]) == ("missing", "not_found")
    assert gone["docs"] == [{"ok": {"_id": "gone", "_rev": tombstone, "_deleted": True}}]


def test_requests_are_answered_in_order_duplicates_included(database: Couch) -> None:
    for name in ("a", "b"):
        database.save(name)
    results = bulk_get(database, {"id": "b"}, {"id": "a"}, {"id": "b"}, {"id": "c"})
    assert [result["id"] for result in results] == ["b", "a", "b", "c"]
    assert [("ok" in result["docs"][0]) for result in results] == [True, True, True, False]


def test_one_revision_is_read(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    found, missing = bulk_get(database, {"id": "a", "rev": "1-aa"}, {"id": "a", "rev": "1-cc"})
    assert found["docs"] == [{"ok": {"_id": "a", "_rev": "1-aa", "color": "red"}}]
    assert missing["docs"][0]["error"]["error"] == "not_found"


def test_history_shows_whether_a_write_happened(database: Couch) -> None:
    first = database.save("a")
    second = database.save("a", _rev=first)
    [result] = bulk_get(database, {"id": "a"}, query="?revs=true")
    assert result["docs"][0]["ok"]["_revisions"] == {"start": 2, "ids": [second[2:], first[2:]]}


def test_differences_of_revisions_are_reported(database: Couch) -> None:
    rev = database.save("a")
    response = database.post("/_revs_diff", json={"a": [rev, "2-bb"], "b": ["1-cc"]})
    assert {name: diff["missing"] for name, diff in response.json().items()} == {"a": ["2-bb"], "b": ["1-cc"]}


def test_all_documents_are_listed_by_range_and_keys(database: Couch) -> None:
    database.post("/_bulk_docs", json={"docs": [{"_id": name} for name in "abcd"]})
    whole = database.get("/_all_docs").json()
    assert (whole["total_rows"], whole["offset"]) == (4, 0)

    def ids(query: str) -> list[str]:
        return [row["id"] for row in database.get(f"/_all_docs?{query}").json()["rows"]]

    assert ids('startkey="b"&endkey="c"') == ["b", "c"]
    assert ids('start_key="b"&end_key="c"&inclusive_end=false') == ["b"]
    assert ids('startkey="c"&descending=true') == ["c", "b", "a"]
    assert ids("skip=1&limit=2") == ["b", "c"]
    assert ids('key="d"') == ["d"]
    rows = database.post(
        "/_all_docs", json={"keys": ["d", "x", "a"]}, params={"include_docs": "true"}
    ).json()["rows"]
    assert [row.get("id") for row in rows] == ["d", None, "a"]
    assert rows[1] == {"key": "x", "error": "not_found"}
    assert rows[0]["doc"]["_id"] == "d"


@pytest.mark.parametrize("path", ["/_all_docs", "/_design_docs"])
@pytest.mark.parametrize(
    "query",
    [
        "limit=x",
        "limit=-1",
        "limit=1.5",
        "limit=",
        "skip=x",
        "descending=1",
        "include_docs=yes",
        "startkey=x",
        "keys=1",
        "inclusive_end=x",
        "update=x",
        "stable=x",
        "group=true",
        "reduce=true",
        "limit=9e99",
    ],
)
def test_malformed_option_of_a_listing_is_refused(database: Couch, path: str, query: str) -> None:
    assert database.get(f"{path}?{query}").status_code == 400


@pytest.mark.parametrize(
    "body", [{"limit": "x"}, {"skip": -1}, {"descending": 1}, {"keys": 5}, [], {"limit": 1.5}]
)
def test_malformed_option_in_a_body_is_refused(database: Couch, body: Any) -> None:
    assert database.post("/_all_docs", json=body).status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("key=1", ""),
        ('startkey="b"&endkey={}', ""),
        ("startkey=null", "abcd"),
        ("startkey=[]", "abcd"),
        ("endkey=5", ""),
        ('startkey={}&endkey="c"&descending=true', ""),
        ('startkey="c"&endkey=[]&descending=true', "cba"),
        ("keys=[]", ""),
        ('startkey="c"&limit=1', "c"),
    ],
)
def test_any_json_bounds_a_listing(database: Couch, query: str, expected: str) -> None:
    database.post("/_bulk_docs", json={"docs": [{"_id": name} for name in "abcd"]})
    rows = database.get(f"/_all_docs?{query}").json()["rows"]
    assert "".join(row["id"] for row in rows) == expected


def test_design_documents_are_chosen_like_documents(database: Couch) -> None:
    for name in "abc":
        database.put(f"/_design/{name}", json={})
    database.save("d")

    def ids(query: str) -> str:
        rows = database.get(f"/_design_docs?{query}").json()["rows"]
        return "".join(row["id"].rpartition("/")[2] for row in rows)

    assert ids("") == "abc"
    assert ids("limit=1&skip=1") == "b"
    assert ids("descending=true&limit=2") == "cb"
    assert ids('startkey="_design/b"') == "bc"
    assert ids('keys=["_design/c","_design/a"]') == "ca"


def test_missing_revisions_are_listed(database: Couch) -> None:
    rev = database.save("a")
    response = database.post("/_missing_revs", json={"a": [rev, "2-bb"], "b": ["1-cc"]})
    assert response.json() == {"missing_revs": {"a": ["2-bb"], "b": ["1-cc"]}}
    diff = database.post("/_revs_diff", json={"a": ["2-bb"]}).json()["a"]
    assert diff == {"missing": ["2-bb"], "possible_ancestors": [rev]}


@pytest.mark.parametrize("revisions", [5, ["x"], [5], {"a": 1}])
def test_malformed_revisions_are_refused(database: Couch, revisions: Any) -> None:
    assert database.post("/_revs_diff", json={"a": revisions}).status_code >= 400
