"""Random schedules of clients on a simulated cluster, and what must be true at their end."""

import collections
import dataclasses
import random
from collections.abc import Callable, Collection, Mapping
from typing import Any

from tor_async_couchdb.documents.nonces import Nonces
from tor_async_couchdb.documents.sealer import Sealer
from tor_async_couchdb.errors import ConflictError, CouchDBError
from tor_async_couchdb.model import Document
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.pauses import full_jitter
from tor_async_couchdb.testing.simulated_cluster import COPIES, DOCUMENT_ID, ClientIO, Cluster, Revision

_DATABASE_ID = "here"
_MAX_TRIES = 50


@dataclasses.dataclass(frozen=True)
class Circumstances:
    """What happens beside the changes of the clients.

    `nodes_crash` nodes of the three crash, and come back. `revs_limit` is CouchDB's `_revs_limit`. With
    `foreign_leaves` replication brings a change that another cluster has acknowledged.
    """

    clients: int = 4
    operations: int = 3
    clients_crash: bool = False
    nodes_crash: int = 0
    deletions: bool = False
    revs_limit: int = 1000
    foreign_leaves: bool = False


CIRCUMSTANCES: Mapping[str, Circumstances] = {
    "clients only": Circumstances(),
    "clients crash": Circumstances(clients_crash=True),
    "a node crashes": Circumstances(clients_crash=True, nodes_crash=1),
    "two nodes crash": Circumstances(clients_crash=True, nodes_crash=2),
    "deletions": Circumstances(deletions=True),
    "deletions, clients crash": Circumstances(deletions=True, clients_crash=True),
    "deletions, a node crashes": Circumstances(deletions=True, clients_crash=True, nodes_crash=1),
    "short histories": Circumstances(clients_crash=True, revs_limit=6),
    "replication": Circumstances(foreign_leaves=True, clients_crash=True),
    "all at once": Circumstances(foreign_leaves=True, clients_crash=True, nodes_crash=1, deletions=True),
}


@dataclasses.dataclass
class Outcome:
    """What came of one schedule."""

    problems: list[str]
    acknowledged: int
    refused: int
    unknown: int
    crashes: int
    calls: collections.Counter[str]
    hows: collections.Counter[str]


class _Counting(Observer):
    def __init__(self) -> None:
        self.hows: collections.Counter[str] = collections.Counter()

    def write_sealed(self, how: str, duration_s: float) -> None:
        self.hows[how] += 1

    def leaves_buried(self, count: int) -> None:
        self.hows["buried"] += count


