from typing import Any

import pytest
import requests

from embedded_couchdb.tests.couch import Couch, save_design

VIEW = "/_design/reduced/_view/all"


def reduced(database: Couch, value: str, reduce: str, query: str = "") -> requests.Response:
    """Reduce what six documents emit: a for even `n`, b for odd, with this value."""
    docs = [{"_id": f"doc{n}", "n": n, "letter": "ab"[n % 2]} for n in range(6)]
    database.post("/_bulk_docs", json={"docs": docs})
    map_source = f"function (doc) {{ emit(doc.letter, {value}); }}"
    save_design(database, "reduced", views={"all": {"map": map_source, "reduce": reduce}})
    return database.get(f"{VIEW}?{query}")


def values(response: requests.Response) -> list[Any]:
    assert response.status_code == 200, response.text
    return [row["value"] for row in response.json()["rows"]]


@pytest.mark.parametrize(
    ("value", "total", "groups"),
    [
        ("doc.n", 15, [6, 9]),
        ("0.5", 3, [1.5, 1.5]),
        ("[doc.n, 1]", [15, 6], [[6, 3], [9, 3]]),
        ("doc.n % 2 ? [doc.n, 1] : doc.n", [15, 3], [6, [9, 3]]),
        ("doc.n % 2 ? [1] : [1, 2, 3]", [6, 6, 9], [[3, 6, 9], [3]]),
        ("{sum: doc.n, more: {one: 1}}", {"sum": 15, "more": {"one": 6}}, None),
        ("doc.n % 2 ? {odd: 1} : {even: [1, 2]}", {"odd": 3, "even": [3, 6]}, [{"even": [3, 6]}, {"odd": 3}]),
    ],
)
def test_sum_adds_numbers_arrays_and_objects(
    database: Couch, value: str, total: Any, groups: list[Any] | None
) -> None:
    assert values(reduced(database, value, "_sum")) == [total]
    if groups is not None:
        assert values(database.get(f"{VIEW}?group=true")) == groups


@pytest.mark.parametrize(
    "value", ["'text'", "null", "true", "[1, 'x']", "[[1]]", "{a: 'x'}", "doc.n % 3 ? 1 : 'x'"]
)
def test_sum_of_something_else_is_an_error_in_its_row(database: Couch, value: str) -> None:
    [error] = values(reduced(database, value, "_sum"))
    assert (error["error"], "_sum function requires" in error["reason"]) == ("builtin_reduce_error", True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("doc.n", {"sum": 15, "count": 6, "min": 0, "max": 5, "sumsqr": 55}),
        ("-2", {"sum": -12, "count": 6, "min": -2, "max": -2, "sumsqr": 24}),
        (
            "[doc.n, 1]",
            [
                {"sum": 15, "count": 6, "min": 0, "max": 5, "sumsqr": 55},
                {"sum": 6, "count": 6, "min": 1, "max": 1, "sumsqr": 6},
            ],
        ),
        (
            "doc.n % 2 ? doc.n : {sum: 1, count: 2, min: 0, max: 1, sumsqr: 1}",
            {"sum": 12, "count": 9, "min": 0, "max": 5, "sumsqr": 38},
        ),
    ],
)
def test_statistics_are_of_numbers_arrays_or_statistics(database: Couch, value: str, expected: Any) -> None:
    assert values(reduced(database, value, "_stats")) == [expected]


@pytest.mark.parametrize("value", ["'x'", "null", "{a: 1}", "doc.n % 2 ? [doc.n, 1] : doc.n", "[doc.n, 'x']"])
def test_statistics_of_something_else_fail_the_query(database: Couch, value: str) -> None:
    response = reduced(database, value, "_stats")
    assert (response.status_code, response.json()["error"]) == (500, "invalid_value")


@pytest.mark.parametrize(
    ("reduce", "query", "expected"),
    [
        ("_count", "", [6]),
        ("_count", "group=true", [3, 3]),
        ("_count", 'key="b"', [3]),
        ("_count", 'keys=["b","a","a"]&group=true', [3, 3, 3]),
        ("_count", "limit=0", []),
        ("_count", "skip=1&group=true", [3]),
        ("_approx_count_distinct", "", [2]),
        ("_approx_count_distinct", "group=true", [1, 1]),
        ("_approx_count_distinct", 'key="a"', [1]),
        ("_sum", "group=true&descending=true", [9, 6]),
        ("_sum", 'startkey="b"', [9]),
        ("_top_2", "", [[5, 4]]),
        ("_bottom_2", "group=true", [[0, 2], [1, 3]]),
        ("_first", "", [0]),
        ("_last", "group=true", [4, 5]),
    ],
)
def test_built_in_functions_reduce_what_is_asked_for(
    one_shard: Couch, reduce: str, query: str, expected: list[Any]
) -> None:
    # From several shards CouchDB may give the rows of a key that is named twice to either of the two.
    assert values(reduced(one_shard, "doc.n", reduce, query)) == expected


