from typing import Any

import pytest

from embedded_couchdb.tests.couch import Couch


def find(database: Couch, **query: Any) -> dict[str, Any]:
    response = database.post("/_find", json=query)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_documents_are_found_by_selector(database: Couch) -> None:
    database.save("a", color="red", n=1)
    database.save("b", color="blue", n=2)
    found = find(database, selector={"color": "blue"}, fields=["_id", "n"])
    assert found["docs"] == [{"_id": "b", "n": 2}]
    assert [doc["_id"] for doc in find(database, selector={"n": {"$gt": 0}})["docs"]] == ["a", "b"]


def test_an_index_sorts(database: Couch) -> None:
    for name, n in (("a", 3), ("b", 1), ("c", 2)):
        database.save(name, n=n)
    assert database.post("/_index", json={"index": {"fields": ["n"]}}).json()["result"] == "created"
    found = find(database, selector={"n": {"$gt": 0}}, sort=["n"])
    assert [doc["_id"] for doc in found["docs"]] == ["b", "c", "a"]


def test_pages_of_25_continue_at_a_bookmark(database: Couch) -> None:
    names = [f"{n:02}" for n in range(30)]
    database.post("/_bulk_docs", json={"docs": [{"_id": name, "color": "red"} for name in names]})
    first = find(database, selector={"color": "red"})
    second = find(database, selector={"color": "red"}, bookmark=first["bookmark"])
    third = find(database, selector={"color": "red"}, bookmark=second["bookmark"])
    pages = [[doc["_id"] for doc in page["docs"]] for page in (first, second, third)]
    assert pages == [names[:25], names[25:], []]


def test_conflicts_are_found_by_selector(database: Couch) -> None:
    database.save("quiet")
    database.save_leaf("a", "1-aa", color="red")
    database.save_leaf("a", "1-bb", color="blue")
    found = find(database, selector={"_conflicts": {"$exists": True}}, conflicts=True)
    assert [(doc["_id"], doc["_conflicts"]) for doc in found["docs"]] == [("a", ["1-aa"])]


@pytest.mark.parametrize(
    "query", [{}, {"selector": 1}, {"selector": {}, "limit": "x"}, {"selector": {"a": {"$x": 1}}}]
)
def test_malformed_query_is_refused(database: Couch, query: dict[str, Any]) -> None:
    assert database.post("/_find", json=query).status_code == 400


def test_malformed_bookmark_is_refused(database: Couch) -> None:
    assert database.post("/_find", json={"selector": {}, "bookmark": "no bookmark"}).status_code == 400
