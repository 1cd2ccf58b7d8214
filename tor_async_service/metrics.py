"""What a service counts, for Prometheus.

Requests and calls to CouchDB have the names, labels and buckets of OpenTelemetry's conventions:
https://opentelemetry.io/docs/specs/semconv/http/http-metrics/
https://opentelemetry.io/docs/specs/semconv/db/database-metrics/
"""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from tor_async_couchdb.actions.inspect import DatabaseMetrics, Sizes
from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.errors import CouchDBError, TamperedError
from tor_async_couchdb.observer import Observer

_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_CALL_BUCKETS_S = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10)


class ServiceMetrics(Observer):
    """The metrics of one service, in a registry of their own.

    It is the observer of the service's database.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # The start of the process, its memory and processor time, under the names that all exporters use.
        ProcessCollector(registry=self.registry)
        self._requests = _LabelledHistogram(
            "http_server_request_duration_seconds",
            "Requests answered, and how long each took.",
            ["http_request_method", "url_scheme", "http_route", "http_response_status_code", "error_type"],
            _REQUEST_BUCKETS_S,
            self.registry,
        )
        self._couchdb_calls = _LabelledHistogram(
            "db_client_operation_duration_seconds",
            "Calls to CouchDB, and how long each took; the status is empty if no answer came.",
            [
                "db_system_name",
                "db_operation_name",
                "db_namespace",
                "server_address",
                "server_port",
                "db_response_status_code",
                "error_type",
            ],
            _CALL_BUCKETS_S,
            self.registry,
        )
        self._conflicts_met = self._counter("conflicts_met", "Writes that CouchDB refused with a conflict.")
        self._conflicts_resolved = self._counter(
            "conflicts_resolved", "Requests that lost a race and succeeded after all."
        )
        self._conflicts_given_up = self._counter(
            "conflicts_given_up", "Requests that lost a race and failed."
        )
        self._retry_waits = Histogram(
            "retry_wait_seconds",
            "How long each request that was retried waited between its attempts.",
            registry=self.registry,
        )
        self._tampering_detected = self._counter(
            "tampering_detected", "Reads of documents that were tampered with."
        )
        self._documents_left_out = Counter(
            "documents_left_out", "Documents that lists left out.", ["error"], registry=self.registry
        )
        self.retry_budget = Gauge(
            "retry_budget_tokens",
            "Retries of calls to CouchDB that may be made now; none below 1.",
            registry=self.registry,
        )
        self.cluster = ClusterMetrics(self.registry)
        self.replication_conflicts = ReplicationConflictMetrics(self.registry)
        self._database = _DatabaseGauges(self.registry)

    def _counter(self, name: str, documentation: str) -> Counter:
        return Counter(name, documentation, registry=self.registry)

    def request_finished(
        self, call: Call, outcome: Outcome, duration_s: float, trace: Mapping[str, str] | None = None
    ) -> None:
        """See `Observer.request_finished`."""
        labels = ("couchdb", call.operation, call.database, call.server, call.port, *outcome)
        self._couchdb_calls.observe(labels, duration_s, trace)

    def write_partly_accepted(self) -> None:
        """See `Observer.write_partly_accepted`."""
        self.cluster.partly_accepted.inc()

    def write_sealed(self, how: str, duration_s: float) -> None:
        """See `Observer.write_sealed`."""
        self.cluster.sealed.observe((how,), duration_s)

    def leaves_buried(self, count: int) -> None:
        """See `Observer.leaves_buried`."""
        self.cluster.buried.inc(count)

    def foreign_leaves_met(self, count: int) -> None:
        """See `Observer.foreign_leaves_met`."""
        self.cluster.foreign.inc(count)

    def dead_leaves_met(self, count: int) -> None:
        """See `Observer.dead_leaves_met`."""
        self.cluster.dead.observe(count)

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

    def request_answered(
        self,
        *,
        method: str,
        scheme: str,
        route: str,
        status: int,
        error_type: str,
        duration_s: float,
        conflict_count: int,
        retry_wait_s: float | None,
        trace: Mapping[str, str] | None = None,
    ) -> None:
        """A request was answered.

        `conflict_count` of its writes lost a race; `retry_wait_s` is None without retries. `trace` has the
        ids of its span if that is recorded.
        """
        self._requests.observe((method, scheme, route, status, error_type), duration_s, trace)
        if conflict_count:
            self._conflicts_met.inc(conflict_count)
            (self._conflicts_resolved if status < 400 else self._conflicts_given_up).inc()
        if retry_wait_s is not None:
            self._retry_waits.observe(retry_wait_s)

    def database_measured(self, metrics: DatabaseMetrics) -> None:
        """Sets the gauges of the database and of its views."""
        self._database.set(metrics)


class _LabelledHistogram:
    """A histogram that keeps its children: prometheus_client converts labels, and locks, at each look-up."""

    def __init__(
        self,
        name: str,
        documentation: str,
        labels: Sequence[str],
        buckets: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._histogram = Histogram(name, documentation, labels, buckets=buckets, registry=registry)
        self._children: dict[tuple[str | int | None, ...], Histogram] = {}

    def observe(
        self, labels: tuple[str | int | None, ...], value: float, exemplar: Mapping[str, str] | None = None
    ) -> None:
        """Adds a value; a label that is None is empty. The exemplar is shown in OpenMetrics."""
        child = self._children.get(labels)
        if child is None:
            texts = ["" if label is None else str(label) for label in labels]
            child = self._children[labels] = self._histogram.labels(*texts)
        if exemplar is None:
            child.observe(value)
        else:
            child.observe(value, dict(exemplar))


class ClusterMetrics:
    """What writes to a cluster take, and what they meet; all zero on a database with one copy."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sealed = _LabelledHistogram(
            "cluster_seal_duration_seconds",
            "Writes to a cluster that were acknowledged, and how long each took, by what it needed.",
            ["how"],
            (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry,
        )
        self.partly_accepted = Counter(
            "cluster_writes_partly_accepted",
            "Writes that only some of the copies took at once (CouchDB's 202).",
            registry=registry,
        )
        self.buried = Counter(
            "cluster_leaves_buried", "Leaf revisions deleted because they lost a race.", registry=registry
        )
        self.foreign = Counter(
            "cluster_foreign_leaves_met",
            "Live leaf revisions that writes met, which this library did not write.",
            registry=registry,
        )
        self.dead = Histogram(
            "cluster_dead_leaves",
            "Deleted leaf revisions of a document, whenever a write has to read it.",
            buckets=(0, 1, 3, 10, 30, 100, 300, 1000),
            registry=registry,
        )


