import json
from typing import Any

import pytest

from embedded_couchdb.tests.couch import Couch, save_design

SHOW = "function (...all) { throw({forbidden: JSON.stringify(all)}); }"


def seen(response: Any) -> list[Any]:
    """What the function SHOW was called with."""
    assert response.status_code == 403, response.text
    arguments: list[Any] = json.loads(response.json()["reason"])
    return arguments


def refuse_with(database: Couch, statement: str) -> None:
    save_design(database, "rules", validate_doc_update=f"function (doc, stored) {{ {statement} }}")


@pytest.mark.parametrize(
    "security",
    [
        {"admins": {"names": ["ann"], "roles": []}, "members": {"names": [], "roles": ["readers"]}},
        {"members": {"roles": ["_admin"]}, "extra": [1]},
    ],
)
def test_function_sees_security_and_the_database_of_the_user(
    couch: Couch, database: Couch, security: dict[str, Any]
) -> None:
    assert database.put("/_security", json=security).status_code == 200
    save_design(database, "rules", validate_doc_update=SHOW)
    doc, stored, user, shown = seen(database.put("/a", json={"color": "red"}))
    assert (doc, stored, shown) == ({"_id": "a", "color": "red"}, None, security)
    name = database.url.rpartition("/")[2]
    assert user == {"db": name, "name": couch.username, "roles": ["_admin"]}


def test_function_sees_the_default_security(database: Couch) -> None:
    save_design(database, "rules", validate_doc_update=SHOW)
    assert seen(database.put("/a", json={}))[3] == database.get("/_security").json()


def test_function_sees_the_revision_that_is_replaced_and_not_the_winner(database: Couch) -> None:
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    save_design(database, "rules", validate_doc_update=SHOW)
    doc, stored, *_ = seen(database.put("/a", json={"_rev": "1-aa", "color": "green"}))
    assert (stored["_rev"], stored["color"], stored["_revisions"]) == (
        "1-aa",
        "red",
        {"start": 1, "ids": ["aa"]},
    )
    assert (doc["_rev"], doc["_revisions"]) == ("1-aa", {"start": 1, "ids": ["aa"]})
    doc, stored, *_ = seen(database.delete("/a?rev=1-bb"))
    assert (doc["_deleted"], stored["color"]) == (True, "blue")


def test_function_sees_the_nearest_ancestor_of_a_replicated_revision(database: Couch) -> None:
    first = database.save("a", color="red")
    save_design(database, "rules", validate_doc_update=SHOW)
    revisions = {"start": 3, "ids": ["cc", "bb", first[2:]]}
    body = {"_id": "a", "_rev": "3-cc", "_revisions": revisions, "color": "blue"}
    response = database.post("/_bulk_docs", json={"docs": [body], "new_edits": False})
    [result] = response.json()
    assert (result["id"], result["rev"], result["error"]) == ("a", "3-cc", "forbidden")
    doc, stored, *_ = json.loads(result["reason"])
    assert (doc["_revisions"], stored["_rev"]) == (revisions, first)
    unrelated = {"_id": "a", "_rev": "1-dd"}
    [result] = database.post("/_bulk_docs", json={"docs": [unrelated], "new_edits": False}).json()
    assert json.loads(result["reason"])[1] is None


def test_revision_that_is_known_is_not_validated_again(database: Couch) -> None:
    database.save_leaf("a", "1-aa")
    refuse_with(database, "throw({forbidden: 'no'});")
    body = {"docs": [{"_id": "a", "_rev": "1-aa"}], "new_edits": False}
    assert database.post("/_bulk_docs", json=body).json() == []


def test_function_sees_attachments_as_stubs(database: Couch) -> None:
    save_design(database, "rules", validate_doc_update=SHOW)
    attachments = {"note": {"content_type": "text/x", "data": "aGVsbG8="}}
    doc, *_ = seen(database.put("/a", json={"_attachments": attachments}))
    note = doc["_attachments"]["note"]
    assert (note["content_type"], note["length"], note["stub"], "data" in note) == ("text/x", 5, True, False)


def test_attachment_is_validated(database: Couch) -> None:
    refuse_with(database, "if (doc._attachments) { throw({forbidden: 'no files'}); }")
    rev = database.save("a")
    refused = database.put(f"/a/note?rev={rev}", data=b"x", headers={"Content-Type": "text/plain"})
    assert (refused.status_code, refused.json()["reason"]) == (403, "no files")


