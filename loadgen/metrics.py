"""What became of the updates of a load, for Prometheus. Only loadgen can tell whether a service lost one."""

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector


class Books(Protocol):
    """The figures of a load that are shown; None if one is not known."""

    @property
    def acknowledged(self) -> int | None:
        """Updates that the service said it has made."""

    @property
    def unknown(self) -> int | None:
        """Updates without an answer, or answered "outcome unknown"."""

    @property
    def lost(self) -> int | None:
        """Acknowledged updates that the database does not have."""


_FIGURES = {
    "acknowledged": "Updates that the service acknowledged.",
    "unknown": "Updates whose outcome the service did not tell.",
    "lost": "Acknowledged updates that the database does not have; at least so many while the load runs.",
}


class LoadMetrics(Collector):
    """The books of the latest load on each service, by its name or URL."""

    def __init__(self, books: Callable[[], Mapping[str, Books]]) -> None:
        self._books = books
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def collect(self) -> Iterable[Metric]:
        """Called for each scrape."""
        for name, documentation in _FIGURES.items():
            family = GaugeMetricFamily(f"loadgen_updates_{name}", documentation, labels=["service"])
            for service, books in self._books().items():
                figure = getattr(books, name)
                if figure is not None:
                    family.add_metric([service], figure)
            yield family

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text for a scraper that sent this Accept header, and its content type."""
        encoder, content_type = choose_encoder(accept)
        return encoder(self._registry), content_type