class Schedule:
    """Clients that change one document, each change adding its name to a list in it.

    The document's `epoch` is the name of the change that created it, also after a deletion.
    """

    def __init__(
        self, seed: int, circumstances: Circumstances, make_sealer: Callable[..., Any] = Sealer
    ) -> None:
        self._dice = random.Random(seed)  # noqa: S311 - a simulation
        self._circumstances = circumstances
        self._make_sealer = make_sealer
        self._cluster = Cluster(self._dice, revs_limit=circumstances.revs_limit)
        self._observer = _Counting()
        self._nonces = Nonces(_DATABASE_ID, token=lambda: f"{self._dice.getrandbits(64):x}")
        self._crash_probability = (
            self._dice.choice([0.003, 0.02, 0.08]) if circumstances.clients_crash else 0.0
        )
        self._crashes = 0
        self._is_finished = [False] * circumstances.clients
        self._written: dict[int, Document] = {}  # what each client wrote last, in place of a read
        # Changes by name, with the epoch that they were made in.
        self._acknowledged: dict[str, str] = {}
        self._refused: set[str] = set()
        self._unknown: set[str] = set()
        self._deletions: dict[str, str] = {}  # by epoch: "acknowledged" or "unknown"
        self._foreign: set[str] = set()
        self._foreign_revs: set[str] = set()
        first = self._cluster.made(self._nonces.added_to(self._first_body("root")), None)
        for copy in range(COPIES):
            self._cluster.insert(copy, first)

    def _first_body(self, name: str) -> Document:
        return {"_id": DOCUMENT_ID, "type": "log_v1.0", "epoch": name, "changes": [name]}

    def run(self) -> Outcome:
        """Runs the schedule to its end."""
        for client in range(self._circumstances.clients):
            self._cluster.at(self._dice.expovariate(0.5), lambda client=client: self._start(client))  # type: ignore[misc]
        self._plan_crashes()
        if self._circumstances.foreign_leaves:
            self._cluster.at(self._dice.random() * 60, self._bring_foreign_leaf)
        problems = [] if self._cluster.run() else ["it does not end"]
        # What a client that crashed, or a node that came back, has left is gone after the next change.
        self._crash_probability = 0.0
        self._cluster.spawn(self._client(self._circumstances.clients, operations=1), lambda _: None)
        problems += [] if self._cluster.run() else ["the last change does not end"]
        problems += self._problems()
        return Outcome(
            problems=problems,
            acknowledged=len(self._acknowledged),
            refused=len(self._refused),
            unknown=len(self._unknown),
            crashes=self._crashes,
            calls=self._cluster.calls,
            hows=self._observer.hows,
        )

    def _plan_crashes(self) -> None:
        copies = self._dice.sample(range(COPIES), self._circumstances.nodes_crash)
        begin = self._dice.random() * 40
        for copy in copies:
            begin += self._dice.random() * 10
            self._cluster.at(begin, lambda copy=copy: self._cluster.kill(copy))  # type: ignore[misc]
            back = begin + self._dice.choice([5, 30, 200])
            self._cluster.at(back, lambda copy=copy: self._cluster.revive(copy))  # type: ignore[misc]

    def _bring_foreign_leaf(self) -> None:
        """Replication brings a change that was made elsewhere, and acknowledged there."""
        copy = self._cluster.coordinator(self._dice.randrange(COPIES))
        candidates = [rev for rev in self._cluster.revisions if not self._cluster.revisions[rev].is_deleted]
        base = self._cluster.revisions[self._dice.choice(sorted(candidates))]
        name = f"foreign{len(self._foreign)}"
        self._foreign.add(name)
        document = {key: value for key, value in base.document.items() if key != "_rev"}
        document |= {"_rev": base.rev, "changes": [*document["changes"], name]}
        for _ in range(self._dice.choice([1, 1, 3])):
            made = self._cluster.made(document, document["_rev"])
            self._foreign_revs.add(made.rev)
            document = document | {"_rev": made.rev, "again": made.rev}
        self._cluster.insert(copy, made)

    # --- clients

    def _start(self, client: int) -> None:
        def crashed() -> None:
            self._crashes += 1

        self._cluster.spawn(
            self._client(client), lambda _: None, crash_probability=self._crash_probability, crashed=crashed
        )

    async def _client(self, client: int, operations: int | None = None) -> None:
        io = ClientIO(self._cluster, client % COPIES)
        sealer = self._make_sealer(
            io,
            copies=COPIES,
            nonces=self._nonces,
            pause=full_jitter(base_s=0.02, cap_s=0.5, random=self._dice.random),
            patience_s=0.6,
        )
        for number in range(operations or self._circumstances.operations):
            if self._circumstances.deletions and self._dice.random() < 0.25:
                await self._delete(io, sealer)
            else:
                await self._change(client, f"{client}.{number}", io, sealer)
            await io.sleep(self._dice.expovariate(0.2) / 100)

    async def _change(self, client: int, name: str, io: ClientIO, sealer: Sealer) -> None:
        for attempt in range(_MAX_TRIES):
            tried = f"{name}.{attempt}"
            # A client may go on from what it wrote last, as group commit does.
            written = self._written.pop(client, None)
            base = written if written is not None and self._dice.random() < 0.7 else await io.fetch()
            self._unknown.add(tried)
            try:
                if base is None:
                    body = self._first_body(tried) | await sealer.base_of_new(DOCUMENT_ID)
                else:
                    body = base | {"changes": [*base["changes"], tried]}
                stored = await sealer.write(self._nonces.added_to(body), self._observer)
            except ConflictError:
                self._unknown.discard(tried)
                self._refused.add(tried)
                await io.sleep(self._dice.random() * 0.02 * 2 ** min(attempt, 5))
            except CouchDBError:
                return
            else:
                self._unknown.discard(tried)
                self._acknowledged[tried] = body["epoch"]
                self._written[client] = body | {name: stored[name] for name in ("_rev", NONCES_PROPERTY_NAME)}
                return

    async def _delete(self, io: ClientIO, sealer: Sealer) -> None:
        for attempt in range(_MAX_TRIES):
            base = await io.fetch()
            if base is None:
                return
            tombstone = {"_id": DOCUMENT_ID, "_rev": base["_rev"], "_deleted": True}
            tombstone |= {key: base[key] for key in ("epoch", NONCES_PROPERTY_NAME) if key in base}
            epoch = base["epoch"]
            self._deletions.setdefault(epoch, "unknown")
            try:
                await sealer.write(self._nonces.added_to(tombstone), self._observer)
            except ConflictError:
                await io.sleep(self._dice.random() * 0.02 * 2 ** min(attempt, 5))
            except CouchDBError:
                return
            else:
                self._deletions[epoch] = "acknowledged"
                return

    # --- the end

    def _problems(self) -> list[str]:
        cluster = self._cluster
        problems = []
        # A copy that was away for longer than its history reaches may keep a tombstone.
        if len({frozenset(leaf.rev for leaf in cluster.live(copy)) for copy in range(COPIES)}) > 1:
            problems.append("copies differ")
        live = cluster.live(0)
        winner = max(live, key=lambda leaf: leaf.rank).document if live else None
        final_epoch = None if winner is None else winner["epoch"]
        final = [] if winner is None else winner["changes"]
        counts = collections.Counter(final)
        problems += [
            f"lost {name}"
            for name, epoch in self._acknowledged.items()
            if not (
                counts[name]
                if epoch == final_epoch and not self._foreign
                else self._is_kept(name, epoch, live)
            )
        ]
        problems += [f"doubled {name}" for name, count in counts.items() if count > 1]
        brought = set().union(*(cluster.revisions[rev].document["changes"] for rev in self._foreign_revs))
        problems += [f"refused but applied {name}" for name in self._refused - brought if counts[name]]
        if self._deletions.get(str(final_epoch)) == "acknowledged" and not self._foreign:
            problems.append(f"deleted document {final_epoch} is back")
        problems += [f"buried {name}" for name in self._foreign if not self._is_kept(name, "root", live)]
        if len(live) > 1 and not self._foreign:
            problems.append(f"{len(live)} live leaves")
        return problems

    def _is_kept(self, name: str, epoch: str, live: Collection[Revision]) -> bool:
        """Whether a change is in a live leaf, or may have been deleted with its document."""
        return epoch in self._deletions or any(name in leaf.document["changes"] for leaf in live)
