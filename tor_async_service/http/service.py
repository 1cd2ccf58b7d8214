"""What the request handlers of a service share."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from prometheus_client.registry import Collector

from tor_async_couchdb.documents.database import Database
from tor_async_service.events import EventLog
from tor_async_service.http.drain import Drain
from tor_async_service.http.forwarding import TrustedProxies
from tor_async_service.http.problems import Problem
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tracing.tracer import RequestTracer

DEFAULT_DEADLINE_S = 30.0

# Returns if what it checks works; else it raises a CouchDBError, or an UnhealthyError with the reason.
HealthCheck = Callable[[], Awaitable[None]]


class OwnMetrics(Protocol):
    """Metrics of one service's own."""

    @property
    def collectors(self) -> Sequence[Collector]:
        """What a scraper reads."""

    async def refresh(self) -> None:
        """Brings the metrics up to date; called before a scraper is answered."""


@dataclasses.dataclass(frozen=True, slots=True)
class Service:
    """The parts of a service. No request takes longer than `deadline_s` seconds.

    `failed_checks` runs the health checks, and returns the reasons of those that fail by their names. Its
    answer may be a second old. `openapi()` is the service's description, as JSON. `events` is None if off.
    """

    database: Database
    version: str
    deadline_s: float
    metrics: ServiceMetrics
    own_metrics: Sequence[OwnMetrics]
    health_checks: Mapping[str, HealthCheck]
    failed_checks: Callable[[], Awaitable[Mapping[str, str]]]
    problems: Mapping[type[Exception], Problem]
    drain: Drain
    trusted_proxies: TrustedProxies
    tracer: RequestTracer
    openapi: Callable[[], bytes]
    events: EventLog | None = None
