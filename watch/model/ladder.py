"""The ladder: what each sample did in the last minute, side by side."""

import collections
from typing import Any

from watch.model import metrics
from watch.model.metrics import Counts, Process

WINDOW_S = 60.0
_TOTALS = ("succeeded", "refused", "failed", "met", "resolved", "given_up", "found", "merged", "tampered")
_RATES = ("succeeded", "refused", "failed", "met")
# Two readings may lie closer together than a counter changes.
_RATE_OVER_S = 2.0


class Rung:
    """One sample: the figures of all its processes, over the last minute."""

    def __init__(self) -> None:
        self._processes: dict[str, Process] = {}
        self._readings: collections.deque[tuple[float, Counts]] = collections.deque()

    def read(self, at_s: float, counts_by_label: dict[str, Counts]) -> None:
        """Takes the metrics of its processes at the moment `at_s`, by their labels."""
        for label, counts in counts_by_label.items():
            self._processes.setdefault(label, Process()).read(counts)
        total: Counts = {}
        for process in self._processes.values():
            total = metrics.added(total, process.counts)
        self._readings.append((at_s, total))
        while self._readings[0][0] < at_s - WINDOW_S:
            self._readings.popleft()

    def figures(self) -> dict[str, Any]:
        """What the page shows: rates per second now, quantiles and sums of the last minute, and totals.

        `waiting` is how many requests waited for a retry at any time, on average over the last minute: by
        Little's law the time that they waited together, divided by the minute.
        """
        if not self._readings:
            return {}
        now_s, now = self._readings[-1]
        then_s, then = self._readings[0]
        minute = metrics.subtracted(now, then)
        before_s, before = next(
            (reading for reading in reversed(self._readings) if reading[0] <= now_s - _RATE_OVER_S),
            self._readings[0],
        )
        elapsed_s = now_s - before_s
        return {
            "rates": {
                name: (now.get(name, 0.0) - before.get(name, 0.0)) / elapsed_s if elapsed_s else 0.0
                for name in _RATES
            },
            "minute": {name: minute.get(name, 0.0) for name in _TOTALS},
            "waiting": minute.get("waited_s", 0.0) / (now_s - then_s) if now_s > then_s else 0.0,
            "p50_ms": _ms(metrics.quantile(minute, 0.5)),
            "p99_ms": _ms(metrics.quantile(minute, 0.99)),
            "totals": {name: now.get(name, 0.0) for name in _TOTALS},
        }


def _ms(duration_s: float | None) -> float | None:
    return None if duration_s is None else round(1000 * duration_s, 1)
