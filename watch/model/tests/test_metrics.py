import pytest
from prometheus_client import generate_latest

from tor_async_service.metrics import ServiceMetrics
from watch.model import metrics
from watch.model.metrics import Process


def text_of(*requests: tuple[str, int, float, int]) -> str:
    """The metrics of a service that answered (route, status, duration, conflicts)."""
    counted = ServiceMetrics()
    for route, status, duration_s, conflict_count in requests:
        counted.request_answered(
            method="PUT",
            scheme="http",
            route=route,
            status=status,
            error_type="",
            duration_s=duration_s,
            conflict_count=conflict_count,
            retry_wait_s=0.5 if conflict_count else None,
        )
    return generate_latest(counted.registry).decode()


def test_figures_are_those_of_the_services_metrics() -> None:
    counts = metrics.parse(
        text_of(
            ("/v1.0/fruits/{fruit_id}", 200, 0.01, 3),
            ("/v1.0/fruits/{fruit_id}", 409, 0.01, 1),
            ("/v1.0/fruits", 201, 0.01, 0),
            ("/v1.0/fruits/{fruit_id}", 503, 0.01, 0),
            ("/v1.0/fruits/{fruit_id}", 404, 0.01, 0),
        )
    )
    names = ("succeeded", "refused", "failed", "other", "met", "resolved", "given_up", "waited_s")
    assert [counts[name] for name in names] == [2, 1, 1, 1, 4, 1, 1, 1.0]


def test_what_operators_ask_does_not_count() -> None:
    counts = metrics.parse(text_of(("/_metrics", 200, 0.1, 0), ("/_health", 503, 0.1, 0)))
    assert "succeeded" not in counts
    assert metrics.quantile(counts, 0.5) is None


def test_quantiles_lie_in_the_bucket_of_their_request() -> None:
    quick, slow = ("/v1.0/fruits", 200, 0.03, 0), ("/v1.0/fruits", 200, 2.0, 0)
    requests = [quick] * 98 + [slow] * 2
    counts = metrics.parse(text_of(*requests))
    median_s, highest_s = metrics.quantile(counts, 0.5), metrics.quantile(counts, 0.99)
    assert 0.025 < (median_s or 0.0) < 0.05
    assert 1.0 < (highest_s or 0.0) < 2.5


def test_quantile_beyond_the_last_bucket_is_its_begin() -> None:
    assert metrics.quantile(metrics.parse(text_of(("/v1.0/fruits/{fruit_id}", 200, 99.0, 0))), 0.5) == 10.0


def test_names_of_opentelemetry_are_known_too() -> None:
    labels = 'http_route="/v1.0/fruits",http_response_status_code="200"'
    line = f"http_server_request_duration_seconds_count{{{labels}}} 7"
    operation = line.replace("/v1.0/fruits", "/_health")
    assert metrics.parse(f"{line}\n{operation}\n")["succeeded"] == 7


def test_a_restart_takes_nothing_away() -> None:
    process = Process()
    for counts in ({"met": 5.0}, {"met": 9.0}, {"met": 1.0}, {"met": 4.0}):
        process.read(counts)
    assert process.counts == {"met": 13.0}


@pytest.mark.parametrize("text", ["", "# HELP\n", "nonsense", "http_server_request_duration_seconds_count 1"])
def test_other_texts_have_no_figures_of_requests(text: str) -> None:
    assert "succeeded" not in metrics.parse(text)
