"""The Tornado application of a service: its own routes, and those that every service has."""

import dataclasses
import functools
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec
import tornado.web

from tor_async_couchdb.actions.inspect import AsyncCouchDBHealthCheck
from tor_async_couchdb.documents.database import Database
from tor_async_service.conventions import route_of
from tor_async_service.events import EventLog
from tor_async_service.http.drain import Drain
from tor_async_service.http.forwarding import TrustedProxies
from tor_async_service.http.handler import ServiceHandler, UnknownPathHandler, log_request
from tor_async_service.http.problems import Problem
from tor_async_service.http.service import DEFAULT_DEADLINE_S, HealthCheck, OwnMetrics, Service
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.operations.checks import CachedChecks
from tor_async_service.operations.events import EventsHandler
from tor_async_service.operations.health import HealthHandler
from tor_async_service.operations.metrics import MetricsHandler
from tor_async_service.operations.openapi import OpenAPIHandler, openapi_document
from tor_async_service.operations.probes import LivezHandler, ReadyzHandler
from tor_async_service.operations.version import NoopHandler, VersionHandler
from tor_async_service.tracing.tracer import RequestTracer

Route = tuple[str, type[ServiceHandler]]
BackgroundWork = Callable[[], Coroutine[Any, Any, None]]

_OPERATIONS: tuple[Route, ...] = (
    (r"(?:/v1\.0)?/_health", HealthHandler),
    (r"(?:/v1\.0)?/_metrics", MetricsHandler),
    (r"(?:/v1\.0)?/_version", VersionHandler),
    (r"(?:/v1\.0)?/_noop", NoopHandler),
    ("/livez", LivezHandler),
    ("/readyz", ReadyzHandler),
    (r"(?:/v1\.0)?/_openapi", OpenAPIHandler),
)
_EVENTS: Route = (r"(?:/v1\.0)?/_events", EventsHandler)


@dataclasses.dataclass(frozen=True)
class Parts:
    """What the chassis gives to the application of any service.

    No request takes longer than `deadline_s` seconds. `metrics` should be the database's observer, so that
    calls to CouchDB are counted. `trusted_proxies` are those whose `X-Forwarded-*` headers are believed, and
    `tracer` makes a span of each request. `title` says in one line what the service is. With `events` there
    is a stream of what requests do at `/_events`.
    """

    deadline_s: float = DEFAULT_DEADLINE_S
    metrics: ServiceMetrics = dataclasses.field(default_factory=ServiceMetrics)
    trusted_proxies: TrustedProxies = dataclasses.field(default_factory=TrustedProxies)
    tracer: RequestTracer = dataclasses.field(default_factory=RequestTracer)
    title: str = "A service"
    events: EventLog | None = None


class ServiceApplication(tornado.web.Application):
    """Serves `routes`, `/_health`, `/_metrics`, `/_version`, `/_noop`, `/_openapi`, `/livez` and `/readyz`.

    `/_health?quick=false` and `/readyz` run `health_checks` and the check of the database, and show failures
    by their names. `/_metrics` shows `own_metrics`. `problems` are the answers to errors of this service's
    own. `background_work` runs until the service ends; if it fails, it ends the service. Handlers find
    `settings` in `self.settings`.
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
        checks = {"database": AsyncCouchDBHealthCheck(database=database).check, **(health_checks or {})}
        metrics.retry_budget.set_function(lambda: database.retry_budget.tokens)
        own_problems = problems or {}

        @functools.cache
        def openapi() -> bytes:
            all_routes = [*routes, *_OPERATIONS]
            return msgspec.json.encode(
                openapi_document(all_routes, title=parts.title, version=version, own_problems=own_problems)
            )

        self.service = Service(
            database=database.observed_by(metrics),
            version=version,
            deadline_s=parts.deadline_s,
            metrics=metrics,
            own_metrics=own_metrics,
            health_checks=checks,
            failed_checks=CachedChecks(checks).failures,
            problems=own_problems,
            drain=Drain(),
            trusted_proxies=parts.trusted_proxies,
            tracer=parts.tracer,
            openapi=openapi,
            events=parts.events,
        )
        events = () if parts.events is None else (_EVENTS,)
        super().__init__(
            [
                (pattern, handler, {"route": route_of(pattern, handler)})
                for pattern, handler in (*_OPERATIONS, *events, *routes)
            ],
            default_handler_class=UnknownPathHandler,
            service=self.service,
            log_function=log_request,
            **(settings or {}),
        )
