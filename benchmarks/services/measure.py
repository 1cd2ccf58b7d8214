"""Our services, the peer's, and CouchDB asked directly."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from benchmarks.measuring.fruits import Fruits
from benchmarks.measuring.rounds import Contender, alternated, put_checked_load, running_sample
from benchmarks.measuring.wrk import Load, Outcome, Target, put_load
from benchmarks.services.peer import install_peer, running_peer
from suite.couchdb import CouchDB
from suite.table import sample_named

PEER = "peer"
COUCHDB = "CouchDB, the view"
_OURS = ("basic", "retry", "exp_backoff", "group_commit")
_FRUITS = 500
_WARM_UP = Load(connections=64, seconds=1, percent_put=0)


@dataclasses.dataclass(frozen=True)
class Row:
    """One kind of load, and the contenders that are put under it."""

    title: str
    contenders: tuple[str, ...]
    connections: int
    percent_put: int
    fruits: int = _FRUITS

    def load(self, seconds: int) -> Load:
        """This load for so many seconds."""
        return Load(self.connections, seconds, self.percent_put)


ROWS = (
    Row("GET, 128 connections, 500 fruits", (PEER, "basic", COUCHDB), 128, 0),
    Row("GET, 1 connection, 500 fruits", (PEER, "basic", COUCHDB), 1, 0),
    Row("half PUT, 128 connections, 500 fruits", (PEER, "retry"), 128, 50),
    Row("PUT, 128 connections, 500 fruits", (PEER, "retry"), 128, 100),
    Row("PUT, 1 connection, 500 fruits", (PEER, "retry"), 1, 100),
    Row("PUT, 32 connections, 5 fruits", (PEER, "exp_backoff", "group_commit"), 32, 100, fruits=5),
)

Round = dict[Row, dict[str, Outcome]]


def measure(couchdb: CouchDB, rounds: int, seconds: int, run_folder: Path) -> list[Round]:
    """Every row in every round, with fresh services on fresh databases each round.

    Raises:
        SuiteError: a service can't be started, or has lost an update.
    """
    peer_folder = run_folder / "peer"
    install_peer(peer_folder, run_folder / "peer_pip.log")
    results: list[Round] = []
    for i in range(rounds):
        print(f"Round {i + 1} of {rounds}", flush=True)
        with contextlib.ExitStack() as stack:
            contenders = {
                name: stack.enter_context(_running(name, couchdb, peer_folder, run_folder))
                for name in (PEER, *_OURS, COUCHDB)
            }
            for contender in contenders.values():
                put_load(contender.target, contender.fruits.ids, _WARM_UP)
            results.append({row: _measure_row(row, contenders, seconds, i) for row in ROWS})
    return results


def _measure_row(row: Row, contenders: dict[str, Contender], seconds: int, number: int) -> dict[str, Outcome]:
    outcomes = {}
    for name in alternated(row.contenders, number):
        outcomes[name] = put_checked_load(contenders[name], row.load(seconds), row.fruits)
        rate, p99_ms = outcomes[name].successes_per_s, outcomes[name].p99_ms
        print(f"  {row.title:40} {name:18} {rate:8,.0f}/s  p99 {p99_ms:8,.1f} ms", flush=True)
    return outcomes


@contextlib.contextmanager
def _running(name: str, couchdb: CouchDB, peer_folder: Path, logs: Path) -> Iterator[Contender]:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(couchdb.installed_database("benchmark"))
        fruits = Fruits(couchdb, url, _FRUITS)
        if name == COUCHDB:
            target = Target.view(couchdb, fruits.database)
        elif name == PEER:
            target = Target(stack.enter_context(running_peer(peer_folder, couchdb, fruits.database, logs)))
        else:
            target = Target(
                stack.enter_context(running_sample(sample_named(f"crud/{name}"), couchdb, url, logs))
            )
        yield Contender(name, target, fruits)
