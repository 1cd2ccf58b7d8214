"""The Tornado application of a service: its own routes, and those that every service has."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import tornado.web

from tor_async_couchdb.actions.retrieve import AsyncCouchDBHealthCheck
from tor_async_couchdb.documents.database import Database
from tor_async_service.http.drain import Drain
from tor_async_service.http.handler import ServiceHandler, UnknownPathHandler
from tor_async_service.http.problems import Problem
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.operations.health import HealthCheck, HealthHandler
from tor_async_service.operations.metrics import MetricsHandler, database_metrics_refresher
from tor_async_service.operations.version import NoopHandler, VersionHandler

DEFAULT_DEADLINE_S = 30.0

Route = tuple[str, type[ServiceHandler]]

_GUIDELINE_ROUTES: tuple[Route, ...] = (
    (r"(?:/v1\.0)?/_health", HealthHandler),
    (r"(?:/v1\.0)?/_metrics", MetricsHandler),
    (r"(?:/v1\.0)?/_version", VersionHandler),
    (r"(?:/v1\.0)?/_noop", NoopHandler),
)


class ServiceApplication(tornado.web.Application):
    """Serves `routes` and `/_health`, `/_metrics`, `/_version`, `/_noop`.

    A service may add to `health_checks` what `/_health?quick=false` has to run beside the check of the
    database, by the name that its details show; to `metrics.registry` its own metrics, and to
    `metrics_refreshers` what brings these up to date before a scraper is answered; to `problems` the answers
    to errors of its own; and to `background_work` what goes on until the service ends. No request takes
    longer than `deadline_s` seconds.
    """

    def __init__(self, routes: Sequence[Route], database: Database, *, version: str) -> None:
        super().__init__([*_GUIDELINE_ROUTES, *routes], default_handler_class=UnknownPathHandler)
        self.database = database
        self.version = version
        self.deadline_s = DEFAULT_DEADLINE_S
        self.drain = Drain()
        self.metrics = ServiceMetrics()
        database.observer = self.metrics
        self.health_checks: dict[str, HealthCheck] = {
            "database": AsyncCouchDBHealthCheck(database=database).check
        }
        self.metrics_refreshers: list[Callable[[], Awaitable[None]]] = [
            database_metrics_refresher(database, self.metrics)
        ]
        self.problems: dict[type[Exception], Problem] = {}
        self.background_work: list[Callable[[], Coroutine[Any, Any, None]]] = []
