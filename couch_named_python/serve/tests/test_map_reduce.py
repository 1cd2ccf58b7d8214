from typing import Any

import pytest

from couch_named_python.errors import InvalidJSONError
from couch_named_python.tests import functions
from couch_named_python.tests.driver import FUNCTIONS, QueryServerProcess
from couch_named_python.tests.functions import NO_JSON
from couch_named_python.views import emitted_rows


def test_rows_are_what_a_function_emits_and_yields_in_order() -> None:
    assert emitted_rows(functions.emit_twice, {"a": 1}) == [("foo", 1), ("bar", 1)]
    assert emitted_rows(functions.townmap, {"town": "Rome"}) == [("Rome", None)]


def test_a_key_alone_has_the_value_null_and_only_a_tuple_is_a_pair() -> None:
    assert emitted_rows(functions.key_alone, {"town": "Rome"}) == [("Rome", None), (["Rome", 1], None)]


def test_neither_a_pair_nor_a_key_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"yields \(key, value\) pairs, not \(1, 2, 3\)"):
        emitted_rows(functions.three_values, {})
    with pytest.raises(TypeError, match="but this returned"):
        emitted_rows(functions.returns_a_list, {})


def test_a_function_cannot_change_the_document_of_the_next(server: QueryServerProcess) -> None:
    server.add_functions("spoil", "tags", "spoil", "tags")
    rows = server.prompt("map_doc", {"a": 1, "tags": ["x"]})
    assert rows == [[["spoilt", None]], [[1, ["x"]]], [["spoilt", None]], [[1, ["x"]]]]


def test_a_function_that_raises_costs_its_rows_of_that_document_and_a_log_line(
    server: QueryServerProcess,
) -> None:
    server.add_functions("emit_once", "townmap|123", "emit_once")
    assert server.prompt("map_doc", {"_id": "x", "a": 1}) == [[["baz", 1]], [], [["baz", 1]]]
    assert len(server.logs) == 1
    assert f"map function {FUNCTIONS}.townmap failed, no rows for document 'x'" in server.logs[0]
    assert "KeyError: 'town'" in server.logs[0]
    assert server.prompt("map_doc", {"a": 1, "town": "Rome"}) == [
        [["baz", 1]],
        [["Rome", None]],
        [["baz", 1]],
    ]


def test_a_row_that_is_no_json_is_a_failure_of_its_function(server: QueryServerProcess) -> None:
    server.add_functions("value", "value_as_key", "key_alone")
    for kind in NO_JSON:
        server.logs.clear()
        rows = server.prompt("map_doc", {"_id": "x", "kind": kind, "town": "Rome"})
        assert rows == [[], [], [["Rome", None], [["Rome", 1], None]]], kind
        of_value, of_key = server.logs
        assert f"map function {FUNCTIONS}.value failed, no rows for document 'x'\nnot JSON: " in of_value
        assert kind == "deep" or "rows[1], value['in'][0]" in of_value
        assert f"map function {FUNCTIONS}.value_as_key failed, no rows for document 'x'\nnot JSON: " in of_key
        assert kind == "deep" or "rows[0], key" in of_key
    fine = [["early", None], ["fine", [1.5, None, "é", 10**30]]]
    assert server.prompt("map_doc", {"kind": "fine", "town": "Rome"})[0] == fine


def test_a_set_gives_the_same_answer_in_every_process() -> None:
    for seed in range(5):
        process = QueryServerProcess(FUNCTIONS, environment={"PYTHONHASHSEED": str(seed)})
        process.add_functions("value_in_a_set")
        assert process.prompt("map_doc", {"_id": "x", "tags": ["a", "b", "c", "d"]}) == [[]]
        assert "not JSON: rows[0], key: JSON has no form for type set" in process.logs[0]
        process.close()


@pytest.mark.parametrize("kind", ["set", "bytes", "integer key"])
def test_a_functions_own_tests_find_rows_that_are_no_json(kind: str) -> None:
    with pytest.raises(InvalidJSONError, match=r"rows\[1\], value\['in'\]\[0\]: "):
        emitted_rows(functions.value, {"kind": kind})
    assert emitted_rows(functions.value, {"kind": "fine"})[1] == ("fine", [1.5, None, "é", 10**30])