def test_conflict_comes_before_validation(database: Couch) -> None:
    rev = database.save("a")
    gone = database.save("gone")
    database.delete(f"/gone?rev={gone}")
    refuse_with(database, "throw({forbidden: 'no'});")
    for body in ({}, {"_rev": "1-aa"}, {"_rev": "7-aa"}):
        assert database.put("/a", json=body).status_code == 409
    assert database.put("/a", json={"_rev": rev}).status_code == 403
    assert database.put("/missing", json={"_rev": "1-aa"}).status_code == 409
    assert database.put("/gone", json={"_rev": gone}).status_code == 409
    assert database.put("/gone", json={}).status_code == 403
    assert database.delete("/a?rev=1-aa").status_code == 409
    docs = [{"_id": "a"}, {"_id": "a", "_rev": rev}, {"_id": "b"}]
    results = database.post("/_bulk_docs", json={"docs": docs}).json()
    assert [result["error"] for result in results] == ["conflict", "forbidden", "forbidden"]


@pytest.mark.parametrize(
    ("statement", "status", "error", "reason"),
    [
        ("throw({forbidden: 'no'});", 403, "forbidden", "no"),
        ("throw({forbidden: {code: 1}});", 403, "forbidden", {"code": 1}),
        ("throw({forbidden: 5});", 403, "forbidden", 5),
        ("throw({unauthorized: 'who?'});", 401, "unauthorized", "who?"),
        ("throw 'x';", 500, "unknown_error", "x"),
        ("throw 'a longer text';", 500, "unknown_error", "a longer text"),
        ("throw({foo: 'bar'});", 500, "unknown_error", "bar"),
        ("throw 5;", 500, "unknown_error", None),
        ("throw {};", 500, "unknown_error", None),
        ("throw ['a', 'b'];", 500, "unknown_error", None),
        ("throw({forbidden: 'a', unauthorized: 'b'});", 500, "unknown_error", None),
        ("throw new Error('boom');", 500, "Error", None),
        ("missing.member;", 500, "ReferenceError", None),
        ("throw null;", 500, "TypeError", None),
    ],
)
def test_each_refusal_has_its_error(
    database: Couch, statement: str, status: int, error: str, reason: Any
) -> None:
    refuse_with(database, statement)
    response = database.put("/a", json={})
    assert (response.status_code, response.json()["error"]) == (status, error)
    if reason is not None:
        assert response.json()["reason"] == reason
        [result] = database.post("/_bulk_docs", json={"docs": [{"_id": "a"}]}).json()
        assert result == {"id": "a", "error": error, "reason": reason}
    assert database.get("/a").status_code == 404


@pytest.mark.parametrize("statement", ["return false;", "return {forbidden: 'no'};", "throw true;", ""])
def test_what_is_no_refusal_is_consent(database: Couch, statement: str) -> None:
    refuse_with(database, statement)
    assert database.put("/a", json={}).status_code == 201


def test_each_function_is_asked_and_a_new_revision_counts(database: Couch) -> None:
    save_design(
        database,
        "colors",
        validate_doc_update="function (doc) { if (!doc.color) { throw({forbidden: 'color'}); } }",
    )
    save_design(
        database,
        "sizes",
        validate_doc_update="function (doc) { if (!doc.size) { throw({forbidden: 'size'}); } }",
    )
    assert database.put("/a", json={"color": "red"}).json()["reason"] == "size"
    assert database.put("/a", json={"size": 1}).json()["reason"] == "color"
    save_design(database, "sizes", validate_doc_update="function () {}")
    assert database.put("/a", json={"color": "red"}).status_code == 201


def test_function_requires_modules_of_its_design_document(database: Couch) -> None:
    source = "function (doc) { if (require('lib/rules').isBad(doc)) { throw({forbidden: this.message}); } }"
    rules = "exports.isBad = function (doc) { return doc.color === 'grey'; };"
    save_design(database, "rules", lib={"rules": rules}, message="no grey", validate_doc_update=source)
    assert database.put("/a", json={"color": "grey"}).json()["reason"] == "no grey"
    assert database.put("/a", json={"color": "red"}).status_code == 201


def test_design_and_local_documents_are_not_validated(database: Couch) -> None:
    refuse_with(database, "throw({forbidden: 'no'});")
    assert database.put("/_local/a", json={}).status_code == 201
    assert database.put("/_design/other", json={}).status_code == 201
