import math

import pytest
from aiohttp import web

from tor_async_couchdb.actions.inspect import (
    AsyncAllViewMetricsRetriever,
    AsyncCouchDBHealthCheck,
    AsyncDatabaseMetricsRetriever,
    AsyncViewMetricsRetriever,
)
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConnectError,
    NoMajorityError,
    NotFoundError,
    TransportError,
    UnauthorizedError,
)
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, answered, cut_before
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.pretended_cluster import cluster_of
from tor_async_couchdb.tests.things import Documents


async def test_database_that_answers_is_healthy(database: Database) -> None:
    await AsyncCouchDBHealthCheck(database=database).check()


async def test_each_reason_of_bad_health_has_an_error_of_its_own(proxy: FaultProxy, connect: Connect) -> None:
    with pytest.raises(NotFoundError):
        await AsyncCouchDBHealthCheck(database=connect(f"{proxy.url}_absent")).check()
    with pytest.raises(UnauthorizedError):
        await AsyncCouchDBHealthCheck(database=connect(password="wrong")).check()
    with pytest.raises(ConnectError):
        await AsyncCouchDBHealthCheck(database=connect("http://127.0.0.1:1/db")).check()


async def test_cluster_is_healthy_while_most_of_its_nodes_are_up(
    proxy: FaultProxy, database: Database
) -> None:
    proxy.inject(cluster_of(proxy.url), times=math.inf)
    await AsyncCouchDBHealthCheck(database=database).check()
    assert await database.revisions.read_local("tor_async_couchdb_majority") is not None
    proxy.clear()
    proxy.inject(cluster_of(proxy.url, has_majority=False), times=math.inf)
    with pytest.raises(NoMajorityError, match="fewer than 2 of the 3 copies"):
        await AsyncCouchDBHealthCheck(database=database).check()


@pytest.mark.single_copy
async def test_health_check_writes_nothing_on_one_node(proxy: FaultProxy, database: Database) -> None:
    await AsyncCouchDBHealthCheck(database=database).check()
    assert [request.method for request in proxy.requests] == ["GET"]


async def test_metrics_of_a_database_count_all_documents_and_measure_all_views(
    database: Database, documents: Documents
) -> None:
    documents.put_view()
    documents.put(_id="_design/empty")
    documents.put(key=1)
    await database.query_view("thing_by_key")
    metrics = await AsyncDatabaseMetricsRetriever(database=database).fetch()
    assert metrics.database == documents.name
    assert metrics.doc_count == 3
    assert metrics.sizes.data_size is not None
    assert metrics.sizes.disk_size is not None
    assert metrics.sizes.disk_size > 0
    assert [view.design_doc for view in metrics.view_metrics] == ["empty", "thing_by_key"]
    for view in metrics.view_metrics:
        assert view.sizes.fragmentation is not None
        assert 0 <= view.sizes.fragmentation <= 100


async def test_many_design_documents_are_all_measured_one_at_a_time(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    for number in range(20):
        documents.put(_id=f"_design/view_{number:02}")
    metrics = await AsyncAllViewMetricsRetriever(database=database).fetch()
    assert [view.design_doc for view in metrics] == [f"view_{number:02}" for number in range(20)]
    assert len(proxy.requests) == 21


async def test_view_that_is_deleted_meanwhile_is_left_out(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    for name in ("a", "b", "c"):
        documents.put(_id=f"_design/{name}")

    async def delete_first(request: Request) -> web.StreamResponse:
        documents.delete(documents.get("_design/b"))
        return await request.forward()

    proxy.inject(delete_first, "_design/b/_info")
    metrics = await AsyncDatabaseMetricsRetriever(database=database).fetch()
    assert [view.design_doc for view in metrics.view_metrics] == ["a", "c"]


@pytest.mark.parametrize("answer", ["{}", "[]", "null", '{"ok":true}'])
async def test_answer_of_something_that_is_no_database_is_not_healthy(
    proxy: FaultProxy, database: Database, answer: str
) -> None:
    proxy.inject(answered(200, answer))
    with pytest.raises(TransportError):
        await AsyncCouchDBHealthCheck(database=database).check()


async def test_database_without_views_has_no_view_metrics(database: Database) -> None:
    assert await AsyncAllViewMetricsRetriever(database=database).fetch() == []


async def test_metrics_of_an_absent_view_are_an_error(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await AsyncViewMetricsRetriever("absent", database=database).fetch()


async def test_metrics_that_can_not_be_read_completely_are_an_error(
    proxy: FaultProxy, database: Database, documents: Documents
) -> None:
    documents.put_view()
    proxy.inject(cut_before, "_info", times=math.inf)
    with pytest.raises(TransportError):
        await AsyncDatabaseMetricsRetriever(database=database).fetch()
