from pathlib import Path
from typing import Any

import pytest

from couch_named_python.deploy import deployment
from couch_named_python.deploy.deployment import DeploymentError, DesignDatabase, difference
from couch_named_python.tests.couchdb_double import CouchDBDouble

DESIGN = {"_id": "_design/a", "language": "python", "views": {"v": {"map": "a.b|1"}}, "filters": {"f": "a.c"}}


def database(couchdb: CouchDBDouble) -> DesignDatabase:
    return DesignDatabase(couchdb.url + "/", "fruits", None)


def test_a_design_document_that_is_not_there_is_none(couchdb: CouchDBDouble) -> None:
    assert database(couchdb).fetch("_design/a") is None


def test_a_database_that_is_not_there_is_an_error(couchdb: CouchDBDouble) -> None:
    missing = DesignDatabase(couchdb.url, "veg/etables", None)
    with pytest.raises(DeploymentError, match="cannot read _design/a: 404 Database does not exist"):
        missing.fetch("_design/a")


def test_what_was_uploaded_is_there_without_a_difference(couchdb: CouchDBDouble) -> None:
    database(couchdb).upload(DESIGN, None)
    assert difference(database(couchdb).fetch("_design/a"), DESIGN) == []


def test_an_upload_replaces_all_but_the_attachments(couchdb: CouchDBDouble) -> None:
    stub = {"a.txt": {"stub": True}}
    couchdb.documents["_design/a"] = {
        "_id": "_design/a",
        "_rev": "1-a",
        "_attachments": stub,
        "lists": {"l": "x"},
    }
    database(couchdb).upload(DESIGN, database(couchdb).fetch("_design/a"))
    assert couchdb.documents["_design/a"] == {**DESIGN, "_rev": "2-a", "_attachments": stub}


def test_a_change_by_somebody_else_is_not_overwritten(couchdb: CouchDBDouble) -> None:
    deployed = {"_id": "_design/a", "_rev": "1-a"}
    couchdb.documents["_design/a"] = {"_id": "_design/a", "_rev": "2-theirs"}
    with pytest.raises(DeploymentError, match="has changed since it was read"):
        database(couchdb).upload(DESIGN, deployed)
    assert couchdb.documents["_design/a"]["_rev"] == "2-theirs"


def test_an_index_is_built_under_a_temporary_design_document_with_the_views_only(
    couchdb: CouchDBDouble,
) -> None:
    database(couchdb).build_index(DESIGN, lambda _: None)
    assert couchdb.documents == {}
    methods = [request.split("/")[0] for request in couchdb.requests]
    assert methods == ["PUT _design", "GET _design", "HEAD _design", "DELETE _design"]
    assert couchdb.requests[1].endswith("/_view/v")
    database(couchdb).build_index({"_id": "_design/b", "filters": {}}, lambda _: None)
    assert len(couchdb.requests) == 4


def test_progress_is_reported_until_the_view_answers(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_PROGRESS_EVERY_S", 0.1)
    couchdb.slow_answers = 2
    reported: list[int] = []
    database(couchdb).build_index(DESIGN, reported.append)
    assert reported == [7, 7]


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"null", b""])
def test_an_answer_of_something_else_is_one_line(couchdb: CouchDBDouble, content: bytes) -> None:
    couchdb.content = content
    with pytest.raises(DeploymentError, match=r"cannot read _design/a: 200 \(not an answer of CouchDB\)"):
        database(couchdb).fetch("_design/a")


def test_a_progress_of_something_else_is_one_line(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "_PROGRESS_EVERY_S", 0.1)
    couchdb.slow_answers = 1
    couchdb.info = {"view_index": None}
    with pytest.raises(DeploymentError, match=r"cannot read the state of .* \(not an answer of CouchDB\)"):
        database(couchdb).build_index(DESIGN, lambda _: None)
    assert couchdb.documents == {}


def test_certificates_come_from_ssl_cert_file(
    couchdb: CouchDBDouble, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(DeploymentError, match=r"missing\.pem"):
        DesignDatabase(couchdb.url.replace("http:", "https:"), "fruits", None).fetch("_design/a")


def test_a_function_that_couchdb_refuses_leaves_nothing_behind(couchdb: CouchDBDouble) -> None:
    couchdb.view_refusal = "module 'a'\n is not allowed"
    with pytest.raises(
        DeploymentError, match="cannot build the index of view 'v': 500 module 'a' is not allowed"
    ):
        database(couchdb).build_index(DESIGN, lambda _: None)
    assert couchdb.documents == {}


def test_a_server_that_is_not_there_is_one_line(couchdb: CouchDBDouble) -> None:
    couchdb.close()
    with pytest.raises(DeploymentError, match=r"no answer from http://127.0.0.1:.*ConnectionError") as caught:
        database(couchdb).fetch("_design/a")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("deployed", "expected"),
    [
        (None, {"-{}", '+  "language": "python",'}),
        (
            {**DESIGN, "_rev": "1-a", "language": "javascript"},
            {'-  "language": "javascript",', '+  "language": "python",'},
        ),
        ({**DESIGN, "_rev": "1-a", "lists": {}}, {'-  "lists": {},'}),
    ],
)
def test_a_difference_shows_what_comes_and_what_goes(deployed: Any, expected: set[str]) -> None:
    assert expected <= set(difference(deployed, DESIGN))


def test_the_order_of_members_and_the_revision_are_no_difference() -> None:
    deployed = {"_rev": "3-c", "_attachments": {}, **dict(reversed(DESIGN.items()))}
    assert difference(deployed, DESIGN) == []
