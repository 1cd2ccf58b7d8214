import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from requests.auth import _basic_auth_str

from embedded_couchdb.tests.couch import NOBODY, Couch, eventually


def with_auth(database: Couch) -> dict[str, Any]:
    return {
        "url": database.url,
        "auth": {"basic": {"username": database.username, "password": database.password}},
    }


def with_headers(database: Couch) -> dict[str, Any]:
    return {
        "url": database.url,
        "headers": {"Authorization": _basic_auth_str(database.username, database.password)},
    }


def with_credentials_in_the_url(database: Couch) -> str:
    return database.url.replace("://", f"://{database.username}:{database.password}@", 1)


def is_replicating(couch: Couch, replicator: Couch) -> bool:
    """Whether CouchDB, which takes its time to end a job, says that it still runs; the stand-in says no."""
    tasks = couch.get("/_active_tasks")
    document_id = replicator.url.rpartition("/")[2]
    return tasks.status_code == 200 and document_id in [task.get("doc_id") for task in tasks.json()]


@pytest.fixture
def replicator(couch: Couch) -> Iterator[Couch]:
    """A document of `_replicator`, deleted afterwards."""
    document = couch.below(f"_replicator/test_{uuid.uuid4().hex}")
    yield document
    response = document.get()
    if response.status_code == 200:
        document.delete(params={"rev": response.json()["_rev"]})


def test_database_of_this_server_is_named_without_a_url(
    couch: Couch, database: Couch, other_database: Couch
) -> None:
    database.save("a")
    source, target = (each.url.rpartition("/")[2] for each in (database, other_database))
    assert couch.post("/_replicate", json={"source": source, "target": target}).status_code == 200
    assert other_database.get("/a").status_code == 200


@pytest.mark.parametrize("endpoint", [with_auth, with_headers, with_credentials_in_the_url])
def test_database_is_replicated_once(
    couch: Couch, database: Couch, other_database: Couch, endpoint: Any
) -> None:
    rev = database.save("a", color="red")
    job = {"source": endpoint(database), "target": endpoint(other_database)}
    response = couch.post("/_replicate", json=job)
    assert (response.status_code, response.json()["ok"]) == (200, True)
    assert response.json()["history"][0]["docs_written"] == 1
    assert other_database.get("/a").json() == {"_id": "a", "_rev": rev, "color": "red"}


def test_conflicts_and_deletions_are_replicated(couch: Couch, database: Couch, other_database: Couch) -> None:
    gone = database.save("gone")
    database.delete(f"/gone?rev={gone}")
    database.save_leaf("a", "1-aa", color="red")
    other_database.save_leaf("a", "1-bb", color="blue")
    job = {"source": with_auth(database), "target": with_auth(other_database)}
    assert couch.post("/_replicate", json=job).status_code == 200
    assert other_database.get("/a?conflicts=true").json()["_conflicts"] == ["1-aa"]
    assert other_database.get("/gone").json()["reason"] == "deleted"


def test_missing_target_is_created_only_on_request(
    couch: Couch, database: Couch, other_database: Couch
) -> None:
    database.save("a")
    other_database.delete()
    job = {"source": with_auth(database), "target": with_auth(other_database)}
    assert couch.post("/_replicate", json=job).status_code >= 400
    assert other_database.get().status_code == 404
    assert couch.post("/_replicate", json={**job, "create_target": True}).status_code == 200
    assert other_database.get("/a").status_code == 200


def test_wrong_credentials_replicate_nothing(couch: Couch, database: Couch, other_database: Couch) -> None:
    database.save("a")
    source = {"url": database.url, "auth": {"basic": NOBODY}}
    response = couch.post("/_replicate", json={"source": source, "target": with_auth(other_database)})
    assert response.status_code >= 400
    assert other_database.get().json()["doc_count"] == 0


def test_chosen_documents_are_replicated(couch: Couch, database: Couch, other_database: Couch) -> None:
    database.save("a", color="red")
    database.save("b", color="blue")
    job = {"source": with_auth(database), "target": with_auth(other_database), "selector": {"color": "red"}}
    assert couch.post("/_replicate", json=job).status_code == 200
    assert [row["id"] for row in other_database.get("/_all_docs").json()["rows"]] == ["a"]


def test_bare_name_is_no_endpoint(replicator: Couch, database: Couch) -> None:
    job = {"source": database.url.rpartition("/")[2], "target": with_auth(database)}
    assert replicator.put(json=job).status_code == 403


def test_document_replicates_once(replicator: Couch, database: Couch, other_database: Couch) -> None:
    database.save("a")
    job = {"source": with_auth(database), "target": with_auth(other_database)}
    assert replicator.put(json=job).status_code == 201
    eventually(lambda: other_database.get("/a").status_code == 200)
    eventually(lambda: replicator.get().json().get("_replication_state") == "completed")


def test_document_keeps_two_databases_alike(
    replicator: Couch, database: Couch, other_database: Couch
) -> None:
    job = {"source": with_auth(database), "target": with_auth(other_database), "continuous": True}
    assert replicator.put(json=job).status_code == 201
    database.save("a")
    eventually(lambda: other_database.get("/a").status_code == 200)
    database.save("b")
    eventually(lambda: other_database.get("/b").status_code == 200)


def test_deleted_document_replicates_no_more(
    couch: Couch, replicator: Couch, database: Couch, other_database: Couch
) -> None:
    job = {"source": with_auth(database), "target": with_auth(other_database)}
    replicator.put(json={**job, "continuous": True})
    database.save("a")
    eventually(lambda: other_database.get("/a").status_code == 200)
    assert replicator.delete(params={"rev": replicator.get().json()["_rev"]}).status_code == 200
    eventually(lambda: not is_replicating(couch, replicator))
    database.save("b")
    database.save("c")
    assert couch.post("/_replicate", json={**job, "doc_ids": ["c"]}).status_code == 200
    assert [row["id"] for row in other_database.get("/_all_docs").json()["rows"]] == ["a", "c"]
