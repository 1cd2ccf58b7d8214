"""A CouchDB cluster in memory with three copies of one document, for thousands of random schedules.

It does what CouchDB's fabric does with a document's requests: writes and reads of quorums, read repair,
replication between the copies, and nodes that crash and come back. Time is simulated, and chance comes from
one seed, so that each schedule can be replayed.
"""

import collections
import hashlib
import heapq
import random
from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence
from typing import Any, Generic, TypeVar

import msgspec

from tor_async_couchdb.documents.sealer import Written
from tor_async_couchdb.errors import ConflictError, TransportError
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire.revision import generation_and_hash

T = TypeVar("T")

COPIES = 3
DOCUMENT_ID = "d"
# Units of simulated time in a second; a message between two nodes takes one unit on average.
UNITS_PER_S = 100.0


class _Operation(Awaitable[T], Generic[T]):
    """What a coroutine waits for: `start` is called with what resumes it."""

    def __init__(self, start: Callable[[Callable[[T | BaseException], None]], None]) -> None:
        self.start = start

    def __await__(self) -> Generator[Any, Any, T]:
        result: T | BaseException = yield self
        if isinstance(result, BaseException):
            raise result
        return result


class Revision:
    """A revision in the tree of the document."""

    def __init__(self, document: Document, hashes: Sequence[str]) -> None:
        self.document = document
        self.rev: str = document["_rev"]
        self.rank = generation_and_hash(self.rev)
        self.hashes = tuple(hashes)  # of this revision and its ancestors
        self.is_deleted = bool(document.get("_deleted"))

    def history(self) -> list[str]:
        """The names of this revision and its ancestors."""
        return [f"{self.rank[0] - age}-{name}" for age, name in enumerate(self.hashes)]


