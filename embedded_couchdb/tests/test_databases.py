from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote

import pytest

from embedded_couchdb.tests.couch import Couch


@pytest.mark.parametrize("name", ["Upper", "1digit", "_foo", "..", "a.b", "a%20b", "a+b", "a%C3%A4"])
def test_illegal_name_is_refused(couch: Couch, name: str) -> None:
    response = couch.put(f"/{name.replace('.', '%2E')}")
    assert (response.status_code, response.json()["error"]) == (400, "illegal_database_name")


def test_second_creation_is_refused(database: Couch) -> None:
    response = database.put()
    assert (response.status_code, response.json()["error"]) == (412, "file_exists")


def test_of_two_creations_at_once_one_succeeds(couch: Couch, database: Couch) -> None:
    assert database.delete().status_code == 200
    clients = [couch.below(database.url.rpartition("/")[2]) for _ in range(4)]
    with ThreadPoolExecutor(len(clients)) as pool:
        statuses = list(pool.map(lambda client: client.put().status_code, clients))
    assert sorted(statuses) == [201, 412, 412, 412]


def test_missing_database_is_not_found(couch: Couch) -> None:
    missing = couch.below("test_embedded_couchdb_missing")
    for response in (missing.get(), missing.delete(), missing.get("/a"), missing.put("/a", json={})):
        assert (response.status_code, response.json()["error"]) == (404, "not_found")


def test_deleted_database_comes_back_empty(database: Couch) -> None:
    database.save("a")
    database.save_views("colors", by_color="function (doc) { emit(doc.color); }")
    assert len(database.get("/_design/colors/_view/by_color").json()["rows"]) == 1
    assert database.delete().json() == {"ok": True}
    assert database.get("/a").status_code == 404
    assert database.put().status_code == 201
    assert database.get().json()["doc_count"] == 0


_REQUESTS: list[tuple[str, str, object]] = [
    ("PUT", "/a", {}),
    ("GET", "/_all_docs?include_docs=true", None),
    ("POST", "/_bulk_docs", {"docs": [{"_id": "a"}, {}]}),
    ("PUT", "/_design/colors", {"views": {"by_color": {"map": "function (doc) { emit(doc.color); }"}}}),
    ("GET", "/_design/colors/_view/by_color", None),
    ("GET", "/_design/colors/_view/by_color?update=lazy", None),
    ("GET", "/_changes?feed=longpoll&since=now&timeout=100", None),
    ("PUT", "/_revs_limit", 500),
    ("PUT", "/_security", {}),
    ("PUT", "/_local/a", {}),
]


def test_requests_at_the_time_of_a_deletion_are_all_answered(database: Couch) -> None:
    statuses = set[int]()

    def ask_and_delete(number: int) -> None:
        if number % 10 == 0:
            statuses.add(database.delete().status_code)
            statuses.add(database.put().status_code)
        for method, path, body in _REQUESTS:
            statuses.add(database.ask(method, path, json=body).status_code)

    with ThreadPoolExecutor(5) as pool:
        list(pool.map(ask_and_delete, range(100)))
    assert statuses <= {200, 201, 404, 409, 412, 500}  # 500 is CouchDB's, where the files vanish


def test_databases_are_listed(couch: Couch, database: Couch) -> None:
    name = database.url.rpartition("/")[2]
    names = couch.get("/_all_dbs").json()
    assert name in names
    assert names == sorted(names)
    assert not [name for name in names if name.startswith("pouch")]


@pytest.mark.parametrize("path", ["", "/_all_docs"])
def test_head_of_what_is_there_is_200(database: Couch, path: str) -> None:
    assert database.ask("HEAD", path).status_code == 200


def test_name_may_have_a_slash(couch: Couch, database: Couch) -> None:
    name = database.url.rpartition("/")[2] + "%2Fa%2Bb"
    with_slash = couch.below(name)
    try:
        assert with_slash.put().status_code == 201
        rev = with_slash.save("a")
        assert with_slash.get("/a").json()["_rev"] == rev
        assert with_slash.get().json()["db_name"] == unquote(name)
        assert unquote(name) in couch.get("/_all_dbs").json()
        assert database.get("/a").status_code == 404
    finally:
        assert with_slash.delete().status_code == 200


def test_long_name_is_refused(couch: Couch) -> None:
    assert couch.put(f"/{'a' * 300}").status_code == 400
