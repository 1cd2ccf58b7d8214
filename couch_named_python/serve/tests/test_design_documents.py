from typing import Any

import pytest

from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess
from couch_named_python.tests.functions import NO_JSON


def test_a_filter_by_view_selects_the_documents_that_have_rows(server: QueryServerProcess) -> None:
    server.teach(views={"towns": {"map": f"{FUNCTIONS}.townmap|123"}})
    answer = server.run(["views", "towns", "map"], [{"town": "Rome"}, {"a": 1}, {"town": None}])
    assert answer == [True, [True, False, True]]


def test_a_design_document_can_be_replaced(server: QueryServerProcess) -> None:
    assert server.run_function("shows", "show_nothing", None, {}) == ["resp", {}]
    assert server.run_function("shows", "show_redirect", None, {})[1]["code"] == 302


@pytest.mark.parametrize(
    "path", [["shows", "other"], ["filters", "it"], ["views", "it", "map"], ["shows", "it", "x"]]
)
def test_a_missing_function_is_reported_with_its_design_document(
    server: QueryServerProcess, path: list[str]
) -> None:
    server.teach(shows={"it": f"{FUNCTIONS}.show_nothing"})
    answer = server.run(path, None, {})
    assert answer == [
        "error",
        "not_found",
        f"missing {path[0]} function {path[-1]} on design doc _design/foo",
    ]


@pytest.mark.parametrize("source", [1, {"a": "b"}, [], True])
def test_a_function_that_is_no_string_is_an_error(server: QueryServerProcess, source: Any) -> None:
    server.teach(shows={"it": source})
    assert server.run(["shows", "it"], None, {})[:2] == ["error", "compilation_error"]


def test_an_unknown_design_document_is_fatal(server: QueryServerProcess) -> None:
    answer = server.run(["shows", "it"], None, {})
    assert answer == ["fatal", "query_protocol_error", "uncached design doc: _design/foo"]
    assert server.exit_status() == 1


def test_an_unknown_kind_of_function_is_fatal(server: QueryServerProcess) -> None:
    server.teach()
    assert server.run(["nonsense", "it"], None, {}) == [
        "fatal",
        "unknown_command",
        "unknown ddoc command 'nonsense'",
    ]
    assert server.exit_status() == 1


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("shows", "show_simple"),
        ("filters", "filter_good"),
        ("updates", "update_basic"),
        ("lists", "list_simple"),
    ],
)
def test_wrong_arguments_are_a_protocol_error(server: QueryServerProcess, kind: str, name: str) -> None:
    assert server.run_function(kind, name, 1)[:2] == ["error", "query_protocol_error"]


@pytest.mark.parametrize(
    ("new", "answer"),
    [
        ({"bad": 1}, {"forbidden": "bad doc"}),
        ({"anonymous": 1}, {"unauthorized": "who are you?"}),
        ({}, 1),
    ],
)
def test_validation_gets_four_arguments_from_couchdb(
    server: QueryServerProcess, new: dict[str, Any], answer: Any
) -> None:
    assert server.run_function("validate_doc_update", "validate_forbidden", new, None, {}, {}) == answer


def test_validation_that_breaks_refuses_the_document_and_logs_why(server: QueryServerProcess) -> None:
    answer = server.run_function("validate_doc_update", "validate_forbidden", {"broken": 1}, None, {}, {})
    assert answer == [
        "error",
        "validation_error",
        f"{FUNCTIONS}.validate_forbidden raised KeyError: 'broken'",
    ]
    assert "Traceback" in server.logs[0]
    assert server.prompt("reset") is True


def test_a_filter_that_breaks_is_an_error(server: QueryServerProcess) -> None:
    assert server.run_function("filters", "filter_broken", [{}], {})[:2] == ["error", "filter_error"]


def test_a_filter_counts_json_values_as_python_does(server: QueryServerProcess) -> None:
    truths = [True, 1, "a", [1], {"a": 1}, False, 0, "", None, [], {}]
    answer = server.run_function("filters", "filter_truth", [{"truth": truth} for truth in truths], {})
    assert answer == [True, [True] * 5 + [False] * 6]


def test_a_filter_that_returns_no_json_is_an_error_that_names_it(server: QueryServerProcess) -> None:
    for kind in NO_JSON:
        answer = server.run_function("filters", "filter_value", [{}], {"kind": kind})
        assert answer[:2] == ["error", "invalid_json"], kind
        assert answer[2].startswith(f"the result of {FUNCTIONS}.filter_value is not JSON: ")
    answer = server.run_function("filters", "filter_async", [{}], {})
    assert answer[2].endswith("results[0]: JSON has no form for type coroutine")


