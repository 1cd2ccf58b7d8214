"""The protocol, through the real pipe.

The first part has a counterpart for each behaviour that Apache CouchDB's own test for query servers lists
(test/view_server/query_server_spec.rb); the second what that leaves open.
"""

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from couch_named_python.json_lines import decode, encode
from couch_named_python.loading.loader import FunctionLoader
from couch_named_python.serve.pipe import Pipe
from couch_named_python.serve.server import QueryServer
from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess

DOC = {"title": "Best ever", "body": "Doc body"}
LISTS = {
    "lists": {
        "simple": f"{FUNCTIONS}.list_simple",
        "headers": f"{FUNCTIONS}.list_headers",
        "rows": f"{FUNCTIONS}.list_rows",
        "buffer-chunks": f"{FUNCTIONS}.list_buffers",
        "chunky": f"{FUNCTIONS}.list_chunky",
    }
}


def test_it_resets(server: QueryServerProcess) -> None:
    assert server.prompt("reset") is True


def test_a_reset_does_not_erase_design_documents(server: QueryServerProcess) -> None:
    server.teach(shows={"simple": f"{FUNCTIONS}.show_simple"})
    server.prompt("reset")
    assert server.run(["shows", "simple"], DOC, {}) == ["resp", {"body": "Best ever - Doc body"}]


def test_it_runs_map_functions(server: QueryServerProcess) -> None:
    server.add_functions("emit_twice", "emit_once")
    assert server.prompt("map_doc", {"a": "b"}) == [[["foo", "b"], ["bar", "b"]], [["baz", "b"]]]


def test_it_reduces(server: QueryServerProcess) -> None:
    pairs = [[[i, f"id{i}"], i * 2] for i in range(10)]
    assert server.prompt("reduce", [f"{FUNCTIONS}.values_length"], pairs) == [True, [10]]


def test_it_rereduces(server: QueryServerProcess) -> None:
    assert server.prompt("rereduce", [f"{FUNCTIONS}.values_sum"], list(range(10))) == [True, [45]]


def test_it_learns_design_documents(server: QueryServerProcess) -> None:
    assert server.prompt("ddoc", "new", "foo", {"_id": "foo"}) is True


def test_validation_allows_good_updates(server: QueryServerProcess) -> None:
    assert server.run_function("validate_doc_update", "validate_forbidden", {"good": True}, {}, {}) == 1


def test_validation_rejects_invalid_updates(server: QueryServerProcess) -> None:
    answer = server.run_function("validate_doc_update", "validate_forbidden", {"bad": True}, {}, {})
    assert answer == {"forbidden": "bad doc"}


def test_it_shows(server: QueryServerProcess) -> None:
    answer = server.run_function("shows", "show_simple", DOC, {})
    assert answer == ["resp", {"body": "Best ever - Doc body"}]


def test_it_shows_headers(server: QueryServerProcess) -> None:
    assert server.run_function("shows", "show_headers", DOC, {}) == [
        "resp",
        {"code": 200, "headers": {"X-Plankton": "Rusty"}, "body": "Best ever - Doc body"},
    ]


def test_a_recoverable_error_does_not_end_it(server: QueryServerProcess) -> None:
    answer = server.run_function("shows", "show_error", {"foo": "bar"}, {"q": "ok"})
    assert answer == ["error", "error_key", "testing"]
    assert server.prompt("reset") is True


def test_a_changes_filter_only_returns_true_for_good_docs(server: QueryServerProcess) -> None:
    docs = [{"key": "bam", "good": True}, {"foo": "bar"}, {"good": True}]
    assert server.run_function("filters", "filter_good", docs, {"req": "foo"}) == [True, [True, False, True]]


def test_an_update_returns_a_doc_and_a_response_body(server: QueryServerProcess) -> None:
    answer = server.run_function("updates", "update_basic", {"foo": "gnarly"}, {"method": "POST"})
    assert answer == ["up", {"foo": "gnarly", "world": "hello"}, {"body": "hello doc"}]


