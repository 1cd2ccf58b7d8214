from tor_async_couchdb.observer import Observer
from tor_async_service.http.request_observer import RequestObserver
from tor_async_service.metrics import ServiceMetrics
from tor_async_service.tests.test_metrics import lines
from tor_async_service.tracing.tracer import RequestSpan


def test_facts_of_a_cluster_reach_the_service() -> None:
    metrics = ServiceMetrics()
    observer: Observer = RequestObserver(metrics, RequestSpan())
    observer.write_sealed("read", 0.5)
    observer.write_partly_accepted()
    observer.leaves_buried(2)
    observer.foreign_leaves_met(3)
    observer.dead_leaves_met(0)
    told = lines(metrics)
    assert 'cluster_seal_duration_seconds_sum{how="read"} 0.5' in told
    assert "cluster_writes_partly_accepted_total 1.0" in told
    assert "cluster_leaves_buried_total 2.0" in told
    assert "cluster_foreign_leaves_met_total 3.0" in told
    assert "cluster_dead_leaves_count 1.0" in told
