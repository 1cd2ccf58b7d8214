import math
import time

import aiohttp
import pytest
from yarl import URL

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.testing.fault_proxy import FaultProxy, never_answer
from tor_async_service.app.application import ServiceApplication
from tor_async_service.tests.serving import problem_of, serving
from tor_async_service.tests.thing_service import make_app


def test_service_on_a_database_makes_that_report_to_its_metrics(lone_database: Database) -> None:
    app = make_app(lone_database)
    assert lone_database.observer is app.metrics
    assert app.deadline_s == 30.0
    assert not app.drain.is_draining


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/v1.0", "/v1.0/", "/_nothing", "/_health/x", "/things/a/b"])
async def test_unknown_path_is_a_problem_whatever_the_method(
    lone_database: Database, method: str, path: str
) -> None:
    async with (
        serving(make_app(lone_database)) as client,
        client.request(method, path, data=b"x" * 1000 if method != "HEAD" else None) as response,
    ):
        if method == "HEAD":
            assert response.status == 404
        else:
            assert path in (await problem_of(response, 404))["detail"]


async def test_path_that_is_no_text_is_a_bad_request(lone_database: Database) -> None:
    path = URL("/things/%ff", encoded=True)
    async with serving(make_app(lone_database)) as client, client.get(path) as response:
        await problem_of(response, 400)


async def test_no_request_takes_longer_than_the_deadline(
    app: ServiceApplication, client: aiohttp.ClientSession, proxy: FaultProxy
) -> None:
    app.deadline_s = 0.3
    proxy.inject(never_answer, times=math.inf)
    started_s = time.monotonic()
    async with client.get("/things") as response:
        await problem_of(response, 503)
    assert 0.2 < time.monotonic() - started_s < 5
