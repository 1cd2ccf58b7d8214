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
