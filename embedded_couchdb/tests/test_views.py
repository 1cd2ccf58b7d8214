from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded_couchdb.tests.couch import Couch

FRUITS = [("a", "red"), ("b", "blue"), ("c", "red"), ("d", "green"), ("e", "red")]
VIEW = "/_design/fruits/_view/by_color"


@pytest.fixture
def fruits(database: Couch) -> Couch:
    database.post("/_bulk_docs", json={"docs": [{"_id": name, "color": color} for name, color in FRUITS]})
    database.save_views("fruits", by_color="function (doc) { if (doc.color) { emit(doc.color, doc._id); } }")
    return database


def found(database: Couch, query: str = "", view: str = VIEW) -> list[str]:
    response = database.get(f"{view}?{query}")
    assert response.status_code == 200, response.text
    return [row["id"] for row in response.json()["rows"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", "bdace"),
        ('key="red"', "ace"),
        ('key="black"', ""),
        ('keys=["green","blue"]', "db"),
        ('startkey="c"&endkey="green"', "d"),
        ('start_key="c"&end_key="red"', "dace"),
        ('endkey="green"&inclusive_end=false', "b"),
        ("descending=true", "ecadb"),
        ('startkey="red"&endkey="green"&descending=true', "ecad"),
        ("limit=2", "bd"),
        ("skip=1&limit=2", "da"),
        ("limit=0", ""),
        ('startkey="red"&startkey_docid=c', "ce"),
        ('start_key="red"&start_key_doc_id=c&limit=1', "c"),
        ('startkey="red"&startkey_docid=c&skip=1', "e"),
        ('startkey="red"&startkey_docid=c&descending=true', "cadb"),
        ('startkey="green"&endkey="red"&endkey_docid=c', "dac"),
        ('startkey="red"&endkey="green"&endkey_docid=d&descending=true', "ecad"),
    ],
)
def test_rows_are_chosen(fruits: Couch, query: str, expected: str) -> None:
    assert found(fruits, query) == list(expected)


def test_keys_may_be_posted(fruits: Couch) -> None:
    rows = fruits.post(VIEW, json={"keys": ["red", "black", "blue"]}).json()["rows"]
    assert [row["id"] for row in rows] == list("aceb")
    assert fruits.post(VIEW, json={"keys": []}).json()["rows"] == []


@pytest.mark.parametrize("path", [VIEW, "/_all_docs", "/_design_docs"])
@pytest.mark.parametrize("bound", ["key", "startkey", "start_key", "endkey", "end_key"])
def test_several_keys_and_a_range_are_incompatible(fruits: Couch, path: str, bound: str) -> None:
    keys = ["a", "b"]
    for response in (
        fruits.post(f'{path}?{bound}="a"', json={"keys": keys}),
        fruits.post(path, json={"keys": keys, bound: "a"}),
        fruits.get(f'{path}?keys=["a","b"]&{bound}="a"'),
    ):
        assert (response.status_code, response.json()["error"]) == (400, "query_parse_error")
    assert fruits.post(f'{path}?{bound}="a"', json={"keys": []}).json()["rows"] == []


@pytest.mark.parametrize("key", [0, "", [], {}, None, False, [1, {"a": None}], 1.5, "ä"])
def test_any_json_is_a_key(database: Couch, key: Any) -> None:
    database.save("a", key=key)
    database.save_views("keys", by_key="function (doc) { emit(doc.key); }")
    rows = database.post("/_design/keys/_view/by_key", json={"keys": [key]}).json()["rows"]
    assert rows == [{"id": "a", "key": key, "value": None}]


@pytest.mark.parametrize(
    "query", ["key=red", "startkey=[", "limit=x", "limit=-1", "descending=x", "include_docs=1", "keys=1"]
)
def test_malformed_option_is_refused(fruits: Couch, query: str) -> None:
    assert fruits.get(f"{VIEW}?{query}").status_code == 400


def test_impossible_range_is_refused(fruits: Couch) -> None:
    response = fruits.get(f'{VIEW}?startkey="z"&endkey="a"')
    assert (response.status_code, response.json()["error"]) == (400, "query_parse_error")


@pytest.mark.parametrize("path", ["/_design/fruits/_view/missing", "/_design/missing/_view/by_color"])
def test_missing_view_is_not_found(fruits: Couch, path: str) -> None:
    response = fruits.get(path)
    assert (response.status_code, response.json()["error"]) == (404, "not_found")


def test_documents_come_with_their_rows(fruits: Couch) -> None:
    [row] = fruits.get(f'{VIEW}?key="blue"&include_docs=true').json()["rows"]
    assert (row["id"], row["value"], row["doc"]["color"]) == ("b", "b", "blue")


