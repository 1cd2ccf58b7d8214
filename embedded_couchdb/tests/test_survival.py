"""Requests that ended the server, or could: each one is answered, and the server lives."""

import json
from typing import Any

import pytest

from embedded_couchdb.tests.couch import JSON, Couch

VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "_x",
    "1-a",
    "9-zz",
    [],
    {},
    [None],
    {"a": None},
    {"toString": None},
]
BODIES = ["", "{", "nul", "{}{}", "[" * 5000, '{"a":' * 5000 + "1" + "}" * 5000, '"\\ud800"']
POSTS = [
    "",
    "/_bulk_docs",
    "/_bulk_get?latest=true&revs=true",
    "/_all_docs",
    "/_changes",
    "/_changes?filter=_doc_ids",
    "/_changes?filter=_selector",
    "/_revs_diff",
    "/_missing_revs",
    "/_design/views/_view/all",
    "/_design/views/_view/count",
    "/_design/views/_view/all/queries",
]


@pytest.fixture
def filled(stand_in_database: Couch) -> Couch:
    stand_in_database.save("a", _attachments={"note": {"data": "aGk="}})
    stand_in_database.save_leaf("conflict", "1-aa")
    stand_in_database.save_leaf("conflict", "1-bb")
    views = {"all": {"map": "function (doc) { emit(doc._id, 1); }"}}
    views["count"] = {**views["all"], "reduce": "_count"}
    assert stand_in_database.put("/_design/views", json={"views": views}).status_code == 201
    return stand_in_database


@pytest.mark.parametrize("path", POSTS)
def test_any_body_is_answered(stand_in: Couch, filled: Couch, path: str) -> None:
    members = [
        "docs",
        "keys",
        "doc_ids",
        "selector",
        "queries",
        "startkey",
        "endkey_docid",
        "limit",
        "update",
    ]
    bodies = [*VALUES, *({member: value} for member in members for value in VALUES)]
    texts = [*BODIES, *(json.dumps(body) for body in bodies)]
    statuses = {text: filled.post(path, data=text, headers=JSON).status_code for text in texts}
    assert {text: status for text, status in statuses.items() if status >= 500} == {}
    assert stand_in.get("/_up").status_code == 200


@pytest.mark.parametrize("member", ["_id", "_rev", "_deleted", "_attachments", "_revisions", "__proto__"])
def test_any_special_member_is_answered(stand_in: Couch, filled: Couch, member: str) -> None:
    for value in [
        *VALUES,
        {"f": {"stub": True}},
        {"f": {"stub": True, "digest": "md5-zz"}},
        {"f": {"data": "!"}},
    ]:
        doc = {"_id": "b", "_rev": "1-aa", member: value}
        for body in ({"docs": [doc]}, {"docs": [doc], "new_edits": False}):
            assert filled.post("/_bulk_docs", json=body).status_code < 500
        assert (
            filled.post("/_bulk_get", json={"docs": [{"id": "a", member.strip("_"): value}]}).status_code
            < 500
        )
        assert filled.put("/b", json={member: value}).status_code < 500
        assert filled.put("/_local/b", json={member: value}).status_code < 500
    assert stand_in.get("/_up").status_code == 200


@pytest.mark.parametrize(
    "path", ["/a", "/conflict", "/missing", "/a/note", "/_local/a", "/_all_docs", "/_changes"]
)
def test_any_parameter_is_answered(stand_in: Couch, filled: Couch, path: str) -> None:
    names = [
        "rev",
        "open_revs",
        "latest",
        "attachments",
        "meta",
        "limit",
        "startkey",
        "keys",
        "since",
        "filter",
    ]
    values = [
        "",
        "x",
        "-1",
        "[]",
        "{}",
        '["9-zz"]',
        '["1-aa"]',
        "[5]",
        "9-zz",
        "all",
        "now",
        "%00",
        "a/b",
        "1e9",
    ]
    for name in names:
        for value in values:
            response = filled.get(f"{path}?{name}={value}&latest=true&revs=true")
            assert response.status_code < 500, (name, value, response.text)
    assert stand_in.get("/_up").status_code == 200


def test_replicator_may_ask_for_the_latest_of_an_unknown_revision(couch: Couch, database: Couch) -> None:
    database.save_leaf("a", "1-aa")
    query = {"docs": [{"id": "a", "rev": "1-cc"}, {"id": "a", "rev": "7-aa"}, {"id": "b", "rev": "1-aa"}]}
    response = database.post("/_bulk_get?latest=true&revs=true", json=query)
    errors = [result["docs"][0]["error"]["error"] for result in response.json()["results"]]
    assert (response.status_code, errors) == (200, ["not_found"] * 3)
    missing = database.get('/a?open_revs=["5-cc"]&latest=true', headers={"Accept": "application/json"})
    assert missing.json() == [{"missing": "5-cc"}]
    assert couch.get("/_up").status_code == 200


def test_latest_of_an_old_revision_is_its_leaf(database: Couch) -> None:
    first = database.save("a")
    second = database.save("a", _rev=first)
    query = {"docs": [{"id": "a", "rev": first}]}
    [result] = database.post("/_bulk_get?latest=true", json=query).json()["results"]
    assert [doc["ok"]["_rev"] for doc in result["docs"]] == [second]


@pytest.mark.parametrize("levels", [100, 1500, 2900])
def test_deeply_nested_document_harms_no_other(database: Couch, levels: int) -> None:
    database.save("a")
    body = f'{{"x":{"[" * levels}{"]" * levels}}}'
    assert database.put("/deep", data=body).status_code == 201
    assert database.get("/deep").text.count("[") == levels
    documents = {"docs": [{"id": "a"}, {"id": "deep"}]}
    for response in (
        database.post("/_bulk_get", json=documents),
        database.get("/_all_docs?include_docs=true"),
    ):
        assert (response.status_code, '"_id":"a"' in response.text) == (200, True)
    database.save_views("ids", by_id="function (doc) { emit(doc._id); }")
    assert database.get("/_design/ids/_view/by_id").json()["total_rows"] == 2


def test_document_that_nests_too_deeply_is_refused(stand_in_database: Couch) -> None:
    body = f'{{"x":{"[" * 100_000}{"]" * 100_000}}}'
    assert stand_in_database.put("/deep", data=body).status_code == 413
    assert stand_in_database.get().json()["doc_count"] == 0


@pytest.mark.parametrize("member", ["[]", "{}", '{"a":[]}', "[[]]"])
def test_body_that_needs_too_much_memory_is_refused(
    stand_in: Couch, stand_in_database: Couch, member: str
) -> None:
    body = f'{{"docs":[{",".join([member] * 2_000_000)}]}}'
    for path in ("", "/_bulk_docs", "/_all_docs"):
        assert stand_in_database.post(path, data=body, headers=JSON).status_code == 413
    assert stand_in.get("/_up").status_code == 200


def test_brackets_in_texts_do_not_count(database: Couch) -> None:
    text = '[{"\\' * 400_000
    rev = database.save("a", text=text)
    assert database.get("/a").json() == {"_id": "a", "_rev": rev, "text": text}
