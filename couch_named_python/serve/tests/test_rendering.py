import pytest

from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess
from couch_named_python.tests.functions import NO_JSON


def test_what_is_started_and_sent_comes_before_what_is_returned(server: QueryServerProcess) -> None:
    assert server.run_function("shows", "show_sends", {}, {}) == [
        "resp",
        {"code": 201, "headers": {"X-A": "started", "X-B": "b"}, "body": "first, second, tail"},
    ]


def test_a_show_may_return_nothing(server: QueryServerProcess) -> None:
    assert server.run_function("shows", "show_nothing", None, {}) == ["resp", {}]


@pytest.mark.parametrize(("permanent", "code"), [(False, 302), (True, 301)])
def test_a_redirect_discards_what_was_sent(server: QueryServerProcess, permanent: bool, code: int) -> None:
    answer = server.run_function("shows", "show_redirect", None, {"permanent": permanent})
    assert answer == ["resp", {"code": code, "headers": {"Location": "/there"}}]


@pytest.mark.parametrize(
    "name", ["show_number", "show_starts_number", "show_emits", "show_rows", "show_broken"]
)
def test_a_show_that_goes_wrong_is_a_render_error(server: QueryServerProcess, name: str) -> None:
    assert server.run_function("shows", name, {}, {"path": []})[:2] == ["error", "render_error"]
    assert server.run_function("shows", "show_nothing", {}, {}) == ["resp", {}]


@pytest.mark.parametrize("name", ["show_value", "show_starts_value"])
def test_a_show_that_is_no_json_is_an_error_that_names_it(server: QueryServerProcess, name: str) -> None:
    for kind in NO_JSON:
        answer = server.run_function("shows", name, {}, {"kind": kind})
        assert answer[:2] == ["error", "invalid_json"], kind
        assert answer[2].startswith(f"the result of {FUNCTIONS}.{name} is not JSON: ")
        assert kind == "deep" or "response['headers']['X-A']" in answer[2]


def test_a_list_that_starts_with_no_json_is_an_error_that_names_it(server: QueryServerProcess) -> None:
    for kind in NO_JSON:
        answer = server.run_function("lists", "list_starts_value", {}, {"kind": kind})
        assert answer[:2] == ["error", "invalid_json"], kind
        assert f"{FUNCTIONS}.list_starts_value is not JSON: " in answer[2]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("shows", "show_sends_value"),
        ("lists", "list_sends_value"),
        ("lists", "list_returns_value"),
        ("lists", "list_yields_value"),
    ],
)
def test_what_is_sent_is_a_string_or_a_number(server: QueryServerProcess, kind: str, name: str) -> None:
    texts = {"NaN", "infinity", "minus infinity"}  # as Python prints these numbers
    for value in NO_JSON.keys() - texts:
        answer = server.run_function(kind, name, {}, {"kind": value})
        if answer[0] == "start":  # a list function's tail comes after the rows
            answer = server.prompt("list_end")
        assert answer[0] == "error", value
        assert f"{FUNCTIONS}.{name} " in answer[2]
        is_head = name == "list_yields_value" and value.endswith(" key")  # an object starts the response
        is_json_type = is_head or value == "surrogate"
        assert answer[1] == ("invalid_json" if is_json_type else "render_error"), value


def test_numbers_are_sent_as_python_prints_them(server: QueryServerProcess) -> None:
    assert server.run_function("lists", "list_numbers", {}, {})[:2] == ["start", ["1.5", "red"]]
    assert server.prompt("list_end") == ["end", ["3"]]


def test_a_list_that_asks_for_no_row_discards_one(server: QueryServerProcess) -> None:
    start = server.run_function("lists", "list_headers", {}, {})
    assert start[0] == "start"
    assert server.prompt("list_row", {"key": "ignored"}) == ["end", ["tail"]]


def test_a_generator_starts_with_an_object_and_sends_strings(server: QueryServerProcess) -> None:
    start = server.run_function("lists", "list_generator", {}, {})
    assert start == ["start", ["key\n"], {"headers": {"Content-Type": "text/csv"}}]
    assert server.prompt("list_row", {"key": "a"}) == ["chunks", ["a\n"]]
    assert server.prompt("list_end") == ["end", []]


def test_headers_after_the_first_row_go_with_the_next_piece(server: QueryServerProcess) -> None:
    assert server.run_function("lists", "list_late_head", {}, {}) == ["start", [], {"headers": {}}]
    assert server.prompt("list_row", {"key": "a"}) == ["chunks", [], {"code": 404}]
    assert server.prompt("list_end") == ["end", []]


def test_a_list_redirects_before_the_first_row_only(server: QueryServerProcess) -> None:
    start = server.run_function("lists", "list_redirect", {}, {})
    assert start == ["start", [], {"code": 302, "headers": {"Location": "/there"}}]
    assert server.prompt("list_row", {"key": "a"}) == ["end", []]
    assert server.run_function("lists", "list_late_redirect", {}, {})[0] == "start"
    assert server.prompt("list_row", {"key": "a"})[:2] == ["error", "render_error"]
    assert server.prompt("reset") is True


def test_a_list_may_not_be_found(server: QueryServerProcess) -> None:
    assert server.run_function("lists", "list_not_found", {}, {}) == ["error", "not_found", "no such list"]


@pytest.mark.parametrize("line", [b'["reset"]', b"nonsense", b'["list_row"]', b"[" * 100_000])
def test_a_non_row_ends_the_server_even_if_the_function_goes_on(
    server: QueryServerProcess, line: bytes
) -> None:
    server.teach(lists={"it": f"{FUNCTIONS}.list_swallows"})
    server.run(["lists", "it"], {}, {})
    server.send_raw(line + b"\n")
    assert server.answer()[:2] == ["fatal", "list_error"]
    assert server.exit_status() == 1