def test_a_write_is_seen_by_the_next_query(fruits: Couch) -> None:
    rev = fruits.get("/b").json()["_rev"]
    assert found(fruits, 'key="blue"') == ["b"]
    rev = fruits.save("b", _rev=rev, color="yellow")
    assert (found(fruits, 'key="blue"'), found(fruits, 'key="yellow"')) == ([], ["b"])
    fruits.delete(f"/b?rev={rev}")
    assert found(fruits, 'key="yellow"') == []


def test_each_writer_sees_its_own_write_in_the_view(fruits: Couch) -> None:
    def write_and_look(worker: int) -> list[list[str]]:
        client = fruits.below("")
        name = f"w{worker}"
        seen = []
        rev = None
        for color in ("lime", "pink", "teal"):
            body = {"color": f"{color}{worker}"} | ({} if rev is None else {"_rev": rev})
            rev = client.put(name, json=body).json()["rev"]
            seen.append(found(fruits, f'key="{color}{worker}"'))
        return seen

    with ThreadPoolExecutor(8) as pool:
        for worker, seen in enumerate(pool.map(write_and_look, range(8))):
            assert seen == [[f"w{worker}"]] * 3


def test_conflicts_are_found_by_a_view(database: Couch) -> None:
    database.save_views(
        "conflicts", conflicts="function (doc) { if (doc._conflicts) { emit(doc._conflicts); } }"
    )
    database.save_leaf("a", "1-aa")
    view = "/_design/conflicts/_view/conflicts"
    assert found(database, view=view) == []
    database.save_leaf("a", "1-bb")
    assert database.get(view).json()["rows"] == [{"id": "a", "key": ["1-aa"], "value": None}]
    database.delete("/a?rev=1-aa")
    assert found(database, view=view) == []


def test_map_function_that_throws_leaves_its_document_out(database: Couch) -> None:
    database.save("a")
    database.save("b", color={"name": "blue"})
    database.save_views("names", by_name="function (doc) { emit(doc.color.name); }")
    assert found(database, view="/_design/names/_view/by_name") == ["b"]


def test_map_function_emits_as_often_as_it_likes(database: Couch) -> None:
    database.save("a", tags=["x", "y"])
    source = "function (doc) { doc.tags.forEach(function (tag) { emit(tag, doc.tags.length); }); };"
    database.save_views("tags", by_tag=source)
    rows = database.get("/_design/tags/_view/by_tag").json()["rows"]
    assert [(row["key"], row["value"]) for row in rows] == [("x", 2), ("y", 2)]


@pytest.mark.parametrize(
    ("reduce", "query", "expected"),
    [
        ("_count", "", [(None, 5)]),
        ("_count", "group=true", [("blue", 1), ("green", 1), ("red", 3)]),
        ("_sum", 'group=true&key="red"', [("red", 6)]),
        ("function (keys, values, rereduce) { return sum(values); }", "", [(None, 10)]),
    ],
)
def test_rows_are_reduced(database: Couch, reduce: str, query: str, expected: list[tuple[str, int]]) -> None:
    docs = [{"_id": name, "color": color, "n": n} for n, (name, color) in enumerate(FRUITS)]
    database.post("/_bulk_docs", json={"docs": docs})
    view = {"map": "function (doc) { if (doc.color) { emit(doc.color, doc.n); } }", "reduce": reduce}
    assert database.put("/_design/fruits", json={"views": {"by_color": view}}).status_code == 201
    rows = database.get(f"{VIEW}?{query}").json()["rows"]
    assert [(row["key"], row["value"]) for row in rows] == expected
    assert len(database.get(f"{VIEW}?reduce=false").json()["rows"]) == 5


def test_reduced_rows_have_no_documents(database: Couch) -> None:
    view = {"map": "function (doc) { emit(doc._id); }", "reduce": "_count"}
    database.put("/_design/all", json={"views": {"all": view}})
    assert database.get("/_design/all/_view/all?include_docs=true").status_code == 400


def test_row_may_name_another_document(database: Couch) -> None:
    database.save("a", other="b")
    database.save("b", color="blue")
    database.save_views("links", links="function (doc) { if (doc.other) { emit(null, {_id: doc.other}); } }")
    [row] = database.get("/_design/links/_view/links?include_docs=true").json()["rows"]
    assert (row["id"], row["doc"]["color"]) == ("a", "blue")


def test_statistics_are_reduced(database: Couch) -> None:
    database.post("/_bulk_docs", json={"docs": [{"n": n} for n in range(1, 4)]})
    view = {"map": "function (doc) { emit(null, doc.n); }", "reduce": "_stats"}
    database.put("/_design/numbers", json={"views": {"all": view}})
    [row] = database.get("/_design/numbers/_view/all").json()["rows"]
    assert row["value"] == {"sum": 6, "count": 3, "min": 1, "max": 3, "sumsqr": 14}
