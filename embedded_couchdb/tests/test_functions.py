"""Functions of design documents that never return, take all memory, or leave something behind."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from embedded_couchdb.tests.conftest import new_database
from embedded_couchdb.tests.couch import Couch, save_design

ENDLESS = "function (doc) { while (true) {} }"


def ask_map(database: Couch, source: str) -> requests.Response:
    save_design(database, "map", views={"all": {"map": source}})
    return database.get("/_design/map/_view/all")


def ask_reduce(database: Couch, source: str) -> requests.Response:
    save_design(database, "reduce", views={"all": {"map": "function (doc) { emit(1); }", "reduce": source}})
    return database.get("/_design/reduce/_view/all")


def ask_validation(database: Couch, source: str) -> requests.Response:
    save_design(database, "validation", validate_doc_update=source)
    return database.put("/validated", json={})


def ask_filter(database: Couch, source: str) -> requests.Response:
    save_design(database, "filter", filters={"all": source})
    return database.get("/_changes?filter=filter/all")


def ask_update(database: Couch, source: str) -> requests.Response:
    save_design(database, "update", updates={"all": source})
    return database.post("/_design/update/_update/all")


Ask = Callable[[Couch, str], requests.Response]

TAKE_EVERYTHING = [
    "function (doc) { for (;;) { try { while (true) {} } finally { continue; } } }",
    "function (doc) { Promise.resolve().then(function () { while (true) {} }); }",
    "function (doc) { /(a+)+$/.test('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!'); }",
    "function (doc) { throw {get name() { while (true) {} }}; }",
    "function (doc) { var all = []; while (true) { all.push(new Array(99999).join(all.length)); } }",
    "function (doc) { new Array(1000000000).fill(1); }",
    "function (doc) { for (var i = 0; i < 10000000; i += 1) { emit(i, 'xxxxxxxxxxxxxxxxxxxxxxxxxx'); } }",
]


def test_while_a_function_does_not_return_others_go_on(couch: Couch, database: Couch) -> None:
    database.save("a")
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask_map, database, ENDLESS)
        save_design(database, "good", views={"all": {"map": "function (doc) { emit(doc._id); }"}})
        while not hanging.done():
            assert couch.get("/_up").status_code == 200
            assert database.get("/_design/good/_view/all?key=%22a%22").status_code == 200
    assert (hanging.result().status_code, "timed out" in hanging.result().text) == (500, True)


def test_function_of_any_kind_is_ended_when_it_does_not_return(couch: Couch) -> None:
    def answer(ask: Ask) -> tuple[int, bool]:
        with new_database(couch) as database:
            database.save("a")
            response = ask(database, ENDLESS)
            return response.status_code, "timed out" in response.text

    kinds: list[Ask] = [ask_reduce, ask_validation, ask_filter, ask_update]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(answer, kinds)) == [(500, True)] * len(kinds)
    assert couch.get("/_up").status_code == 200


@pytest.mark.long
def test_function_that_takes_everything_ends_alone(stand_in: Couch) -> None:
    def answer(source: str) -> tuple[int, str]:
        with new_database(stand_in) as database:
            database.save("a")
            response = ask_map(database, source)
            return response.status_code, response.json()["error"]

    with ThreadPoolExecutor(3) as pool:  # one process less than the stand-in starts at most
        answers = dict(zip(TAKE_EVERYTHING, pool.map(answer, TAKE_EVERYTHING), strict=True))
    assert answers == dict.fromkeys(TAKE_EVERYTHING, (500, "os_process_error"))
    with new_database(stand_in) as database:
        database.save("a")
        assert ask_map(database, "function (doc) { emit(doc._id); }").json()["total_rows"] == 1


@pytest.mark.parametrize(
    "source",
    [
        "function (doc) { throw null; }",
        "function (doc) { throw undefined; }",
        "function (doc) { throw 'x'; }",
        "function (doc) { throw Object.create(null); }",
        "function (doc) { var self = []; self.push(self); emit(self); }",
        "function (doc) { emit({toJSON: function () { throw 1; }}); }",
        "function (doc) { missing.member; }",
        "function (doc) { (function again() { again(); })(); }",
        "function (doc) { emit = null; }",
    ],
)
def test_map_function_that_fails_leaves_its_document_out(stand_in_database: Couch, source: str) -> None:
    stand_in_database.save("a")
    response = ask_map(stand_in_database, source)
    assert (response.status_code, response.json()["rows"]) == (200, [])


@pytest.mark.parametrize("source", ["throw 'fatal_error'", "throw ['fatal', 'no', 'more']"])
def test_map_function_may_fail_the_query(database: Couch, source: str) -> None:
    database.save("a")
    response = ask_map(database, f"function (doc) {{ {source}; }}")
    assert response.status_code == 500
    assert response.json()["error"] in {"map_runtime_error", "no"}


@pytest.mark.parametrize(
    "source",
    [
        "async function (doc) { emit(1); }",
        "function* (doc) { emit(1); }",
        "class X {}",
        "5",
        "function (",
        "`",
    ],
)
def test_what_is_no_plain_function_is_refused_at_upload(database: Couch, source: str) -> None:
    response = database.put("/_design/map", json={"views": {"all": {"map": source}}})
    assert (response.status_code, response.json()["error"]) == (400, "compilation_error")


@pytest.mark.parametrize("ask", [ask_filter, ask_update, ask_validation])
@pytest.mark.parametrize("source", ["function (", "5", "async function () {}"])
def test_function_that_does_not_compile_fails_its_request(
    couch: Couch, database: Couch, ask: Ask, source: str
) -> None:
    database.save("a")
    response = ask(database, source)
    assert (response.status_code, "compilation_error" in response.text) == (500, True)
    assert couch.get("/_up").status_code == 200


def test_map_function_cannot_change_its_document(database: Couch) -> None:
    database.save("a", n=1)
    rows = ask_map(database, "function (doc) { doc.n = 2; emit(doc.n); }").json()["rows"]
    assert [row["key"] for row in rows] == [1]


def test_map_function_requires_modules_of_its_library(database: Couch) -> None:
    library = {
        "colors": {"names": "exports.red = require('../base').prefix + 'red';"},
        "base": "exports.prefix = 'dark ';",
    }
    source = "function (doc) { emit(require('views/lib/colors/names').red); }"
    save_design(database, "lib", views={"lib": library, "all": {"map": source}})
    database.save("a")
    assert database.get("/_design/lib/_view/all").json()["rows"][0]["key"] == "dark red"
    library["base"] = "exports.prefix = 'light ';"
    save_design(database, "lib", views={"lib": library, "all": {"map": source}})
    assert database.get("/_design/lib/_view/all").json()["rows"][0]["key"] == "light red"


def test_lone_surrogate_of_a_function_becomes_a_replacement_character(database: Couch) -> None:
    database.save("a")
    rows = ask_map(database, r"function (doc) { emit('\ud800', ['\udfff x']); }").json()["rows"]
    assert [(row["key"], row["value"]) for row in rows] == [("\ufffd", ["\ufffd x"])]


def test_backslash_before_a_u_stays_one(stand_in_database: Couch) -> None:
    stand_in_database.save("a")
    rows = ask_map(stand_in_database, r"function (doc) { emit('\\ud800'); }").json()["rows"]
    assert [row["key"] for row in rows] == [r"\ud800"]
