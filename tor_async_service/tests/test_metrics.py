import math
import re
import time
from collections.abc import Mapping

from prometheus_client import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics

from tor_async_couchdb.actions.inspect import DatabaseMetrics, Sizes, ViewMetrics
from tor_async_couchdb.calls import Call, Outcome
from tor_async_couchdb.errors import TamperedError
from tor_async_service.metrics import ServiceMetrics


def lines(metrics: ServiceMetrics) -> list[str]:
    return generate_latest(metrics.registry).decode().splitlines()


def test_services_of_one_process_count_for_themselves() -> None:
    first, second = ServiceMetrics(), ServiceMetrics()
    first.document_left_out(TamperedError("a"))
    assert 'documents_left_out_total{error="TamperedError"} 1.0' in lines(first)
    assert not any(line.startswith("documents_left_out_total") for line in lines(second))


def test_start_of_the_process_is_shown() -> None:
    (line,) = (line for line in lines(ServiceMetrics()) if line.startswith("process_start_time_seconds "))
    assert 0 < float(line.split()[1]) <= time.time()


def test_documents_that_were_tampered_with_are_counted_each_time() -> None:
    metrics = ServiceMetrics()
    metrics.tampering_detected(TamperedError("a"))
    metrics.tampering_detected(TamperedError("a"))
    assert "tampering_detected_total 2.0" in lines(metrics)


def request_labels(method: str, route: str, status: int, error_type: str = "") -> dict[str, str]:
    """The labels of a request that came by http."""
    return {
        "http_request_method": method,
        "url_scheme": "http",
        "http_route": route,
        "http_response_status_code": str(status),
        "error_type": error_type,
    }


def call_labels(call: Call, status: str, error_type: str = "") -> dict[str, str]:
    """The labels of a call to CouchDB."""
    return {
        "db_system_name": "couchdb",
        "db_operation_name": call.operation,
        "db_namespace": call.database,
        "server_address": call.server,
        "server_port": str(call.port),
        "db_response_status_code": status,
        "error_type": error_type,
    }


def test_calls_have_the_labels_and_buckets_of_the_convention() -> None:
    metrics, call = ServiceMetrics(), Call("GET /{db}/{docid}", "fruits", "couch", 5984)
    metrics.request_finished(call, Outcome(None, "UnansweredError"), 0.5)
    metrics.request_finished(call, Outcome(404, "404"), 0.003)
    metrics.request_finished(call, Outcome(200), 0.25)
    name = "db_client_operation_duration_seconds"
    value = metrics.registry.get_sample_value
    assert value(f"{name}_sum", call_labels(call, "", "UnansweredError")) == 0.5
    assert value(f"{name}_sum", call_labels(call, "404", "404")) == 0.003
    assert value(f"{name}_sum", call_labels(call, "200")) == 0.25
    assert bounds(metrics, name) == [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10, math.inf]


def test_size_of_a_batch_makes_no_time_series() -> None:
    metrics = ServiceMetrics()
    for size in range(1, 100):
        metrics.request_finished(Call("POST /{db}/_bulk_docs", "a", "b", 1, size), Outcome(201), 0.1)
    assert sum(line.startswith("db_client_operation_duration_seconds_count{") for line in lines(metrics)) == 1


def test_requests_have_the_labels_and_buckets_of_the_convention() -> None:
    metrics, name = ServiceMetrics(), "http_server_request_duration_seconds"
    answered(metrics, "PUT", "/fruits/{fruit_id}", 503, "503")
    labels = request_labels("PUT", "/fruits/{fruit_id}", 503, "503")
    assert metrics.registry.get_sample_value(f"{name}_sum", labels) == 0.25
    expected = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, math.inf]
    assert bounds(metrics, name) == expected


def test_exemplar_has_the_ids_of_the_trace_and_is_shown_in_openmetrics_only() -> None:
    metrics, call = ServiceMetrics(), Call("GET /{db}/{docid}", "fruits", "couch", 5984)
    trace = {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
    metrics.request_finished(call, Outcome(200), 0.25, trace)
    answered(metrics, "GET", "/fruits", 200, trace=trace)
    text = openmetrics.generate_latest(metrics.registry).decode()  # type: ignore[no-untyped-call]  # untyped there
    shown = '# {span_id="b7ad6b7169203331",trace_id="0af7651916cd43dd8448eb211c80319c"} 0.25'
    assert [line.partition("{")[0] for line in text.splitlines() if shown in line] == [
        "http_server_request_duration_seconds_bucket",
        "db_client_operation_duration_seconds_bucket",
    ]
    assert "0af7651916cd43dd8448eb211c80319c" not in "\n".join(lines(metrics))


def answered(
    metrics: ServiceMetrics,
    method: str,
    route: str,
    status: int,
    error_type: str = "",
    trace: Mapping[str, str] | None = None,
) -> None:
    metrics.request_answered(
        method=method,
        scheme="http",
        route=route,
        status=status,
        error_type=error_type,
        duration_s=0.25,
        conflict_count=0,
        retry_wait_s=None,
        trace=trace,
    )


def bounds(metrics: ServiceMetrics, name: str) -> list[float]:
    """The upper bounds of a histogram's buckets."""
    found = re.findall(rf'^{name}_bucket{{.*le="([^"]+)"', "\n".join(lines(metrics)), re.MULTILINE)
    return [float(bound) for bound in dict.fromkeys(found)]


def test_size_that_couchdb_does_not_report_is_left_out() -> None:
    metrics = ServiceMetrics()
    views = [ViewMetrics("by_color", Sizes(None, None))]
    metrics.database_measured(DatabaseMetrics("db", 3, Sizes(5, None), views))
    shown = lines(metrics)
    assert "couchdb_documents 3.0" in shown
    assert 'couchdb_data_bytes{design_doc=""} 5.0' in shown
    assert not any(line.startswith("couchdb_disk_bytes{") for line in shown)
    assert not any("by_color" in line for line in shown)


def test_replication_conflicts_are_counted_by_their_outcome() -> None:
    metrics = ServiceMetrics()
    for _ in range(2):
        metrics.conflict_found()
    metrics.conflict_merged(superseded_count=3)
    metrics.conflict_failed(TamperedError("a"))
    metrics.conflict_ended(1.5)
    shown = lines(metrics)
    assert "replication_conflicts_found_total 2.0" in shown
    assert "replication_conflicts_merged_total 1.0" in shown
    assert "replication_values_superseded_total 3.0" in shown
    assert 'replication_conflicts_failed_total{error="TamperedError"} 1.0' in shown
    assert "replication_convergence_lag_seconds_sum 1.5" in shown


def test_writes_to_a_cluster_are_counted() -> None:
    metrics = ServiceMetrics()
    metrics.write_sealed("unread", 0.25)
    metrics.write_sealed("pushed", 0.5)
    metrics.write_sealed("pushed", 1.0)
    metrics.write_partly_accepted()
    metrics.leaves_buried(2)
    metrics.foreign_leaves_met(3)
    metrics.dead_leaves_met(7)
    told = lines(metrics)
    assert 'cluster_seal_duration_seconds_count{how="unread"} 1.0' in told
    assert 'cluster_seal_duration_seconds_sum{how="pushed"} 1.5' in told
    assert "cluster_writes_partly_accepted_total 1.0" in told
    assert "cluster_leaves_buried_total 2.0" in told
    assert "cluster_foreign_leaves_met_total 3.0" in told
    assert 'cluster_dead_leaves_bucket{le="3.0"} 0.0' in told
    assert 'cluster_dead_leaves_bucket{le="10.0"} 1.0' in told
