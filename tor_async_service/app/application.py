"""The Tornado application of a service: its own routes, and those that every service has."""

import dataclasses
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import tornado.web

from tor_async_couchdb.actions.inspect import AsyncCouchDBHealthCheck
from tor_async_couchdb.documents.database import Database
from tor_async_service.events import EventLog
from tor_async_service.http.drain import Drain
from tor_async_service.http.handler import ServiceHandler, UnknownPathHandler, log_request
from tor_async_service.http.problems import Problem
from tor_async_service.http.service import DEFAULT_DEADLINE_S, HealthCheck, OwnMetrics, Service
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.operations.events import EventsHandler
from tor_async_service.operations.health import HealthHandler
from tor_async_service.operations.metrics import MetricsHandler
from tor_async_service.operations.version import NoopHandler, VersionHandler

Route = tuple[str, type[ServiceHandler]]
BackgroundWork = Callable[[], Coroutine[Any, Any, None]]

_OPERATIONS: tuple[Route, ...] = (
    (r"(?:/v1\.0)?/_health", HealthHandler),
    (r"(?:/v1\.0)?/_metrics", MetricsHandler),
    (r"(?:/v1\.0)?/_version", VersionHandler),
    (r"(?:/v1\.0)?/_noop", NoopHandler),
)
_EVENTS: Route = (r"(?:/v1\.0)?/_events", EventsHandler)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the chassis gives to the application of any service.

    No request takes longer than `deadline_s` seconds. `metrics` should be the database's observer, so that
    calls to CouchDB are counted. With `events` there is a stream of them at `/_events`.
    """

    deadline_s: float = DEFAULT_DEADLINE_S
    metrics: ServiceMetrics = dataclasses.field(default_factory=ServiceMetrics)
    events: EventLog | None = None


class ServiceApplication(tornado.web.Application):
    """Serves `routes` and `/_health`, `/_metrics`, `/_version` and `/_noop`.

    `/_health?quick=false` runs `health_checks`, and the check of the database, and shows failures by their
    names. `/_metrics` shows `own_metrics`. `problems` are the answers to errors of this service's own.
    `background_work` runs until the service ends. Handlers find `settings` in `self.settings`.
    """

    def __init__(
        self,
        routes: Sequence[Route],
        database: Database,
        *,
        version: str,
        health_checks: Mapping[str, HealthCheck] | None = None,
        own_metrics: Sequence[OwnMetrics] = (),
        problems: Mapping[type[Exception], Problem] | None = None,
        background_work: Sequence[BackgroundWork] = (),
        settings: Mapping[str, Any] | None = None,
        parts: Parts | None = None,
    ) -> None:
        self.background_work = background_work
        parts = parts or Parts()
        metrics = parts.metrics
        for collector in (collector for own in own_metrics for collector in own.collectors):
            metrics.registry.register(collector)
        self.service = Service(
            database=database.observed_by(metrics),
            version=version,
            deadline_s=parts.deadline_s,
            metrics=metrics,
            own_metrics=own_metrics,
            health_checks={"database": AsyncCouchDBHealthCheck(database=database).check}
            | dict(health_checks or {}),
            problems=problems or {},
            drain=Drain(),
            events=parts.events,
        )
        events = () if parts.events is None else (_EVENTS,)
        super().__init__(
            [*_OPERATIONS, *events, *routes],
            default_handler_class=UnknownPathHandler,
            service=self.service,
            log_function=log_request,
            **(settings or {}),
        )
