"""`/_metrics`: JSON for a person with curl, the Prometheus formats for a scraper."""

from collections.abc import Awaitable, Callable
from typing import Any

from prometheus_client.exposition import choose_encoder

from tor_async_couchdb.actions.metrics import DatabaseMetrics, Sizes
from tor_async_couchdb.actions.retrieve import AsyncDatabaseMetricsRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.metrics import ServiceMetrics

_PROMETHEUS_MEDIA_TYPES = ("text/plain", "application/openmetrics-text")


class MetricsHandler(ServiceHandler):
    """The sizes of the database and its views; for Prometheus also what the service counts of itself."""

    async def get(self) -> None:
        """200 in the form that the request's Accept header asks for; JSON where it asks for none."""
        accept = self.request.headers.get("Accept", "")
        if any(media_type in accept for media_type in _PROMETHEUS_MEDIA_TYPES):
            await self._write_for_prometheus(accept)
            return
        href = self.request.full_url()
        self.set_header("Location", href)
        metrics = await AsyncDatabaseMetricsRetriever(database=self.database).fetch()
        self.write_json({"links": {"self": {"href": href}}, "database": _as_json(metrics)})

    async def _write_for_prometheus(self, accept: str) -> None:
        for refresh in self.service.metrics_refreshers:
            try:
                await refresh()
            except CouchDBError as error:
                # A scraper has to learn what the service counts above all while the database is down.
                self.log_exception(type(error), error, None)
        encoder, content_type = choose_encoder(accept)
        self.set_header("Content-Type", content_type)
        self.write(encoder(self.service.metrics.registry))


def database_metrics_refresher(
    database: Database, service_metrics: ServiceMetrics
) -> Callable[[], Awaitable[None]]:
    """What brings the gauges of the database up to date."""

    async def refresh() -> None:
        service_metrics.database_measured(await AsyncDatabaseMetricsRetriever(database=database).fetch())

    return refresh


def _as_json(metrics: DatabaseMetrics) -> dict[str, Any]:
    views = {view.design_doc: _sizes_as_json(view.sizes) for view in metrics.view_metrics}
    return {"docCount": metrics.doc_count} | _sizes_as_json(metrics.sizes) | {"views": views}


def _sizes_as_json(sizes: Sizes) -> dict[str, int | None]:
    return {
        "dataSize": sizes.data_size,
        "diskSize": sizes.disk_size,
        "fragmentation": sizes.fragmentation,
    }
