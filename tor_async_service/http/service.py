"""The parts of a service that its request handlers use."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from prometheus_client.registry import Collector

from tor_async_couchdb.documents.database import Database
from tor_async_service.http.drain import Drain
from tor_async_service.http.problems import Problem
from tor_async_service.metrics import ServiceMetrics

DEFAULT_DEADLINE_S = 30.0

# Returns if all is well; raises a CouchDBError, or an UnhealthyError that says what is not.
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
    """What all handlers of a service share. No request takes longer than `deadline_s` seconds."""

    database: Database
    version: str
    deadline_s: float
    metrics: ServiceMetrics
    own_metrics: Sequence[OwnMetrics]
    health_checks: Mapping[str, HealthCheck]
    problems: Mapping[type[Exception], Problem]
    drain: Drain
