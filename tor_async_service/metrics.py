"""What a service counts of itself and of its database, for Prometheus."""

import tornado.web
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from tor_async_couchdb.actions.metrics import DatabaseMetrics, Sizes
from tor_async_couchdb.deadline import RequestContext
from tor_async_couchdb.errors import CouchDBError, TamperedError
from tor_async_couchdb.observer import Observer


class ServiceMetrics(Observer):
    """The metrics of one service, in a registry of their own; its database is told to report here."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Histogram(
            "http_request_duration_seconds",
            "Requests answered, and how long each took.",
            ["method", "handler", "status"],
            registry=self.registry,
        )
        self._couchdb_calls = Histogram(
            "couchdb_call_duration_seconds",
            "Calls to CouchDB, and how long each took; the status is 0 where no answer came.",
            ["operation", "status"],
            registry=self.registry,
        )
        self._conflicts_met = self._counter("conflicts_met", "Writes that CouchDB refused with a conflict.")
        self._conflicts_resolved = self._counter(
            "conflicts_resolved", "Requests that met a conflict and succeeded all the same."
        )
        self._conflicts_given_up = self._counter(
            "conflicts_given_up", "Requests that met a conflict and failed."
        )
        self._retry_waits = Histogram(
            "retry_wait_seconds",
            "How long each request that was retried waited between its tries.",
            registry=self.registry,
        )
        self._tampering_detected = self._counter(
            "tampering_detected", "Documents read that were tampered with, again each time."
        )
        self._documents_left_out = Counter(
            "documents_left_out", "Documents that lists went without.", ["error"], registry=self.registry
        )
        self.replication_conflicts = ReplicationConflictMetrics(self.registry)
        self._database = _DatabaseGauges(self.registry)

    def _counter(self, name: str, documentation: str) -> Counter:
        return Counter(name, documentation, registry=self.registry)

    def request_finished(self, operation: str, status: int | None, duration_s: float) -> None:
        """See `Observer.request_finished`."""
        self._couchdb_calls.labels(operation, status or 0).observe(duration_s)

    def tampering_detected(self, error: TamperedError) -> None:
        """See `Observer.tampering_detected`."""
        self._tampering_detected.inc()

    def document_left_out(self, error: CouchDBError) -> None:
        """See `Observer.document_left_out`."""
        self._documents_left_out.labels(type(error).__name__).inc()

    def conflict_found(self) -> None:
        """See `Observer.conflict_found`."""
        self.replication_conflicts.found.inc()

    def conflict_merged(self, superseded_count: int) -> None:
        """See `Observer.conflict_merged`."""
        self.replication_conflicts.merged.inc()
        self.replication_conflicts.superseded.inc(superseded_count)

    def conflict_failed(self, error: CouchDBError) -> None:
        """See `Observer.conflict_failed`."""
        self.replication_conflicts.failed.labels(type(error).__name__).inc()

    def conflict_ended(self, lag_s: float) -> None:
        """See `Observer.conflict_ended`."""
        self.replication_conflicts.lag.observe(lag_s)

    def answered(self, handler: tornado.web.RequestHandler, context: RequestContext) -> None:
        """A request was answered, having met what its context says."""
        # A client may send any method; each would be a time series for ever.
        method = handler.request.method if handler.request.method in handler.SUPPORTED_METHODS else "other"
        self._requests.labels(method, type(handler).__name__, handler.get_status()).observe(
            handler.request.request_time()
        )
        if context.conflict_count:
            self._conflicts_met.inc(context.conflict_count)
            is_success = handler.get_status() < 400
            (self._conflicts_resolved if is_success else self._conflicts_given_up).inc()
        if context.retry_count:
            self._retry_waits.observe(context.retry_wait_s)

    def database_measured(self, metrics: DatabaseMetrics) -> None:
        """The sizes of the database and of its views, as they are now."""
        self._database.set(metrics)


class ReplicationConflictMetrics:
    """What became of documents that were changed on two masters at the same time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.found = Counter(
            "replication_conflicts_found", "Documents met in conflict, again each time.", registry=registry
        )
        self.merged = Counter(
            "replication_conflicts_merged", "Conflicts that were merged here.", registry=registry
        )
        self.superseded = Counter(
            "replication_values_superseded", "Values that lost to later ones in these.", registry=registry
        )
        self.failed = Counter(
            "replication_conflicts_failed", "Conflicts not merged, by why not.", ["error"], registry=registry
        )
        self.lag = Histogram(
            "replication_convergence_lag_seconds",
            "From when the reconciler was told of a conflict until it was gone.",
            buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300),
            registry=registry,
        )
        self.unresolved = Gauge(
            "replication_conflicts_unresolved", "Documents that are in conflict now.", registry=registry
        )


class _DatabaseGauges:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._documents = Gauge(
            "couchdb_documents", "Documents in the database, design documents included.", registry=registry
        )
        labels = ["design_doc"]
        self._data = Gauge(
            "couchdb_data_bytes", "Bytes in use; no design_doc: the database.", labels, registry=registry
        )
        self._disk = Gauge(
            "couchdb_disk_bytes", "Bytes in the file; no design_doc: the database.", labels, registry=registry
        )

    def set(self, metrics: DatabaseMetrics) -> None:
        self._data.clear()  # a view that is gone has no size any more
        self._disk.clear()
        self._documents.set(metrics.doc_count)
        self._set_sizes("", metrics.sizes)
        for view in metrics.view_metrics:
            self._set_sizes(view.design_doc, view.sizes)

    def _set_sizes(self, design_doc: str, sizes: Sizes) -> None:
        if sizes.data_size is not None:
            self._data.labels(design_doc).set(sizes.data_size)
        if sizes.disk_size is not None:
            self._disk.labels(design_doc).set(sizes.disk_size)