@pytest.mark.parametrize("returns", [False, True, 0, "no", "forbidden", [], {}])
def test_validation_that_returns_something_refuses_the_document(
    server: QueryServerProcess, returns: Any
) -> None:
    answer = server.run_function(
        "validate_doc_update", "validate_returns", {"returns": returns}, None, {}, {}
    )
    assert answer[:2] == ["error", "validation_error"]
    assert "returns nothing or raises Forbidden" in answer[2]
    assert server.run_function("validate_doc_update", "validate_returns", {"returns": None}, {}, {}, {}) == 1


@pytest.mark.parametrize("name", ["validate_async", "validate_generator"])
def test_validation_that_never_runs_refuses_the_document(server: QueryServerProcess, name: str) -> None:
    answer = server.run_function("validate_doc_update", name, {}, None, {}, {})
    assert answer[:2] == ["error", "validation_error"]


@pytest.mark.parametrize(
    ("name", "where"),
    [("update_document_value", "document['a']"), ("update_response_value", "response['json']")],
)
def test_an_update_that_is_no_json_is_an_error_that_names_it(
    server: QueryServerProcess, name: str, where: str
) -> None:
    for kind in NO_JSON:
        answer = server.run_function("updates", name, {}, {"method": "POST", "kind": kind})
        assert answer[:2] == ["error", "invalid_json"], kind
        assert answer[2].startswith(f"the result of {FUNCTIONS}.{name} is not JSON: ")
        assert kind == "deep" or where in answer[2]


def test_an_update_returns_a_document_first(server: QueryServerProcess) -> None:
    answer = server.run_function("updates", "update_returns_number", {}, {"method": "POST"})
    assert answer[:2] == ["error", "render_error"]
    assert "returns a document or None first, not 3" in answer[2]


def test_a_rewrite_that_is_no_json_is_an_error_that_names_it(server: QueryServerProcess) -> None:
    for kind in NO_JSON:
        answer = server.run_function("rewrites", "rewrite_value", {"kind": kind})
        assert answer[:2] == ["error", "invalid_json"], kind
        assert answer[2].startswith(f"the result of {FUNCTIONS}.rewrite_value is not JSON: ")
    assert server.run_function("rewrites", "rewrite_number", {})[:2] == ["error", "rewrite_error"]


def test_an_update_may_leave_the_document_alone(server: QueryServerProcess) -> None:
    answer = server.run_function("updates", "update_nothing", None, {"method": "POST"})
    assert answer == ["up", None, {"code": 202}]


def test_an_update_by_get_is_refused(server: QueryServerProcess) -> None:
    answer = server.run_function("updates", "update_basic", {}, {"method": "GET"})
    assert answer == ["error", "method_not_allowed", "Update functions do not allow GET"]


def test_an_update_returns_a_pair(server: QueryServerProcess) -> None:
    answer = server.run_function("updates", "update_wrong", {"a": 1}, {"method": "PUT"})
    assert answer[:2] == ["error", "render_error"]
    assert "returns a document and a response, not {'a': 1}" in answer[2]


def test_a_show_that_breaks_for_want_of_its_document_is_not_found(server: QueryServerProcess) -> None:
    path = ["db", "_design", "foo", "_show", "it", "missing"]
    answer = server.run_function("shows", "show_simple", None, {"path": path})
    assert answer == ["error", "not_found", "document not found"]
    assert server.run_function("shows", "show_simple", None, {"path": path[:5]})[:2] == [
        "error",
        "render_error",
    ]


def test_a_show_may_say_not_found(server: QueryServerProcess) -> None:
    assert server.run_function("shows", "show_not_found", {}, {}) == [
        "error",
        "not_found",
        "document not found",
    ]


def test_a_rewrite_may_return_an_object_or_refuse(server: QueryServerProcess) -> None:
    assert server.run_function("rewrites", "rewrite_object", {}) == ["ok", {"path": "x", "code": 301}]
    assert server.run_function("rewrites", "rewrite_forbidden", {}) == {"forbidden": "not there"}


def test_an_exception_that_cannot_even_be_shown_is_an_error(server: QueryServerProcess) -> None:
    assert server.run_function("shows", "show_unspeakable", {}, {})[:2] == ["error", "UnspeakableError"]
    assert server.prompt("reset") is True