class Cluster:
    """The three copies, their network and their clock.

    `dice` decides everything. A copy keeps the last `revs_limit` names of a history.
    """

    def __init__(self, dice: random.Random, *, revs_limit: int = 1000) -> None:
        self.dice = dice
        self.now = 0.0
        self.calls: collections.Counter[str] = collections.Counter()
        self.revisions: dict[str, Revision] = {}
        self.leaves: list[set[str]] = [set() for _ in range(COPIES)]
        self.is_alive = [True] * COPIES
        self._known: list[set[str]] = [set() for _ in range(COPIES)]
        self._revs_limit = revs_limit
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._count = 0
        self._is_replicating: set[tuple[int, int]] = set()
        self._slow_share = dice.choice([0.02, 0.1, 0.3])
        self._slowness = dice.choice([1, 5, 20])
        self._replication_delay = dice.choice([2, 10, 60])

    # --- events

    def at(self, delay: float, event: Callable[[], None]) -> None:
        """Has something happen after a delay, in units."""
        self._count += 1
        heapq.heappush(self._events, (self.now + delay, self._count, event))

    def run(self, max_events: int = 200_000) -> bool:
        """Runs until nothing more happens; False if that takes too many events."""
        for _ in range(max_events):
            if not self._events:
                return True
            self.now, _, event = heapq.heappop(self._events)
            event()
        return False

    def spawn(
        self,
        coroutine: Coroutine[Any, Any, T],
        done: Callable[[T | BaseException], None],
        *,
        crash_probability: float = 0.0,
        crashed: Callable[[], None] = lambda: None,
    ) -> None:
        """Runs a coroutine that awaits this cluster's operations; at each step it may crash."""

        def step(result: Any) -> None:
            if self.dice.random() < crash_probability:
                coroutine.close()
                crashed()
                return
            try:
                operation = coroutine.send(result)
            except StopIteration as end:
                done(end.value)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
                done(error)
            else:
                operation.start(step)

        self.at(0.0, lambda: step(None))

    def sleep(self, seconds: float) -> Awaitable[None]:
        """Waits for simulated seconds."""
        return _Operation(lambda resume: self.at(seconds * UNITS_PER_S + 0.01, lambda: resume(None)))

    # --- nodes

    def kill(self, copy: int) -> None:
        """The node of a copy crashes."""
        self.is_alive[copy] = False

    def revive(self, copy: int) -> None:
        """The node of a copy comes back, with what it had."""
        self.is_alive[copy] = True
        for each in range(COPIES):
            self._replicate_from(each)

    def coordinator(self, preferred: int) -> int:
        """The node that takes a request: the preferred one, or another one if it is down."""
        alive = [copy for copy in range(COPIES) if self.is_alive[copy]]
        return preferred if preferred in alive else alive[0]

    # --- what a copy does

    def live(self, copy: int) -> list[Revision]:
        """The live leaves of a copy."""
        return [self.revisions[rev] for rev in self.leaves[copy] if not self.revisions[rev].is_deleted]

    def insert(self, copy: int, revision: Revision) -> None:
        """Inserts a revision, with the history that it has."""
        if revision.rev in self._known[copy]:
            return
        history = revision.history()
        for rev in history:
            if rev in self._known[copy]:
                self.leaves[copy].discard(rev)
                break
            self._known[copy].add(rev)
        self.leaves[copy].add(revision.rev)
        self._replicate_from(copy)

    def _accept(self, copy: int, document: Document) -> str | None:
        """The revision that a copy makes of a document; None if it refuses it.

        A copy on which the document is deleted takes nothing but a new one, and makes it the child of the
        tombstone that ranks highest there.
        """
        parent = document.get("_rev")
        leaves = [self.revisions[rev] for rev in self.leaves[copy]]
        if all(leaf.is_deleted for leaf in leaves):
            if leaves and (parent is not None or "_deleted" in document):
                return None
            parent = max(leaves, key=lambda leaf: leaf.rank).rev if leaves else None
        elif parent not in self.leaves[copy]:
            return None
        revision = self.made(document, parent)
        self.insert(copy, revision)
        return revision.rev

    def made(self, document: Document, parent: str | None) -> Revision:
        """The child of a revision that each copy makes of a document."""
        text = msgspec.json.encode([parent, document])
        name = hashlib.md5(text, usedforsecurity=False).hexdigest()
        generation = 1 if parent is None else generation_and_hash(parent)[0] + 1
        rev = f"{generation}-{name}"
        if rev not in self.revisions:
            hashes = () if parent is None else self.revisions[parent].hashes
            self.revisions[rev] = Revision(document | {"_rev": rev}, [name, *hashes][: self._revs_limit])
        return self.revisions[rev]

    def _replicate_from(self, copy: int) -> None:
        for other in range(COPIES):
            if other != copy and (copy, other) not in self._is_replicating:
                self._is_replicating.add((copy, other))
                self.at(
                    self.dice.expovariate(1 / self._replication_delay), self._begin_replication(copy, other)
                )

    def _begin_replication(self, copy: int, other: int) -> Callable[[], None]:
        def begin() -> None:
            if not (self.is_alive[copy] and self.is_alive[other]):
                self.at(5.0, begin)
                return
            self._is_replicating.discard((copy, other))
            leaves = [self.revisions[rev] for rev in sorted(self.leaves[copy])]
            self.at(self._latency(), lambda: arrive(leaves))

        def arrive(leaves: Sequence[Revision]) -> None:
            if not self.is_alive[other]:
                self._is_replicating.add((copy, other))
                self.at(5.0, begin)
                return
            for leaf in leaves:
                self.insert(other, leaf)

        return begin

    # --- requests

    def _latency(self, *, is_local: bool = False) -> float:
        units = self.dice.expovariate(1.0)
        if self.dice.random() < self._slow_share:
            units *= self._slowness
        return units * (0.3 if is_local else 1.0)

    def _ask_copies(
        self, coordinator: int, ask: Callable[[int], Any], reply: Callable[[int, Any], None]
    ) -> None:
        """Asks each copy; `reply` gets the answers as they arrive, None of a copy that is down."""

        def arrive(copy: int) -> None:
            if not self.is_alive[copy]:
                self.at(0.1, lambda: reply(copy, None))
                return
            answer = ask(copy)
            self.at(self._latency(is_local=copy == coordinator), lambda: reply(copy, answer))

        for copy in range(COPIES):
            delay = self._latency(is_local=copy == coordinator)
            self.at(delay, lambda copy=copy: arrive(copy))  # type: ignore[misc]

    def _answering(
        self, coordinator: int, resume: Callable[[Any], None]
    ) -> tuple[Callable[[Any], None], Callable[[], bool]]:
        """Answers a request once; with an error if its coordinator crashes before."""
        is_answered = False

        def answer(result: Any) -> None:
            nonlocal is_answered
            if not is_answered:
                is_answered = True
                self.at(self._latency(is_local=True), lambda: resume(result))

        def watch() -> None:
            if not is_answered:
                if self.is_alive[coordinator]:
                    self.at(3.0, watch)
                else:
                    answer(TransportError("the node crashed"))

        self.at(3.0, watch)
        return answer, lambda: is_answered or not self.is_alive[coordinator]

    def write(self, preferred: int, document: Document, copies: int) -> Awaitable[Written]:
        """A `_bulk_docs` of one document with `w`."""

        def start(resume: Callable[[Any], None]) -> None:
            self.calls["write"] += 1
            coordinator = self.coordinator(preferred)
            answer, is_over = self._answering(coordinator, resume)
            replies: list[str | None] = []

            def reply(copy: int, rev: Any) -> None:
                if is_over():
                    return
                replies.append(rev or None)
                counts = collections.Counter(made for made in replies if made is not None)
                most, count = max(counts.items(), key=lambda item: (item[1], item[0]), default=("", 0))
                if count >= copies:
                    answer(Written(most, True))
                elif len(replies) == COPIES:
                    answer(Written(most, False) if count else _conflict())

            self._ask_copies(coordinator, lambda copy: self._accept(copy, document) or False, reply)

        return _Operation(start)

    def push(self, preferred: int, revisions: Sequence[Document]) -> Awaitable[None]:
        """A `_bulk_docs` with `new_edits: false`: a success even with one copy alive."""
        inserted = [self._pushed(revision) for revision in revisions]

        def start(resume: Callable[[Any], None]) -> None:
            self.calls["push"] += 1
            coordinator = self.coordinator(preferred)
            answer, _ = self._answering(coordinator, resume)
            replies: list[int] = []

            def insert_all(copy: int) -> bool:
                for revision in inserted:
                    self.insert(copy, revision)
                return True

            def reply(copy: int, _: Any) -> None:
                replies.append(copy)
                if len(replies) == COPIES:
                    answer(None)

            self._ask_copies(coordinator, insert_all, reply)

        return _Operation(start)

    def is_majority_alive(self, preferred: int) -> Awaitable[bool]:
        """A write of a local document that a majority of the copies has to take."""

        def start(resume: Callable[[Any], None]) -> None:
            self.calls["probe"] += 1
            coordinator = self.coordinator(preferred)
            answer, _ = self._answering(coordinator, resume)
            replies: list[bool] = []

            def reply(copy: int, is_written: Any) -> None:
                replies.append(bool(is_written))
                if replies.count(True) > COPIES // 2 or len(replies) == COPIES:
                    answer(replies.count(True) > COPIES // 2)

            self._ask_copies(coordinator, lambda copy: True, reply)

        return _Operation(start)

    def _pushed(self, document: Document) -> Revision:
        rev, history = document["_rev"], document["_revisions"]["ids"]
        if rev not in self.revisions:
            parent = f"{generation_and_hash(rev)[0] - 1}-{history[1]}" if len(history) > 1 else None
            hashes = [history[0], *self.revisions[parent].hashes] if parent in self.revisions else history
            body = {name: value for name, value in document.items() if name != "_revisions"}
            self.revisions[rev] = Revision(body, hashes[: self._revs_limit])
        return self.revisions[rev]

    def fetch_leaves(self, preferred: int, copies: int) -> Awaitable[list[Document]]:
        """A `_bulk_get` of all leaves with `revs` and `r`: what the first copies to answer have together."""

        def start(resume: Callable[[Any], None]) -> None:
            self.calls["leaves"] += 1
            coordinator = self.coordinator(preferred)
            answer, is_over = self._answering(coordinator, resume)
            found: set[str] = set()
            replies: list[int] = []

            def reply(copy: int, leaves: Any) -> None:
                replies.append(copy)
                found.update(leaves or ())
                if len(replies) == copies and not is_over():
                    answer([self._as_leaf(rev) for rev in sorted(self._tips(found))])

            self._ask_copies(coordinator, lambda copy: set(self.leaves[copy]), reply)

        return _Operation(start)

    def _tips(self, revs: set[str]) -> set[str]:
        inner = {rev for leaf in revs for rev in self.revisions[leaf].history()[1:]}
        return revs - inner

    def _as_leaf(self, rev: str) -> Document:
        revision = self.revisions[rev]
        return revision.document | {"_revisions": {"start": revision.rank[0], "ids": list(revision.hashes)}}

    def get(self, preferred: int) -> Awaitable[Document | None]:
        """A GET of the winning revision, of a quorum of two copies, with read repair."""

        def start(resume: Callable[[Any], None]) -> None:
            self.calls["get"] += 1
            coordinator = self.coordinator(preferred)
            answer, is_over = self._answering(coordinator, resume)
            replies: list[str | None] = []

            def winner_of(copy: int) -> str:
                live = self.live(copy)
                return max(live, key=lambda leaf: leaf.rank).rev if live else ""

            def reply(copy: int, rev: Any) -> None:
                replies.append(rev)
                is_agreed = rev is not None and replies.count(rev) >= 2
                if is_over() or not (is_agreed or len(replies) == COPIES):
                    return
                winners = [self.revisions[each] for each in replies if each]
                answer(max(winners, key=lambda each: each.rank).document if winners else None)
                for winner in winners:
                    for each in range(COPIES):
                        if self.is_alive[each]:
                            self.insert(each, winner)

            self._ask_copies(coordinator, winner_of, reply)

        return _Operation(start)


def _conflict() -> ConflictError:
    return ConflictError(409, "conflict", "Document update conflict.", method="POST", path="_bulk_docs")


class ClientIO:
    """The `ClusterIO` of one client, which sends its requests through one node."""

    def __init__(self, cluster: Cluster, preferred: int) -> None:
        self._cluster = cluster
        self._preferred = preferred

    async def write(self, document: Document, copies: int) -> Written:
        """See `ClusterIO.write`."""
        return await self._cluster.write(self._preferred, document, copies)

    async def fetch_leaves(self, document_id: str, copies: int = COPIES) -> list[Document]:
        """See `ClusterIO.fetch_leaves`; a read is repeated if its node crashes."""
        while True:
            try:
                return await self._cluster.fetch_leaves(self._preferred, copies)
            except TransportError:
                await self._cluster.sleep(0.01)

    async def fetch(self) -> Document | None:
        """The winning revision; a read is repeated if its node crashes."""
        while True:
            try:
                return await self._cluster.get(self._preferred)
            except TransportError:
                await self._cluster.sleep(0.01)

    async def push(self, revisions: Sequence[Document]) -> None:
        """See `ClusterIO.push`; it is repeated if its node crashes, as that changes nothing."""
        while True:
            try:
                await self._cluster.push(self._preferred, revisions)
            except TransportError:
                await self._cluster.sleep(0.01)
            else:
                return

    async def is_majority_alive(self, document_id: str) -> bool:
        """See `ClusterIO.is_majority_alive`."""
        return await self._cluster.is_majority_alive(self._preferred)

    async def sleep(self, seconds: float) -> None:
        """See `ClusterIO.sleep`."""
        await self._cluster.sleep(seconds)

    def now(self) -> float:
        """See `ClusterIO.now`."""
        return self._cluster.now / UNITS_PER_S