@pytest.mark.parametrize("reduce", ["_foo", "_", "_top_0", "_average"])
def test_unknown_built_in_function_is_refused(database: Couch, reduce: str) -> None:
    views = {"all": {"map": "function (doc) { emit(1); }", "reduce": reduce}}
    assert database.put("/_design/unknown", json={"views": views}).status_code == 400


@pytest.mark.parametrize("query", ["", "group=true", "group_level=1"])
def test_function_that_forgets_rereduce_shows_it(database: Couch, query: str) -> None:
    assert max(values(reduced(database, "1", "function (keys, values) { return values.length; }", query))) < 3
    source = "function (keys, values, rereduce) { return rereduce ? sum(values) : values.length; }"
    assert sum(values(reduced(database, "1", source, query))) == 6


def test_results_of_many_rows_are_reduced_again(database: Couch) -> None:
    source = """function (keys, values, rereduce) {
        var second = function (value) { return value[1]; };
        return rereduce ? [keys, sum(values.map(second))] : [keys.length, sum(values)];
    }"""
    database.post("/_bulk_docs", json={"docs": [{"letter": "c", "n": n} for n in range(700)]})
    total = sum(range(700)) + sum(range(6))
    assert values(reduced(database, "doc.n", source)) == [[None, total]]


def test_rows_are_grouped_by_the_beginning_of_their_keys(database: Couch) -> None:
    docs = [{"key": [color, n, n % 2]} for color in ("red", "blue") for n in range(3)] + [{"key": "red"}]
    database.post("/_bulk_docs", json={"docs": docs})
    save_design(
        database, "reduced", views={"all": {"map": "function (doc) { emit(doc.key, 1); }", "reduce": "_sum"}}
    )
    rows = database.get(f"{VIEW}?group_level=1").json()["rows"]
    assert [(row["key"], row["value"]) for row in rows] == [("red", 1), (["blue"], 3), (["red"], 3)]
    assert len(database.get(f"{VIEW}?group_level=2").json()["rows"]) == 7
    assert values(database.get(f"{VIEW}?group_level=0")) == [7]


@pytest.mark.parametrize("length", [5000, 100_000])
@pytest.mark.parametrize("query", ["", "?group=true"])
def test_result_that_does_not_shrink_is_an_overflow(database: Couch, length: int, query: str) -> None:
    source = f"function (keys, values, rereduce) {{ return new Array({length}).join('x'); }}"
    response = reduced(database, "1", source, query.lstrip("?"))
    errors = {(row["key"], row["error"]) for row in response.json()["rows"]}
    assert (response.status_code, errors) == (200, {(None, "reduce_overflow_error")})


def test_sum_that_does_not_shrink_is_an_overflow(database: Couch) -> None:
    value = """(function () {
        var all = {};
        for (var i = 0; i < 900; i += 1) { all[doc.n + '_' + i] = 1; }
        return all;
    })()"""
    [error] = values(reduced(database, value, "_sum"))
    assert (error["error"], "shrink more rapidly" in error["reason"]) == ("builtin_reduce_error", True)


def test_function_that_throws_reduces_to_null(database: Couch) -> None:
    assert values(reduced(database, "1", "function () { throw 'x'; }")) == [None]
    assert values(reduced(database, "1", "function () { missing.member; }", "group=true")) == [None, None]


@pytest.mark.parametrize("reduce", ["_sum", "_stats", "_count", "_first", "function () { return 1; }"])
def test_nothing_reduces_to_no_row(database: Couch, reduce: str) -> None:
    save_design(database, "reduced", views={"all": {"map": "function (doc) {}", "reduce": reduce}})
    assert database.get(VIEW).json()["rows"] == []


@pytest.mark.parametrize(
    ("reduce", "query"),
    [
        ("_sum", 'keys=["a","b"]'),
        ("_sum", "include_docs=true"),
        ("_sum", "conflicts=true"),
        ("_sum", "group=false&group_level=1"),
        ("_sum", "group_level=-1"),
        ("_sum", "reduce=x"),
        ("_sum", "reduce=false&group=true"),
        (None, "group=true"),
        (None, "reduce=true"),
    ],
)
def test_contradicting_options_are_refused(database: Couch, reduce: str | None, query: str) -> None:
    view = {"map": "function (doc) { emit(doc.letter, doc.n); }"} | (
        {} if reduce is None else {"reduce": reduce}
    )
    save_design(database, "reduced", views={"all": view})
    response = database.get(f"{VIEW}?{query}")
    assert (response.status_code, response.json()["error"]) == (400, "query_parse_error")


def test_several_queries_go_in_one_request(database: Couch) -> None:
    reduced(database, "doc.n", "_sum")
    queries = [{"key": "a"}, {"reduce": False, "limit": 1}, {"group": True, "skip": 1}]
    response = database.post(f"{VIEW}/queries", json={"queries": queries})
    first, second, third = response.json()["results"]
    assert (first["rows"], third["rows"]) == ([{"key": None, "value": 6}], [{"key": "b", "value": 9}])
    assert [row["id"] for row in second["rows"]] == ["doc0"]
