import math

import aiohttp
import pytest
from prometheus_client.openmetrics import parser as openmetrics_text
from prometheus_client.parser import text_string_to_metric_families

from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered, changed_first, cut_before
from tor_async_couchdb.tests.things import Documents
from tor_async_service.tests.serving import problem_of
from tor_async_service.tests.test_metrics import request_labels

_REQUESTS = "http_server_request_duration_seconds_count"


async def samples(client: aiohttp.ClientSession) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """All samples that Prometheus scrapes, by name and labels."""
    async with client.get("/_metrics", headers={"Accept": "text/plain"}) as response:
        assert response.status == 200
        assert response.content_type == "text/plain"
        text = await response.text()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def calls(client: aiohttp.ClientSession, operation: str, status: str) -> float:
    """How many calls to CouchDB the service has counted, by their operation and status."""
    return sum(
        value
        for (name, labels), value in (await samples(client)).items()
        if name == "db_client_operation_duration_seconds_count"
        and {("db_operation_name", operation), ("db_response_status_code", status)} <= labels
    )


async def value(client: aiohttp.ClientSession, name: str, **labels: str) -> float:
    return (await samples(client)).get((name, frozenset(labels.items())), 0.0)


@pytest.mark.parametrize("path", ["/_metrics", "/v1.0/_metrics"])
@pytest.mark.parametrize(
    "accept",
    [
        "",
        "*/*",
        "application/json",
        "text/html",
        "application/json, text/plain, */*",
        "text/plain, application/json",
        "text/plain;q=0.8, application/json;q=0.8",
        "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
        "text/plain;q=0, */*",
        "text/plain;q=x",
        "text",
        ",;,",
    ],
)
async def test_metrics_are_json_unless_another_form_is_preferred(
    client: aiohttp.ClientSession, documents: Documents, path: str, accept: str
) -> None:
    documents.put_thing("a")
    async with client.get(path, headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.content_type == "application/json"
        assert response.headers["Location"] == str(response.url)
        metrics = await response.json()
    assert metrics["links"] == {"self": {"href": str(response.url)}}
    assert metrics["database"]["docCount"] == 2
    assert set(metrics["database"]) == {"docCount", "dataSize", "diskSize", "fragmentation", "views"}
    assert set(metrics["database"]["views"]) == {"thing_by_key"}
    for sizes in (metrics["database"], metrics["database"]["views"]["thing_by_key"]):
        assert all(type(sizes[name]) is int for name in ("dataSize", "diskSize", "fragmentation"))


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("text/plain", "text/plain"),
        ("Text/Plain; version=0.0.4", "text/plain"),
        ("text/plain;version=x", "text/plain"),
        ("text/*", "text/plain"),
        ("application/json;q=0.1, text/plain;q=0.2", "text/plain"),
        ("application/json;q=0, */*", "text/plain"),
        ("application/openmetrics-text;q=0.9, text/plain;q=0.8", "application/openmetrics-text"),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;"
            "q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text",
        ),
    ],
)
async def test_format_is_the_one_that_the_client_likes_best(
    client: aiohttp.ClientSession, accept: str, media_type: str
) -> None:
    async with client.get("/_metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        assert response.content_type == media_type
        assert response.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", ["application/json", "text/plain"])
async def test_view_that_is_deleted_meanwhile_is_left_out(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents, accept: str
) -> None:
    documents.put(_id="_design/vanishing", language="javascript", views={})
    proxy.inject(answered(404, '{"error":"not_found","reason":"missing"}'), "_design/vanishing/_info")
    async with client.get("/_metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        text = await response.text()
    assert "thing_by_key" in text
    assert "vanishing" not in text


@pytest.mark.parametrize("answer", ["{}", "[]", '{"db_name":"x","doc_count":1,"sizes":{"file":"x"}}'])
async def test_metrics_of_something_that_is_no_database_are_a_problem(
    client: aiohttp.ClientSession, proxy: FaultProxy, answer: str
) -> None:
    proxy.inject(answered(200, answer), times=math.inf)
    async with client.get("/_metrics") as response:
        await problem_of(response, 503)


async def test_metrics_of_a_database_that_is_down_are_a_problem(
    client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    proxy.inject(cut_before, times=math.inf)
    async with client.get("/_metrics") as response:
        await problem_of(response, 503)


async def test_prometheus_gets_the_sizes_of_the_database(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    documents.put_thing("a")
    assert await value(client, "couchdb_documents") == 2
    assert await value(client, "couchdb_disk_bytes", design_doc="") > 0
    assert ("couchdb_data_bytes", frozenset({("design_doc", "thing_by_key")})) in await samples(client)


async def test_deleted_view_has_no_size_any_more(client: aiohttp.ClientSession, documents: Documents) -> None:
    labels = frozenset({("design_doc", "thing_by_key")})
    assert ("couchdb_disk_bytes", labels) in await samples(client)
    documents.delete(documents.get("_design/thing_by_key"))
    assert ("couchdb_disk_bytes", labels) not in await samples(client)


async def test_scraper_is_answered_while_the_database_is_down(
    client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    proxy.inject(cut_before, times=math.inf)
    assert await calls(client, "GET /{db}", "") < await calls(client, "GET /{db}", "")


async def test_openmetrics_is_supported(client: aiohttp.ClientSession) -> None:
    headers = {"Accept": "application/openmetrics-text; version=1.0.0"}
    async with client.get("/_metrics", headers=headers) as response:
        assert response.content_type == "application/openmetrics-text"
        families = openmetrics_text.text_string_to_metric_families(await response.text())  # type: ignore[no-untyped-call]  # untyped there
        assert "conflicts_met" in {family.name for family in families}


async def test_requests_and_calls_to_couchdb_are_counted(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    for path, status in (("/things", 200), ("/things/absent", 404)):
        async with client.get(path):
            pass
        route = "/things" if path == "/things" else "/things/{key}"
        assert await value(client, _REQUESTS, **request_labels("GET", route, status)) == 1
    assert await calls(client, "GET /{db}/_design/{ddoc}/_view/{view}", "200") == 2


async def test_all_unknown_methods_are_one_time_series(client: aiohttp.ClientSession) -> None:
    for method in ("BREW", "WHEN"):
        async with client.request(method, "/things", headers={"Connection": "close"}) as response:
            assert response.status == 405
    assert await value(client, _REQUESTS, **request_labels("_OTHER", "/things", 405)) == 2


async def test_hostile_paths_and_methods_make_no_time_series(client: aiohttp.ClientSession) -> None:
    async def series() -> set[object]:
        return {key for key in await samples(client) if key[0] == _REQUESTS}

    async def attack(number: int) -> None:
        for path in (f"/{number}", f"/things/{number}", f"/things/%00{number}?x={number}", f"/x//{number}"):
            for method in ("GET", f"BREW{number}"):
                async with client.request(method, path, headers={"Host": f"{number}.example"}) as response:
                    assert response.status in (404, 405)

    await attack(0)
    before = await series()
    for number in range(1, 20):
        await attack(number)
    assert await series() - before == {
        (_REQUESTS, frozenset(request_labels("GET", "/_metrics", 200).items()))
    }


async def test_conflicts_that_end_in_a_refusal_are_given_up(
    client: aiohttp.ClientSession, proxy: FaultProxy, documents: Documents
) -> None:
    documents.put_thing("a")
    proxy.inject(changed_first(), "_bulk_docs")
    async with client.put("/things/a", json={"key": "a", "count": 1}) as response:
        assert response.status == 409
    assert await value(client, "conflicts_met_total") == 1
    assert await value(client, "conflicts_given_up_total") == 1
    assert await value(client, "conflicts_resolved_total") == 0


async def test_document_that_a_list_leaves_out_is_counted(
    client: aiohttp.ClientSession, documents: Documents
) -> None:
    documents.put_thing("a", count="many")
    documents.put_thing("b")
    async with client.get("/things") as response:
        assert [thing["key"] for thing in await response.json()] == ["b"]
    assert await value(client, "documents_left_out_total", error="InvalidDocumentError") == 1
