"""The figures as Markdown: what was wanted and what was measured, and the tables behind it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from benchmarks.etcd.guarantees import ACCOUNTS, Bank, Fence
from benchmarks.measuring import report

Measurement: TypeAlias = tuple[str, str, int]  # the client, what it did, on how many connections
Measurements: TypeAlias = dict[Measurement, list[dict[str, float]]]

_COUNTS = (1, 32, 128)
_NAMES = {
    "gateway": "the gateway, asked by wrk",
    "ours": "tor_async_etcd",
    "coalescing": "tor_async_etcd, coalesce=True",
    "aetcd": "aetcd (grpc)",
    "etcd3gw": "etcd3gw",
    "asyncio": "asyncio alone",
}


class Guarantees(NamedTuple):
    """What was counted under load."""

    incremented_to: int
    bank: Bank
    fence: Fence


class _Goal(NamedTuple):
    what: str
    wanted: str
    measured: str
    reached: bool

    @classmethod
    def at_least(cls, what: str, wanted: float, measured: float, unit: str = "") -> "_Goal":
        return cls(what, f"≥ {wanted:,g}{unit}", f"{_short(measured)}{unit}", measured >= wanted)

    @classmethod
    def at_most(cls, what: str, wanted: float, measured: float, unit: str = "") -> "_Goal":
        return cls(what, f"≤ {wanted:,g}{unit}", f"{_short(measured)}{unit}", measured <= wanted)


class _Figures:
    def __init__(self, measurements: Mapping[Measurement, Sequence[Mapping[str, float]]]) -> None:
        self._measurements = measurements

    def all(self, measurement: Measurement, name: str = "per_s") -> list[float]:
        return [measured[name] for measured in self._measurements[measurement] if name in measured]

    def median(self, measurement: Measurement, name: str = "per_s") -> float:
        return report.median(self.all(measurement, name))

    def ratio(self, client: str, peer: str, what: str, connections: int) -> float:
        return report.median_ratio(self.all((client, what, connections)), self.all((peer, what, connections)))

    def highest_rss_mb(self, client: str) -> float:
        cases = [(client, what, connections) for what in ("put", "range") for connections in _COUNTS]
        return max(rss_mb for case in cases for rss_mb in self.all(case, "rss_mb"))


def write(
    folder: Path, measurements: Measurements, guarantees: Guarantees, surroundings: Sequence[str]
) -> Path:
    """Writes the goals and the tables; where they are."""
    figures = _Figures(measurements)
    goals = [*_goals_of_speed(figures), *_goals_of_cost(figures), *_goals_of_guarantees(guarantees)]
    rows = [[goal.what, goal.wanted, goal.measured, "yes" if goal.reached else "no"] for goal in goals]
    sections = [
        "  \n".join(surroundings),
        report.table(("", "wanted", "measured", "reached"), rows),
        "Figures are medians of the rounds with their range, ratios the medians of each round's ratio. "
        "Seconds and milliseconds are this machine's: look at the peers' beside them.",
        "## Puts and gets of 256 bytes a second",
        _speed(figures),
        "Ratios, and what the gateway itself allows any client of it:",
        _ratios(figures),
        "## What a client costs",
        _costs(figures),
        "Processor time is the client's own, of puts on 32 connections; memory is the peak of puts and gets. "
        "Import is a fresh Python's; installed is what it brings along from outside of the standard library.",
        "## Watches",
        _watches(figures),
        "The delay is that from sending a put to its event, at 300 puts a second; events/s are past events, "
        "64 to a revision, and memory is the peak then.",
        "## Guarantees",
        _account(guarantees),
    ]
    return report.write(folder, "etcd", "tor_async_etcd beside aetcd and etcd3gw", sections)


def _goals_of_speed(figures: _Figures) -> list[_Goal]:
    goals = []
    for what in ("put", "range"):
        for client, peer, connections, wanted in (
            ("ours", "aetcd", 1, 1.0),
            ("ours", "aetcd", 32, 0.8),
            ("ours", "etcd3gw", 32, 8.0),
            ("coalescing", "aetcd", 128, 1.5),
        ):
            measured = figures.ratio(client, peer, what, connections)
            coalescing = ", coalescing" if client == "coalescing" else ""
            goals.append(
                _Goal.at_least(
                    f"{what}, {_connections(connections)}{coalescing}, to that of {peer}", wanted, measured
                )
            )
    events_per_s = figures.median(("ours", "replay", 1))
    increments_per_s = figures.median(("ours", "contention", 32))
    lost = sum(figures.all(("ours", "contention", 32), "lost"))
    return [
        *goals,
        _Goal.at_most("watch: delay, p99", 1.5, figures.median(("ours", "delay", 1), "p99_ms"), " ms"),
        _Goal.at_least("watch: events", 30_000, events_per_s, "/s"),
        _Goal.at_least("32 clients increment one key", 300, increments_per_s, "/s"),
        _Goal("of these increments lost", "0", f"{lost:g}", lost == 0),
    ]


def _goals_of_cost(figures: _Figures) -> list[_Goal]:
    processor_s = figures.median(("ours", "put", 32), "cpu_s_per_1000")
    return [
        _Goal.at_most("processor time of 1,000 operations", 0.08, processor_s, " s"),
        _Goal.at_most("memory", 30, figures.highest_rss_mb("ours"), " MB"),
        _Goal.at_most("import", 80, figures.median(("ours", "import", 1), "import_ms"), " ms"),
    ]


def _goals_of_guarantees(guarantees: Guarantees) -> list[_Goal]:
    reached, bank, fence = guarantees
    refused = f"{fence.stale_refused} of 100"
    return [
        _Goal("8 clients increment a number 25 times each", "200", f"{reached}", reached == 200),
        _Goal("wrong sums in a bank's audits", "0", f"{bank.wrong} of {bank.audits}", bank.wrong == 0),
        _Goal("writes refused of those who lost their lock", "100 of 100", refused, fence == (100, 0)),
    ]


def _speed(figures: _Figures) -> str:
    clients = ["ours", "coalescing", "aetcd", "etcd3gw"]
    if figures.all(("gateway", "put", 1)):
        clients.insert(0, "gateway")
    cases = [(what, connections) for what in ("put", "range") for connections in _COUNTS]
    rows = [
        [_NAMES[client], *(report.median_with_range(figures.all((client, *case))) for case in cases)]
        for client in clients
    ]
    return report.table(("connections", *(f"{what}, {count}" for what, count in cases)), rows)


def _ratios(figures: _Figures) -> str:
    pairs = [(client, peer) for peer in ("aetcd", "etcd3gw") for client in ("ours", "coalescing")]
    if figures.all(("gateway", "put", 1)):
        pairs.append(("gateway", "aetcd"))
    cases = [(what, connections) for what in ("put", "range") for connections in _COUNTS]
    rows = [
        [f"{_NAMES[client]} / {peer}", *(f"{figures.ratio(client, peer, *case):.2f}" for case in cases)]
        for client, peer in pairs
    ]
    return report.table(("connections", *(f"{what}, {count}" for what, count in cases)), rows)


def _costs(figures: _Figures) -> str:
    rows = []
    for client in ("ours", "aetcd", "etcd3gw"):
        processor_s = report.median_with_range(figures.all((client, "put", 32), "cpu_s_per_1000"), 3)
        weight = [
            report.median_with_range(figures.all((client, "import", 1), "import_ms")),
            f"{figures.median((client, 'import', 1), 'installed_mb'):.1f}",
        ]
        rows.append([_NAMES[client], processor_s, f"{figures.highest_rss_mb(client):.0f}", *weight])
    import_ms = report.median_with_range(figures.all(("asyncio", "import", 1), "import_ms"))
    rows.append([_NAMES["asyncio"], "", "", import_ms, ""])
    return report.table(("", "CPU s/1,000", "memory, MB", "import, ms", "installed, MB"), rows)


def _watches(figures: _Figures) -> str:
    rows = [
        [
            _NAMES[client],
            report.median_with_range(figures.all((client, "delay", 1), "p50_ms"), 2),
            report.median_with_range(figures.all((client, "delay", 1), "p99_ms"), 2),
            report.median_with_range(figures.all((client, "replay", 1))),
            f"{figures.median((client, 'replay', 1), 'rss_mb'):.0f}",
        ]
        for client in ("ours", "aetcd")
    ]
    return report.table(("", "delay p50, ms", "p99, ms", "events/s", "memory, MB"), rows)


def _account(guarantees: Guarantees) -> str:
    _, bank, fence = guarantees
    return (
        f"8 clerks made {bank.transfers:,} transfers between {ACCOUNTS} accounts while an auditor added them "
        f"up {bank.audits:,} times. 100 times a holder's lease ended behind its back, another got the lock: "
        f"{fence.stale_refused} writes of the former and {fence.held_refused} of the latter were refused."
    )


def _connections(count: int) -> str:
    return "1 connection" if count == 1 else f"{count} connections"


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
