import time

from prometheus_client import generate_latest

from tor_async_couchdb.actions.inspect import DatabaseMetrics, Sizes, ViewMetrics
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


def test_call_without_an_answer_has_status_0() -> None:
    metrics = ServiceMetrics()
    metrics.request_finished("fetch", None, 0.5)
    metrics.request_finished("fetch", 200, 0.25)
    assert 'couchdb_call_duration_seconds_sum{operation="fetch",status="0"} 0.5' in lines(metrics)
    assert 'couchdb_call_duration_seconds_sum{operation="fetch",status="200"} 0.25' in lines(metrics)


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
