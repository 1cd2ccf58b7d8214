"""What the metrics of a service say, in the figures that the page shows."""

import re

# Figures of one process or of several: counters by name, and "le:0.1" for the buckets of durations.
Counts = dict[str, float]

_COUNTERS = {
    "conflicts_met_total": "met",
    "conflicts_resolved_total": "resolved",
    "conflicts_given_up_total": "given_up",
    "retry_wait_seconds_sum": "waited_s",
    "tampering_detected_total": "tampered",
    "replication_conflicts_found_total": "found",
    "replication_conflicts_merged_total": "merged",
    "replication_values_superseded_total": "superseded",
}
_DURATION = re.compile(r"http_server_request_duration_seconds_(count|bucket)\Z")
_LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? ([0-9.eE+-]+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
# What operators ask says nothing about the load, nor do paths that there are not.
_NO_LOAD = re.compile(r"^$|/_|^/livez|^/readyz")


def parse(text: str) -> Counts:
    """The figures in an answer of `/_metrics`, in Prometheus' text format."""
    counts: Counts = {}

    def count(name: str, value: float) -> None:
        counts[name] = counts.get(name, 0.0) + value

    for metric, labels, value in _LINE.findall(text):
        if metric in _COUNTERS:
            count(_COUNTERS[metric], float(value))
        elif duration := _DURATION.match(metric):
            label = dict(_LABEL.findall(labels))
            if not _NO_LOAD.search(label.get("http_route", "")):
                status = label.get("http_response_status_code", "")
                name = f"le:{label['le']}" if duration[1] == "bucket" else _outcome(status)
                count(name, float(value))
    return counts


def _outcome(status: str) -> str:
    """What became of a request: "succeeded", "refused" (409, 412) or "failed"; a 404 is "other"."""
    if status.startswith("2"):
        return "succeeded"
    if status in ("409", "412"):
        return "refused"
    return "failed" if status.startswith("5") else "other"


def added(one: Counts, other: Counts) -> Counts:
    """The sum of both."""
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in one | other}


def subtracted(one: Counts, other: Counts) -> Counts:
    """`one` without `other`."""
    return {name: value - other.get(name, 0.0) for name, value in one.items()}


def quantile(counts: Counts, part: float) -> float | None:
    """The duration in seconds below which `part` of the requests were answered; None if there are none.

    It is interpolated within its bucket, as Prometheus' `histogram_quantile` does.
    """
    buckets = sorted(
        (float(name.removeprefix("le:")), value) for name, value in counts.items() if name.startswith("le:")
    )
    total = buckets[-1][1] if buckets else 0.0
    if total <= 0:
        return None
    rank, lower, below = part * total, 0.0, 0.0
    for upper, up_to in buckets:
        if up_to >= rank:
            if upper == float("inf") or up_to == below:
                return lower
            return lower + (upper - lower) * (rank - below) / (up_to - below)
        lower, below = upper, up_to
    return lower


class Process:
    """The figures of a process that may be started again, when its counters begin at zero."""

    def __init__(self) -> None:
        self._before: Counts = {}
        self._last: Counts = {}

    @property
    def counts(self) -> Counts:
        """All that it and the processes before it have counted."""
        return added(self._before, self._last)

    def read(self, counts: Counts) -> None:
        """Takes what its metrics say now."""
        if any(counts.get(name, 0.0) < value for name, value in self._last.items()):
            self._before = self.counts
        self._last = counts
