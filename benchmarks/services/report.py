"""The tables and the plot of the services."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import plots, report
from benchmarks.measuring.wrk import Outcome
from benchmarks.services.measure import COUCHDB, PEER, ROWS, Round, Row

_HEADER = (
    "who",
    "successes/s",
    "p50 ms",
    "p99 ms",
    "refused, failed",
    "rate ÷ peer",
    "p99 ÷ peer",
    "rate ÷ CouchDB",
)
_READING = (
    "Medians, with the lowest and highest round in brackets; ratios are medians of the ratios within each "
    "round. A refusal (409, 503) is no success. After every load the sum of the change counts in the "
    "database was at least the number of acknowledged changes, and at most the number of those sent."
)


def write(folder: Path, rounds: Sequence[Round], seconds: int, surroundings: Sequence[str]) -> Path:
    """Writes the tables and the plot; the path of the tables."""
    how = f"{len(rounds)} rounds of {seconds} s each, in alternating order, on fresh databases each."
    sections = ["  \n".join(surroundings), how, _READING, "![ratios](services.svg)"]
    for row in ROWS:
        sections += [
            f"## {row.title}",
            report.table(_HEADER, [_cells(name, row, rounds) for name in row.contenders]),
        ]
    plots.draw_bars(
        folder / "services.svg",
        "Successes a second, as a multiple of the peer's",
        {
            f"{name}: {row.title}": report.median_ratio(_rates(rounds, row, name), _rates(rounds, row, PEER))
            for row in ROWS
            for name in row.contenders
            if name not in (PEER, COUCHDB)
        },
        x="peer (FastAPI + aiocouch) = 1",
    )
    return report.write(folder, "services", "Services side by side", sections)


def _cells(name: str, row: Row, rounds: Sequence[Round]) -> list[str]:
    outcomes = _outcomes(rounds, row, name)
    peers = _outcomes(rounds, row, PEER)
    return [
        name,
        report.median_with_range(_rates(rounds, row, name)),
        report.median_with_range([outcome.p50_ms for outcome in outcomes], 1),
        report.median_with_range([outcome.p99_ms for outcome in outcomes], 1),
        f"{sum(outcome.refusals for outcome in outcomes)}, {sum(outcome.failures for outcome in outcomes)}",
        f"{report.median_ratio(_rates(rounds, row, name), _rates(rounds, row, PEER)):.2f}",
        f"{report.median_ratio([o.p99_ms for o in outcomes], [o.p99_ms for o in peers]):.2f}",
        f"{report.median_ratio(_rates(rounds, row, name), _rates(rounds, row, COUCHDB)):.2f}"
        if COUCHDB in row.contenders
        else "",
    ]


def _outcomes(rounds: Sequence[Round], row: Row, name: str) -> list[Outcome]:
    return [measured[row][name] for measured in rounds]


def _rates(rounds: Sequence[Round], row: Row, name: str) -> list[float]:
    return [outcome.successes_per_s for outcome in _outcomes(rounds, row, name)]