def test_a_reduction_that_is_no_json_is_null_and_logged(server: QueryServerProcess) -> None:
    both = [f"{FUNCTIONS}.value_reduce", f"{FUNCTIONS}.values_length"]
    for kind in NO_JSON:
        server.logs.clear()
        assert server.prompt("reduce", both, [[[1, "a"], kind]]) == [True, [None, 1]], kind
        assert server.prompt("rereduce", both, [kind]) == [True, [None, 1]], kind
        for log in server.logs:
            assert f"reduce function {FUNCTIONS}.value_reduce failed, the result is null\nnot JSON: " in log
            assert kind == "deep" or "result[0]" in log
        assert len(server.logs) == 2


def test_a_function_that_exits_does_not_end_the_server(server: QueryServerProcess) -> None:
    server.add_functions("exits")
    assert server.prompt("map_doc", {}) == [[]]
    assert "SystemExit: 3" in server.logs[0]


def test_a_fatal_error_in_a_map_function_ends_the_server(server: QueryServerProcess) -> None:
    server.add_functions("fatal")
    assert server.prompt("map_doc", {}) == ["fatal", "error_key", "testing"]
    assert server.exit_status() == 1


def test_without_functions_there_are_no_rows(server: QueryServerProcess) -> None:
    assert server.prompt("map_doc", {}) == []


def test_a_reset_forgets_the_functions(server: QueryServerProcess) -> None:
    server.add_functions("emit_once")
    server.add_functions("emit_twice")
    assert server.prompt("map_doc", {"a": 1}) == [[["foo", 1], ["bar", 1]]]


def test_reduce_functions_get_keys_with_ids_and_values(server: QueryServerProcess) -> None:
    function = [f"{FUNCTIONS}.keys_and_values"]
    pairs = [[["k1", "id1"], 1], [["k2", "id2"], 2]]
    assert server.prompt("reduce", function, pairs) == [
        True,
        [[[["k1", "id1"], ["k2", "id2"]], [1, 2], False]],
    ]
    assert server.prompt("rereduce", function, [1, 2]) == [True, [[None, [1, 2], True]]]


def test_a_reduce_function_cannot_change_the_values_of_the_next(server: QueryServerProcess) -> None:
    both = [f"{FUNCTIONS}.spoil_values", f"{FUNCTIONS}.values_sum"]
    assert server.prompt("reduce", both, [[[1, "a"], 2], [[1, "b"], 3]]) == [True, [None, 5]]
    assert server.prompt("rereduce", both, [2, 3]) == [True, [None, 5]]


def test_a_reduction_that_fails_is_null_and_logged(server: QueryServerProcess) -> None:
    all_three = [f"{FUNCTIONS}.{name}" for name in ("values_sum", "values_length", "nan_reduce")]
    assert server.prompt("reduce", all_three, [[[1, "a"], "x"]]) == [True, [None, 1, None]]
    assert "values_sum failed, the result is null" in server.logs[0]
    assert "not JSON" in server.logs[1]


def test_an_unknown_reduce_function_is_an_error(server: QueryServerProcess) -> None:
    assert server.prompt("reduce", ["os.system"], [])[:2] == ["error", "compilation_error"]


ECHO = [f"{FUNCTIONS}.keys_and_values"]


@pytest.mark.parametrize(
    ("settings", "size", "is_refused"),
    [
        ({"reduce_limit": True}, 6000, True),
        ({"reduce_limit": True}, 4000, False),
        ({"reduce_limit": True, "reduce_limit_threshold": 100}, 200, True),
        ({"reduce_limit": True, "reduce_limit_ratio": 0.5}, 6000, False),
        ({"reduce_limit": "log"}, 6000, False),
        ({"reduce_limit": False}, 6000, False),
        ({}, 6000, False),
    ],
)
def test_a_reduction_that_does_not_shrink_is_refused(
    server: QueryServerProcess, settings: dict[str, Any], size: int, is_refused: bool
) -> None:
    server.prompt("reset", settings)
    answer = server.prompt("rereduce", ECHO, ["x" * size])
    if is_refused:
        assert answer[:2] == ["error", "reduce_overflow_error"]
        assert answer[2].startswith("Reduce output must shrink more rapidly: input size: ")
    else:
        assert answer == [True, [[None, ["x" * size], True]]]
    assert bool(server.logs) == (settings.get("reduce_limit") == "log")
    assert server.prompt("reset") is True
