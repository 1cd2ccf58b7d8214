import pytest

from embedded_couchdb.tests.couch import Couch


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/_find"),
        ("POST", "/_explain"),
        ("GET", "/_index"),
        ("POST", "/_index"),
        ("DELETE", "/_index/_design/a/json/b"),
        ("POST", "/_purge"),
        ("GET", "/_purged_infos_limit"),
        ("GET", "/_shards"),
        ("GET", "/_partition/a"),
        ("GET", "/_local_docs"),
        ("POST", "/_all_docs/queries"),
        ("GET", "/_design/a/_show/b"),
        ("GET", "/_design/a/_list/b/c"),
        ("GET", "/_design/a/_rewrite/b"),
        ("GET", "/_design/a/_search/b"),
        ("COPY", "/a"),
        ("GET", "/a?local_seq=true"),
    ],
)
def test_missing_feature_of_a_database_is_named(stand_in_database: Couch, method: str, path: str) -> None:
    stand_in_database.save("a")
    response = stand_in_database.ask(method, path, json={"selector": {}})
    assert (response.status_code, response.json()["error"]) == (501, "not_implemented")
    feature = (
        "COPY"
        if method == "COPY"
        else next(
            part for part in path.replace("?", "/_").split("/") if part.startswith("_") and part != "_design"
        )
    )
    assert feature.split("=")[0].lstrip("_") in response.json()["reason"]


def test_partitioned_database_is_not_made_without_partitions(stand_in: Couch) -> None:
    response = stand_in.put("/test_partitioned?partitioned=true")
    assert (response.status_code, response.json()["error"]) == (501, "not_implemented")
    assert "partitioned" in response.json()["reason"]
    assert stand_in.get("/test_partitioned").status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/_active_tasks",
        "/_dbs_info",
        "/_db_updates",
        "/_membership",
        "/_node/_local/_stats",
        "/_scheduler/jobs",
        "/_scheduler/docs",
        "/_cluster_setup",
        "/_reshard",
        "/_utils",
    ],
)
def test_missing_feature_of_the_server_is_named(stand_in: Couch, path: str) -> None:
    response = stand_in.get(path)
    assert (response.status_code, response.json()["error"]) == (501, "not_implemented")
    assert path.split("/")[1] in response.json()["reason"]


@pytest.mark.parametrize("option", ["cancel", "winning_revs_only", "source_proxy"])
def test_missing_option_of_a_replication_is_named(
    stand_in: Couch, stand_in_database: Couch, option: str
) -> None:
    endpoint = stand_in_database.url
    response = stand_in.post("/_replicate", json={"source": endpoint, "target": endpoint, option: True})
    assert (response.status_code, option in response.json()["reason"]) == (501, True)


def test_mango_index_may_be_stored_but_not_queried(stand_in_database: Couch) -> None:
    view = {
        "map": {"fields": {"color": "asc"}},
        "reduce": "_count",
        "options": {"def": {"fields": ["color"]}},
    }
    ddoc = {"language": "query", "views": {"by_color": view}}
    assert stand_in_database.put("/_design/mango", json=ddoc).status_code == 201
    assert stand_in_database.get("/_design/mango/_info").json()["view_index"]["updates_pending"]["total"] == 0
    response = stand_in_database.get("/_design/mango/_view/by_color")
    assert (response.status_code, "Mango" in response.json()["reason"]) == (501, True)
