import math
import re

import aiohttp
import pytest
from prometheus_client import Counter
from yarl import URL

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.testing.fault_proxy import FaultProxy, never_answer
from tor_async_service.app.application import Parts, ServiceApplication
from tor_async_service.http.service import OwnMetrics
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.serving import problem_of, serving
from tor_async_service.tests.thing_service import make_app


def test_service_has_the_parts_that_it_is_given(absent_database: Database) -> None:
    metrics = ServiceMetrics()
    service = make_app(absent_database, parts=Parts(deadline_s=7.0, metrics=metrics)).service
    assert service.deadline_s == 7.0
    assert service.metrics is metrics
    assert service.database.observer is metrics


def test_service_has_parts_of_its_own_by_default(absent_database: Database) -> None:
    first, second = make_app(absent_database).service, make_app(absent_database).service
    assert first.deadline_s == 30.0
    assert not first.drain.is_draining
    assert first.metrics is not second.metrics


class Eaten:
    """A metric that is counted when a scraper asks."""

    def __init__(self) -> None:
        self._eaten = Counter("fruits_eaten", "Fruits that were eaten.", registry=None)
        self.collectors = [self._eaten]

    async def refresh(self) -> None:
        self._eaten.inc(3)


async def test_metrics_of_a_services_own_are_shown_and_brought_up_to_date(
    absent_database: Database, parts: Parts
) -> None:
    own: OwnMetrics = Eaten()
    app = ServiceApplication([], absent_database, version="1", own_metrics=[own], parts=parts)
    async with serving(app) as client:
        for count in (3, 6):
            async with client.get("/_metrics", headers={"Accept": "text/plain"}) as response:
                assert f"fruits_eaten_total {count}.0" in (await response.text()).splitlines()


async def test_retries_that_the_budget_still_allows_are_shown(metrics: ServiceMetrics) -> None:
    budget = RetryBudget(max_tokens=2)
    async with Database("http://127.0.0.1:1/absent", retry_budget=budget, observer=metrics) as database:
        make_app(database, parts=Parts(metrics=metrics))
        assert metrics.registry.get_sample_value("retry_budget_tokens") == 2
        budget.spend()
        assert metrics.registry.get_sample_value("retry_budget_tokens") == 1


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/v1.0", "/v1.0/", "/_nothing", "/_health/x", "/things/a/b"])
async def test_unknown_path_is_a_problem_with_any_method(
    absent_database: Database, method: str, path: str
) -> None:
    async with (
        serving(make_app(absent_database)) as client,
        client.request(method, path, data=b"x" * 1000 if method != "HEAD" else None) as response,
    ):
        if method == "HEAD":
            assert response.status == 404
        else:
            assert path in (await problem_of(response, 404))["detail"]


async def test_path_that_is_not_utf_8_is_a_bad_request(absent_database: Database) -> None:
    path = URL("/things/%ff", encoded=True)
    async with serving(make_app(absent_database)) as client, client.get(path) as response:
        await problem_of(response, 400)


@pytest.mark.parametrize("deadline_s", [0.3])
async def test_request_is_answered_at_the_deadline_if_the_database_never_answers(
    client: aiohttp.ClientSession, proxy: FaultProxy, caplog: pytest.LogCaptureFixture
) -> None:
    proxy.inject(never_answer, times=math.inf)
    async with client.get("/things") as response:
        await problem_of(response, 503)
    # The database's own timeout is ten seconds.
    assert re.search(r"did not answer GET \S+ within 0\.[0-3] s", caplog.text)
