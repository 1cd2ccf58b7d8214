"""The figures of a load, as text and as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

WELL = "No acknowledged update was lost."

BOOKS = (
    "acknowledged",
    "in_database",
    "lost",
    "conflicts_met",
    "resolved",
    "given_up",
    "unknown",
    "requests",
    "succeeded",
    "p50_ms",
    "p99_ms",
)


@dataclass(frozen=True, slots=True)
class Summary:
    """The figures of a load. The names of its fields are the keys of the JSON."""

    host: str
    fruits: int
    percent_put: int
    requests: int
    succeeded: int
    requests_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    conflicts_met: int
    resolved: int
    given_up: int
    acknowledged: int
    refused: int
    unknown: int
    in_database: int | None
    """None, as `lost` is, if the fruits could not be read back. Lower bounds while the load runs."""
    lost: int | None
    problems: tuple[str, ...]
    """A sentence for each reason why the load failed."""

    def as_json(self) -> str:
        """One JSON object, ended by a line feed."""
        return _json(asdict(self))

    def as_books(self) -> dict[str, float | None]:
        """The figures that `GET /books` shows."""
        return {name: getattr(self, name) for name in BOOKS}

    def as_text(self, name: str = "") -> str:
        """Lines for a terminal; `name` is the service's."""
        speed = f"{self.requests_per_s:,.1f}/s, p50 {_ms(self.p50_ms)}, p99 {_ms(self.p99_ms)}"
        rows = [
            ("requests", self.requests, speed),
            ("  succeeded", self.succeeded, ""),
            ("conflicts met", self.conflicts_met, ""),
            ("  resolved", self.resolved, "requests that met some and succeeded all the same"),
            ("  given up", self.given_up, "requests answered 409 or 412"),
            ("updates acknowledged", self.acknowledged, ""),
            ("  refused", self.refused, "the given up ones among them"),
            ("  of unknown outcome", self.unknown, "no answer that tells whether they were applied"),
            ("  in the database", self.in_database, ""),
            ("  lost", self.lost, ""),
        ]
        title = f"{name} {self.host}".lstrip() + f": {self.fruits} fruits, {self.percent_put} % PUT"
        lines = [f"{name:<22}{_count(value):>10}  {note}".rstrip() for name, value, note in rows]
        verdict = [f"FAILED: {problem}" for problem in self.problems] or [WELL]
        return "\n".join([title, *lines, *verdict]) + "\n"


def json_of_services(summaries: Mapping[str, Summary]) -> str:
    """One JSON object with the summaries of several services by their names, ended by a line feed."""
    return _json({"services": {name: asdict(summary) for name, summary in summaries.items()}})


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"


def _count(value: int | None) -> str:
    return "not known" if value is None else f"{value:,}"