def test_a_list_runs_row_by_row(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    start = server.run(["lists", "simple"], {"foo": "bar"}, {"q": "ok"})
    assert start == ["start", ["first chunk", "ok"], {"headers": {}}]
    for key in ("baz", "bam", "foom", "fooz", "foox"):
        assert server.prompt("list_row", {"key": key}) == ["chunks", [key]]
    assert server.prompt("list_end") == ["end", ["early"]]


def test_a_list_sets_headers(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    assert server.run(["lists", "headers"], {"total_rows": 1000}, {"q": "ok"}) == [
        "start",
        ["first chunk", 'second "chunk"'],
        {"headers": {"Content-Type": "text/plain"}},
    ]
    assert server.prompt("list_end") == ["end", ["tail"]]


def test_a_list_with_rows_ends_with_its_tail(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    server.run(["lists", "rows"], {"foo": "bar"}, {"q": "ok"})
    assert server.prompt("list_row", {"key": "baz"}) == ["chunks", ["baz"]]
    assert server.prompt("list_end") == ["end", ["tail"]]


def test_a_list_works_with_zero_rows(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    start = server.run(["lists", "rows"], {"foo": "bar"}, {"q": "ok"})
    assert start == ["start", ["first chunk", "ok"], {"headers": {}}]
    assert server.prompt("list_end") == ["end", ["tail"]]


def test_a_list_buffers_the_chunks_sent_for_one_row(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    assert server.run(["lists", "buffer-chunks"], {}, {}) == ["start", ["bacon"], {"headers": {}}]
    assert server.prompt("list_row", {"key": "baz"}) == ["chunks", ["baz", "eggs"]]
    assert server.prompt("list_row", {"key": "bam"}) == ["chunks", ["bam", "eggs"]]
    assert server.prompt("list_end") == ["end", ["tail"]]


def test_a_list_may_end_before_the_rows_do(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    server.run(["lists", "chunky"], {}, {"q": "ok"})
    assert server.prompt("list_row", {"key": "baz"}) == ["chunks", ["baz"]]
    assert server.prompt("list_row", {"key": "bam"}) == ["chunks", ["bam"]]
    assert server.prompt("list_row", {"key": "foom"}) == ["end", ["foom", "early tail"]]
    assert server.prompt("reset") is True


def test_it_rewrites(server: QueryServerProcess) -> None:
    answer = server.run_function("rewrites", "rewrite_basic", {"path": "foo/bar", "method": "POST"}, {})
    assert answer == ["ok", {"path": "new/location", "method": "POST"}]


def test_a_rewrite_without_a_rule_says_so(server: QueryServerProcess) -> None:
    assert server.run_function("rewrites", "rewrite_no_rule", {"path": "foo/bar"}, {}) == ["no_dispatch_rule"]


def test_it_ends_if_couchdb_sends_too_many_rows(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    server.run(["lists", "chunky"], {}, {"q": "ok"})
    for key in ("baz", "foom", "fooz"):
        server.prompt("list_row", {"key": key})
    assert server.prompt("list_row", {"key": "foox"})[:2] == ["fatal", "unknown_command"]
    assert server.exit_status() == 1


def test_it_ends_if_it_gets_a_non_row_in_the_middle_of_a_list(server: QueryServerProcess) -> None:
    server.teach(**LISTS)
    server.run(["lists", "rows"], {}, {"q": "ok"})
    assert server.prompt("reset")[:2] == ["fatal", "list_error"]
    assert server.exit_status() == 1


def test_a_fatal_error_ends_it(server: QueryServerProcess) -> None:
    answer = server.run_function("shows", "show_fatal", {"foo": "bar"}, {"q": "ok"})
    assert answer == ["fatal", "error_key", "testing"]
    assert server.exit_status() == 1


# What the list above leaves open.


@pytest.mark.parametrize(
    "line",
    [b"", b" ", b"{", b"nonsense", b'"\xff"', b"[1,", b'"\\ud800"', b"[" * 100_000, b"1" * 5000, b"[1e400]"],
    ids=lambda line: repr(line[:10]),
)
def test_a_line_that_is_no_json_is_an_error(server: QueryServerProcess, line: bytes) -> None:
    server.send_raw(line + b"\n")
    assert server.answer()[0] == "error"
    assert server.prompt("reset") is True


@pytest.mark.parametrize("line", [b"1", b"{}", b"[]", b"null", b'"reset"', b"[[]]", b'["nonsense"]', b"[1]"])
def test_an_unknown_command_is_fatal(server: QueryServerProcess, line: bytes) -> None:
    server.send_raw(line + b"\n")
    assert server.answer()[:2] == ["fatal", "unknown_command"]
    assert server.exit_status() == 1


@pytest.mark.parametrize(
    "command",
    [
        ["map_doc"],
        ["map_doc", 1],
        ["add_fun"],
        ["add_fun", None],
        ["reduce", "f", []],
        ["reduce", [1], []],
        ["reduce", [f"{FUNCTIONS}.values_sum"], [1]],
        ["rereduce", []],
        ["ddoc"],
        ["ddoc", "new", "a"],
        ["ddoc", "a", [], []],
        ["ddoc", "a", ["shows", "b"]],
    ],
    ids=str,
)
def test_a_command_with_wrong_arguments_is_an_error(server: QueryServerProcess, command: list[Any]) -> None:
    answer = server.prompt(*command)
    assert answer[0] == "error" or answer == [True, [None]]
    assert server.prompt("reset") is True


def test_further_arguments_of_newer_couchdbs_are_accepted(server: QueryServerProcess) -> None:
    reduce = [f"{FUNCTIONS}.values_sum"]
    assert server.prompt("reset", {"reduce_limit": "log", "reduce_limit_ratio": 2.0}, 1) is True
    assert server.prompt("add_lib", {"a": "exports.b = 1"}, 1) is True
    assert server.prompt("add_fun", f"{FUNCTIONS}.emit_once", "nouveau") is True
    assert server.prompt("map_doc", {"a": 1}, 1) == [[["baz", 1]]]
    assert server.prompt("reduce", reduce, [[[1, "a"], 2]], "shards/0/db") == [True, [2]]
    assert server.prompt("rereduce", reduce, [2, 3], "shards/0/db") == [True, [5]]


@pytest.mark.parametrize(
    "settings", [{}, {"timeout": "x"}, {"timeout": -1}, {"timeout": 1e300}, {"timeout": None}]
)
def test_odd_settings_are_harmless(server: QueryServerProcess, settings: dict[str, Any]) -> None:
    assert server.prompt("reset", settings) is True
    assert server.prompt("reset") is True


def test_pipelined_commands_are_answered_in_order(server: QueryServerProcess) -> None:
    server.add_functions("emit_once")
    server.send_raw(b"".join(b'["map_doc",{"a":%d}]\n' % number for number in range(5000)))
    assert [server.answer() for _ in range(5000)] == [[[["baz", number]]] for number in range(5000)]


def test_a_last_line_without_its_end_is_answered(server: QueryServerProcess) -> None:
    server.send_raw(b'["reset"]')
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.answer() is True
    assert server.answer() is None
    assert server.exit_status() == 0
    server.process.stdin = None


def test_a_document_of_ten_megabytes_is_mapped(server: QueryServerProcess) -> None:
    server.add_functions("emit_once")
    text = "x" * 10_000_000
    assert server.prompt("map_doc", {"a": text}) == [[["baz", text]]]


def test_a_document_that_python_cannot_hold_is_skipped_and_logged(server: QueryServerProcess) -> None:
    server.add_functions("emit_once", "emit_twice")
    server.send_raw(b'["map_doc",{"_id":"deep","a":' + b"[" * 50_000 + b"]" * 50_000 + b"}]\n")
    assert server.answer() == [[], []]
    assert "document skipped" in server.logs[0]
    assert '"_id":"deep"' in server.logs[0]


def test_the_pipe_may_close_in_the_middle_of_a_list(server: QueryServerProcess) -> None:
    server.teach(lists={"it": f"{FUNCTIONS}.list_swallows"})
    server.run(["lists", "it"], {}, {})
    assert server.process.stdin is not None
    server.process.stdin.close()
    assert server.answer() is None
    assert server.exit_status() == 0
    server.process.stdin = None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
KINDS = ["filters", "lists", "rewrites", "shows", "updates", "validate_doc_update", "views", "x"]
PATHS = st.sampled_from(
    [
        f"{FUNCTIONS}.{name}"
        for name in ("emit_twice", "tags", "list_simple", "show_sends", "values_sum", "system")
    ]
    + ["os.system", "", "a|b"]
) | st.text(max_size=10)
COMMANDS = st.one_of(
    st.tuples(st.just("reset"), st.dictionaries(st.sampled_from(["timeout", "reduce_limit"]), JSON)),
    st.tuples(st.just("add_fun"), PATHS),
    st.tuples(st.just("map_doc"), st.dictionaries(st.sampled_from(["a", "tags", "_id"]), JSON)),
    st.tuples(
        st.sampled_from(["reduce", "rereduce"]), st.lists(PATHS, max_size=2), st.lists(JSON, max_size=3)
    ),
    st.tuples(
        st.just("ddoc"),
        st.just("new"),
        st.sampled_from(["a", "b"]),
        st.dictionaries(st.sampled_from(KINDS), st.dictionaries(st.just("it"), PATHS) | PATHS),
    ),
    st.tuples(
        st.just("ddoc"),
        st.sampled_from(["a", "b"]),
        st.tuples(st.sampled_from(KINDS)) | st.tuples(st.sampled_from(KINDS), st.just("it")),
        st.lists(JSON | st.dictionaries(st.sampled_from(["q", "method"]), st.text()), max_size=3),
    ),
    st.tuples(st.just("list_row"), st.dictionaries(st.just("key"), JSON)),
    st.tuples(st.sampled_from(["list_end", "add_lib", "map_doc", "ddoc", "nonsense"]), JSON),
)
LINES = st.one_of(
    st.binary(max_size=50).filter(lambda line: b"\n" not in line),
    JSON.map(encode),
    COMMANDS.map(lambda command: encode(list(command))),
    COMMANDS.map(lambda command: encode(list(command))),
)


@pytest.mark.long
@pytest.mark.usefixtures("alarm_restored", "logged")
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(LINES, min_size=100, max_size=100))
def test_ten_thousand_random_lines_get_one_json_answer_each(lines: list[bytes]) -> None:
    loader = FunctionLoader([FUNCTIONS])
    while lines:
        answers, is_fatal = answers_to(lines, loader)
        assert len(answers) == len(lines) or (is_fatal and 0 < len(answers) < len(lines))
        lines = lines[len(answers) :]


def answers_to(lines: list[bytes], loader: FunctionLoader) -> tuple[list[Any], bool]:
    """Return what a query server answers up to its end, and whether that was a fatal error."""
    input_fd, output_fd = os.memfd_create("input"), os.memfd_create("output")
    try:
        os.write(input_fd, b"".join(line + b"\n" for line in lines))
        os.lseek(input_fd, 0, os.SEEK_SET)
        pipe = Pipe(input_fd, os.dup(output_fd))
        status = QueryServer(pipe, loader).run()
        pipe.close()
        os.lseek(output_fd, 0, os.SEEK_SET)
        output = b"".join(iter(lambda: os.read(output_fd, 1 << 20), b""))
    finally:
        os.close(input_fd)
        os.close(output_fd)
    assert output.endswith(b"\n")
    answers = [decode(line) for line in output.splitlines()]
    answers = [answer for answer in answers if not (isinstance(answer, list) and answer[:1] == ["log"])]
    assert (status == 1) == (answers[-1] is not True and str(answers[-1])[:8] == "['fatal'")
    return answers, status == 1
