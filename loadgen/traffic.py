"""Counts, durations and conflicts of all requests."""

import math
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from loadgen.answers import Answer, Outcome


@dataclass(frozen=True, slots=True)
class Request:
    """One request that has ended."""

    method: str
    fruit_id: str
    client: int
    """The number of the user that sent it."""
    sent_at_s: float
    """Seconds since the epoch."""
    duration_s: float
    answer: Answer
    started_ns: int = 0
    """When it was sent, on the monotonic clock."""


LATEST = 2_000
"""How many requests `latest_percentiles_ms` looks at: sorting them takes less than a millisecond."""


class Traffic:
    """The figures of all requests; it remembers eight bytes for each."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.conflicts_met = 0
        self.resolved = 0
        self.given_up = 0
        self._durations_s = array("d")
        self._first_sent_at_s = math.inf
        self._last_ended_at_s = -math.inf

    def record(self, request: Request) -> None:
        """Count a request."""
        outcome, conflicts = request.answer.outcome, request.answer.conflicts
        self.succeeded += outcome is Outcome.SUCCEEDED
        self.conflicts_met += conflicts
        self.resolved += outcome is Outcome.SUCCEEDED and conflicts > 0
        self.given_up += outcome is Outcome.GIVEN_UP
        self._durations_s.append(request.duration_s)
        self._first_sent_at_s = min(self._first_sent_at_s, request.sent_at_s)
        self._last_ended_at_s = max(self._last_ended_at_s, request.sent_at_s + request.duration_s)

    @property
    def requests(self) -> int:
        """How many requests ended."""
        return len(self._durations_s)

    @property
    def requests_per_s(self) -> float:
        """Requests a second, from the first one's start to the last one's end; 0.0 if there were none."""
        elapsed_s = self._last_ended_at_s - self._first_sent_at_s
        return self.requests / elapsed_s if elapsed_s > 0 else 0.0

    def percentiles_ms(self, *percents: float) -> list[float | None]:
        """What so many percent of all durations didn't exceed, by nearest rank; None without requests."""
        return _percentiles_ms(self._durations_s, percents)

    def latest_percentiles_ms(self, *percents: float) -> list[float | None]:
        """The same of the latest requests only."""
        return _percentiles_ms(self._durations_s[-LATEST:], percents)


def _percentiles_ms(durations_s: Sequence[float], percents: Iterable[float]) -> list[float | None]:
    ordered = sorted(durations_s)
    return [
        ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)] * 1000 if ordered else None for p in percents
    ]
