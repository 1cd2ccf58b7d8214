from typing import Any

import pytest

from embedded_couchdb.tests.couch import Couch, eventually

MAP = "function (doc) { emit(doc.color); }"


def info(database: Couch, name: str) -> dict[str, Any]:
    response = database.get(f"/_design/{name}/_info")
    assert response.status_code == 200
    view_index: dict[str, Any] = response.json()["view_index"]
    return view_index


@pytest.mark.parametrize("view", [{"map": "function (doc) {"}, {"map": MAP, "reduce": "function (keys {"}])
def test_function_that_does_not_compile_is_refused(database: Couch, view: dict[str, str]) -> None:
    response = database.put("/_design/broken", json={"views": {"all": view}})
    assert (response.status_code, response.json()["error"]) == (400, "compilation_error")
    assert database.get("/_design/broken").status_code == 404


@pytest.mark.parametrize(
    "source", [MAP, MAP + ";", "(doc) => { emit(doc.color); }", "function (doc) { } // end"]
)
def test_function_that_compiles_is_accepted(database: Couch, source: str) -> None:
    database.save_views("good", all=source)
    assert database.get("/_design/good/_view/all").status_code == 200


@pytest.mark.parametrize(
    "ddoc",
    [
        {"views": 5},
        {"views": {"all": 5}},
        {"views": {"all": {}}},
        {"views": {"all": {"map": 5}}},
        {"views": {"all": {"map": MAP, "reduce": 5}}},
        {"views": {"all": {"map": MAP, "reduce": "_foo"}}},
        {"views": {"all": {"map": "5"}}},
        {"validate_doc_update": 5},
        {"language": 5},
    ],
)
def test_malformed_design_document_is_refused(database: Couch, ddoc: dict[str, Any]) -> None:
    assert database.put("/_design/malformed", json=ddoc).status_code == 400


def test_view_of_another_language_is_accepted(database: Couch) -> None:
    ddoc = {"language": "klingon", "views": {"all": {"map": "some.function"}}}
    assert database.put("/_design/other", json=ddoc).status_code == 201
    assert database.get("/_design/other/_view/all").status_code == 500


def test_signature_depends_on_the_views_alone(database: Couch) -> None:
    database.save_views("one", all=MAP)
    database.save_views("two", all=MAP)
    database.save_views("three", all="function (doc) { emit(doc._id); }")
    assert info(database, "one")["signature"] == info(database, "two")["signature"]
    assert info(database, "one")["signature"] != info(database, "three")["signature"]


def test_pending_updates_end_with_a_query(database: Couch) -> None:
    database.post("/_bulk_docs", json={"docs": [{} for _ in range(20)]})
    database.save_views("colors", by_color=MAP)
    assert database.get("/_design/colors/_view/by_color").json()["total_rows"] == 20
    eventually(lambda: info(database, "colors")["updates_pending"]["total"] == 0)


def test_index_has_sizes(database: Couch) -> None:
    database.post("/_bulk_docs", json={"docs": [{"color": "red"} for _ in range(20)]})
    database.save_views("colors", by_color=MAP)
    database.get("/_design/colors/_view/by_color")
    sizes = eventually(lambda: (found := info(database, "colors")["sizes"]) and found["file"] > 0 and found)
    assert set(sizes) == {"file", "external", "active"}


def test_info_of_a_missing_design_document_is_not_found(database: Couch) -> None:
    assert database.get("/_design/missing/_info").status_code == 404


def test_design_documents_are_listed(database: Couch) -> None:
    database.save("a")
    database.save_views("one", all=MAP)
    database.save_views("two", all=MAP)
    rows = database.get("/_design_docs").json()["rows"]
    assert [row["id"] for row in rows] == ["_design/one", "_design/two"]
    rows = database.get("/_design_docs?include_docs=true").json()["rows"]
    assert rows[0]["doc"]["views"]["all"]["map"] == MAP


def test_view_is_switched_without_building_it_again(database: Couch) -> None:
    database.post("/_bulk_docs", json={"docs": [{"color": "red"} for _ in range(20)]})
    database.save_views("next", by_color=MAP)
    database.get("/_design/next/_view/by_color")
    database.save_views("colors", by_color=MAP)
    eventually(lambda: info(database, "colors")["updates_pending"]["total"] == 0)
    temporary = database.get("/_design/next").json()["_rev"]
    assert database.delete(f"/_design/next?rev={temporary}").status_code == 200
    assert database.post("/_view_cleanup", json={}).status_code in {200, 202}
    assert database.get("/_design/colors/_view/by_color").json()["total_rows"] == 20


def test_compaction_is_accepted(database: Couch) -> None:
    rev = database.save("a")
    database.save("a", _rev=rev)
    assert database.post("/_compact", json={}).status_code == 202
    assert database.get("/a").status_code == 200


@pytest.mark.parametrize("name", ["x", "a%2Fb", "%C3%A4"])
def test_slash_of_a_design_document_may_be_encoded(database: Couch, name: str) -> None:
    encoded, plain = f"/_design%2F{name}", f"/_design/{name}"
    rev = database.put(encoded, json={"views": {"all": {"map": MAP}}}).json()["rev"]
    for path in (encoded, plain):
        assert database.get(path).json()["_rev"] == rev
        assert database.ask("HEAD", path).headers["ETag"] == f'"{rev}"'
        assert database.get(f"{path}/_info").status_code == 200
        assert database.get(f"{path}/_view/all").status_code == 200
    attached = database.put(f"{encoded}/note?rev={rev}", data=b"x", headers={"Content-Type": "text/plain"})
    assert database.get(f"{plain}/note").content == b"x"
    assert database.delete(encoded).status_code == 409
    assert database.delete(f"{encoded}?rev={attached.json()['rev']}").status_code == 200


def test_unused_index_is_cleaned_up(stand_in_database: Couch) -> None:
    stand_in_database.post("/_bulk_docs", json={"docs": [{"color": "red"} for _ in range(20)]})
    stand_in_database.save_views("colors", by_color=MAP)
    assert stand_in_database.get("/_design/colors/_view/by_color").json()["total_rows"] == 20
    rev = stand_in_database.get("/_design/colors").json()["_rev"]
    stand_in_database.delete(f"/_design/colors?rev={rev}")
    assert stand_in_database.post("/_view_cleanup", json={}).status_code == 202
    stand_in_database.save_views("colors", by_color=MAP)
    assert info(stand_in_database, "colors")["sizes"]["file"] == 0
    assert stand_in_database.get("/_design/colors/_view/by_color").json()["total_rows"] == 20