class ReplicationConflictMetrics:
    """What becomes of documents that were changed on two masters at the same time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.found = Counter(
            "replication_conflicts_found", "Reads of documents in conflict.", registry=registry
        )
        self.merged = Counter(
            "replication_conflicts_merged", "Conflicts that this process merged.", registry=registry
        )
        self.superseded = Counter(
            "replication_values_superseded",
            "Values that lost to later ones in these merges.",
            registry=registry,
        )
        self.failed = Counter(
            "replication_conflicts_failed",
            "Conflicts that could not be merged, by error.",
            ["error"],
            registry=registry,
        )
        self.lag = Histogram(
            "replication_convergence_lag_seconds",
            "From when the reconciler learned of a conflict until it was resolved.",
            buckets=(0.5, 1, 2, 5, 10, 30, 60, 120, 300),
            registry=registry,
        )


class _DatabaseGauges:
    def __init__(self, registry: CollectorRegistry) -> None:
        self._documents = Gauge(
            "couchdb_documents", "Documents in the database, design documents included.", registry=registry
        )
        labels = ["design_doc"]
        self._data = Gauge(
            "couchdb_data_bytes",
            "Bytes in use; without design_doc those of the database.",
            labels,
            registry=registry,
        )
        self._disk = Gauge(
            "couchdb_disk_bytes",
            "Bytes in the file; without design_doc those of the database.",
            labels,
            registry=registry,
        )

    def set(self, metrics: DatabaseMetrics) -> None:
        self._data.clear()  # drops views that are gone
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
