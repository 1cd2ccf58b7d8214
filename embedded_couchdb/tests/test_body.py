import pytest

from embedded_couchdb.tests.couch import JSON, Couch


@pytest.mark.parametrize("path", ["", "/_bulk_docs", "/_bulk_get", "/_changes", "/_revs_diff", "/_compact"])
@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_post_of_another_media_type_is_refused(database: Couch, path: str, media_type: str) -> None:
    response = database.post(path, data='{"docs":[]}', headers={"Content-Type": media_type})
    assert (response.status_code, response.json()["error"]) == (415, "bad_content_type")


def test_media_type_may_name_its_charset(database: Couch) -> None:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    assert database.post("", data='{"a":1}', headers=headers).status_code == 201


def test_put_of_a_document_needs_no_media_type(database: Couch) -> None:
    headers = {"Content-Type": "text/plain"}
    assert database.put("/a", data='{"color":"red"}', headers=headers).status_code == 201
    assert database.get("/a").json()["color"] == "red"


@pytest.mark.parametrize(
    "body", ["", "{", '{"a":1e400}', '{"a":"\\ud800"}', b'{"a":"\xff"}', '{"\\udc00":1}']
)
def test_json_that_cannot_be_stored_is_refused(database: Couch, body: str | bytes) -> None:
    put = database.put("/a", data=body)
    assert (put.status_code, put.json()["error"]) == (400, "bad_request")
    bulk = b'{"docs":[' + (body if isinstance(body, bytes) else body.encode()) + b',{"b":1}]}'
    assert database.post("/_bulk_docs", data=bulk, headers=JSON).status_code == 400
    assert database.get().json()["doc_count"] == 0


@pytest.mark.parametrize("body", ['{"a":1e21}', '{"a":"\\ud83d\\ude00"}', '{"a":"\U0001f600"}', '{"a":-0.0}'])
def test_unusual_json_is_stored(database: Couch, body: str) -> None:
    assert database.put("/a", data=body.encode()).status_code == 201


@pytest.mark.parametrize("body", ["[]", "1", '"a"', "null"])
def test_document_must_be_an_object(database: Couch, body: str) -> None:
    assert database.put("/a", data=body).status_code == 400
    assert database.post("", data=body, headers=JSON).status_code == 400


def test_document_above_eight_megabytes_is_refused(database: Couch) -> None:
    large = {"_id": "large", "text": "x" * 9_000_000}
    put = database.put("/large", json=large)
    assert (put.status_code, put.json()["error"]) == (413, "document_too_large")
    assert database.post("/_bulk_docs", json={"docs": [large]}).status_code == 413


def test_documents_below_eight_megabytes_are_stored_together(database: Couch) -> None:
    docs = [{"_id": name, "text": "x" * 5_000_000} for name in ("a", "b")]
    response = database.post("/_bulk_docs", json={"docs": docs})
    assert [result["ok"] for result in response.json()] == [True, True]
