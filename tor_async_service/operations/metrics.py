"""`/_metrics`: JSON for a person with curl, the Prometheus formats for a scraper."""

from typing import Any

from prometheus_client.exposition import choose_encoder
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from tor_async_couchdb.actions.inspect import AsyncDatabaseMetricsRetriever, DatabaseMetrics, Sizes
from tor_async_couchdb.errors import CouchDBError
from tor_async_service.http.answers import answers
from tor_async_service.http.handler import ServiceHandler
from tor_async_service.operations import quickness

# Of those that a client takes equally well, the first one is sent.
_MEDIA_TYPES = ("application/json", "text/plain", "application/openmetrics-text")


class MetricsHandler(ServiceHandler):
    """The sizes of the database and its views; for Prometheus also what the service counts.

    `?quick=true` gives Prometheus what the service counts and asks for nothing else: the sizes are old then.
    """

    @answers(200, dict[str, Any], media_types=_MEDIA_TYPES)
    async def get(self) -> None:
        """200 in the form that the request's Accept header asks for; by default JSON."""
        media_type = _preferred(self.request.headers.get("Accept", ""))
        self.set_header("Vary", "Accept")
        if media_type != "application/json":
            await self._write_for_prometheus(media_type, is_quick=quickness.asked_for(self, default=False))
            return
        href = self.outer_url()
        self.set_header("Location", href)
        metrics = await AsyncDatabaseMetricsRetriever(database=self.database).fetch()
        self.write_json({"links": {"self": {"href": href}}, "database": _as_json(metrics)})

    async def _write_for_prometheus(self, media_type: str, *, is_quick: bool) -> None:
        refreshers = (self._refresh_sizes, *(own.refresh for own in self.service.own_metrics))
        for refresh in () if is_quick else refreshers:
            try:
                await refresh()
            except CouchDBError as error:
                # The counters are needed most while the database is down.
                self.log_exception(type(error), error, None)
        encoder, content_type = choose_encoder(media_type)
        self.set_header("Content-Type", content_type)
        self.write(encoder(self.service.metrics.registry))

    async def _refresh_sizes(self) -> None:
        metrics = await AsyncDatabaseMetricsRetriever(database=self.database).fetch()
        self.service.metrics.database_measured(metrics)


def _preferred(accept: str) -> str:
    """The media type for a request with this Accept header (RFC 9110, section 12.5.1)."""
    # Parameters such as `version` are left out: each format here has one version.
    wanted = MIMEAccept(
        (media_range.partition(";")[0].strip(), quality)
        for media_range, quality in parse_accept_header(accept, MIMEAccept)
    )
    return max(_MEDIA_TYPES, key=wanted.quality)


def _as_json(metrics: DatabaseMetrics) -> dict[str, Any]:
    views = {view.design_doc: _sizes_as_json(view.sizes) for view in metrics.view_metrics}
    return {"docCount": metrics.doc_count} | _sizes_as_json(metrics.sizes) | {"views": views}


def _sizes_as_json(sizes: Sizes) -> dict[str, int | None]:
    return {
        "dataSize": sizes.data_size,
        "diskSize": sizes.disk_size,
        "fragmentation": sizes.fragmentation,
    }
