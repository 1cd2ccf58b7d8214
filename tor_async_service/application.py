"""The Tornado application of a service: its own routes, and those that every service has."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

import tornado.web

from tor_async_couchdb.async_model_actions import AsyncCouchDBHealthCheck
from tor_async_couchdb.database import Database
from tor_async_service.drain import Drain
from tor_async_service.guideline_endpoints import NoopHandler, VersionHandler
from tor_async_service.handler import ServiceHandler, UnknownPathHandler
from tor_async_service.health import HealthCheck, HealthHandler
from tor_async_service.metrics_endpoint import MetricsHandler, database_metrics_refresher
from tor_async_service.service_metrics import ServiceMetrics

DEFAULT_DEADLINE_S = 30.0

Route = tuple[str, type[ServiceHandler]]
# Brings gauges up to date that cost a call to know.
MetricsRefresher = Callable[[], Awaitable[None]]

_GUIDELINE_ROUTES: tuple[Route, ...] = (
    ("_health", HealthHandler),
    ("_metrics", MetricsHandler),
    ("_version", VersionHandler),
    ("_noop", NoopHandler),
)


def make_application(
    routes: Sequence[Route],
    database: Database,
    *,
    version: str,
    health_checks: Mapping[str, HealthCheck] | None = None,
    metrics_refreshers: Sequence[MetricsRefresher] = (),
) -> tornado.web.Application:
    """An application that serves `routes` and `/_health`, `/_metrics`, `/_version`, `/_noop`.

    `health_checks` are run by `/_health?quick=false`, beside the check of the database; the names are for
    its details. `metrics_refreshers` are run before `/_metrics` answers a scraper.
    """
    metrics = ServiceMetrics()
    database.observer = metrics
    guideline_routes = [(rf"(?:/v1\.0)?/{name}", handler) for name, handler in _GUIDELINE_ROUTES]
    return tornado.web.Application(
        [*guideline_routes, *routes],
        default_handler_class=UnknownPathHandler,
        database=database,
        deadline_s=DEFAULT_DEADLINE_S,
        drain=Drain(),
        health_checks={"database": AsyncCouchDBHealthCheck(database=database).check, **(health_checks or {})},
        metrics=metrics,
        metrics_refreshers=[database_metrics_refresher(database, metrics), *metrics_refreshers],
        version=version,
    )
