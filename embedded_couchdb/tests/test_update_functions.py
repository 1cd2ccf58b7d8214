from typing import Any

import pytest

from embedded_couchdb.tests.couch import Couch, save_design

UPDATE = "/_design/updates/_update"


def save_updates(database: Couch, **bodies: str) -> None:
    sources = {name: f"function (doc, req) {{ {body} }}" for name, body in bodies.items()}
    save_design(database, "updates", updates=sources)


def test_document_is_made_and_changed(database: Couch) -> None:
    save_updates(
        database,
        paint="doc = doc || {_id: req.id}; doc.color = req.query.color; return [doc, 'is ' + doc.color];",
        remove="doc._deleted = true; return [doc, 'removed'];",
    )
    made = database.put(f"{UPDATE}/paint/a%2Fb?color=red")
    assert (made.status_code, made.text) == (201, "is red")
    changed = database.put(f"{UPDATE}/paint/a%2Fb?color=blue")
    assert (changed.status_code, changed.headers["X-Couch-Update-NewRev"][:2]) == (201, "2-")
    assert database.get("/a%2Fb").json()["color"] == "blue"
    assert database.put(f"{UPDATE}/remove/a%2Fb").text == "removed"
    assert database.get("/a%2Fb").status_code == 404


@pytest.mark.parametrize(
    ("response", "status", "body", "content_type"),
    [
        ("'text'", 200, b"text", "text/html"),
        ("{body: 'text'}", 200, b"text", "text/html"),
        ("{json: {a: 1}}", 200, b'{"a":1}', "application/json"),
        ("{base64: 'aGk='}", 200, b"hi", None),
        ("{code: 418, headers: {'Content-Type': 'text/x'}, body: 'tea'}", 418, b"tea", "text/x"),
    ],
)
def test_answer_is_the_functions(
    database: Couch, response: str, status: int, body: bytes, content_type: str | None
) -> None:
    save_updates(database, answer=f"return [null, {response}];")
    got = database.post(f"{UPDATE}/answer")
    assert (got.status_code, got.content.strip()) == (status, body)
    if content_type is not None:
        assert got.headers["Content-Type"].startswith(content_type)


@pytest.mark.parametrize(
    "statement",
    [
        "return [null, {body: 5}];",
        "return [null, {body: {}}];",
        "return [null, {foo: 'x'}];",
        "return [null, 5];",
        "return [null, null];",
        "return [];",
        "return 5;",
        "return undefined;",
        "throw 'x';",
        "throw({forbidden: 'x'});",
        "missing.member;",
    ],
)
def test_malformed_answer_is_an_error(couch: Couch, database: Couch, statement: str) -> None:
    save_updates(database, answer=statement)
    assert database.post(f"{UPDATE}/answer").status_code == 500
    assert couch.get("/_up").status_code == 200
    assert database.get().json()["doc_count"] == 1


# CouchDB 3.5 closes the connection on these.
@pytest.mark.parametrize(
    "response",
    [
        "{code: 'x', body: ''}",
        "{code: 99, body: ''}",
        "{headers: {'a b': 'c'}, body: ''}",
        "{headers: {a: 'b\\n'}, body: ''}",
    ],
)
def test_answer_that_is_no_http_is_an_error(stand_in_database: Couch, response: str) -> None:
    save_updates(stand_in_database, answer=f"return [null, {response}];")
    assert stand_in_database.post(f"{UPDATE}/answer").status_code == 500


@pytest.mark.parametrize(
    ("document", "status"),
    [("{}", 400), ("{_id: '_x'}", 400), ("{_id: 'a', _rev: '1-aa'}", 409), ("{_id: 'b', _foo: 1}", 400)],
)
def test_document_that_cannot_be_written_is_refused(database: Couch, document: str, status: int) -> None:
    database.save("a")
    save_updates(database, write=f"return [{document}, 'written'];")
    assert database.post(f"{UPDATE}/write").status_code == status


def test_function_sees_the_request(database: Couch) -> None:
    save_updates(
        database, echo="return [null, {json: {id: req.id, body: req.body, form: req.form, doc: doc}}];"
    )
    form: dict[str, Any] = database.post(f"{UPDATE}/echo", data={"color": "red"}).json()
    assert form == {"id": None, "body": "color=red", "form": {"color": "red"}, "doc": None}
    database.save("a", n=1)
    assert database.put(f"{UPDATE}/echo/a", data="text").json()["doc"]["n"] == 1
    assert database.put(f"{UPDATE}/echo/b", data="text").json()["id"] == "b"


def test_missing_function_is_not_found(database: Couch) -> None:
    save_updates(database, echo="return [null, ''];")
    assert database.post(f"{UPDATE}/missing").status_code == 404
    assert database.post("/_design/missing/_update/echo").status_code == 404
    assert database.get(f"{UPDATE}/echo").status_code == 405
