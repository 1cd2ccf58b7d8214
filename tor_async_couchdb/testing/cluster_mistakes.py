"""Known mistakes in writing to a cluster, each planted into the sealer. The simulation has to find them.

docs/cluster.md tells of most of them: they look right, and lose a change in one schedule of ten to some
thousands.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tor_async_couchdb.documents.leaf import Leaf
from tor_async_couchdb.documents.sealer import ClusterIO, Sealer, Written
from tor_async_couchdb.documents.sealing import Attempt, Decide, Decision, Known, Step, decide
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.testing.simulated_cluster import ClientIO

MakeSealer = Callable[..., Sealer]


class Mistake(NamedTuple):
    """A sealer with a mistake, and the name of the circumstances under which it shows."""

    make_sealer: MakeSealer
    circumstances: str


class _Unsettled(Sealer):
    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        if attempt.revs:
            return attempt.document | {"_rev": max(attempt.revs)}, "unread"
        return await super()._settle(attempt, observer)


class _SettledAfter202(Sealer):
    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        if attempt.revs_on_all_copies:
            return attempt.document | {"_rev": max(attempt.revs)}, "unread"
        return await super()._settle(attempt, observer)


class _TakenForSealed(Sealer):
    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        stored, how = await super()._settle(attempt, observer)
        self._sealed.add(stored["_rev"])
        return stored, how


class _PaddedError(Exception):
    """A majority has taken a pad of this leaf."""

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = leaf


class _PadTakenForProof(Sealer):
    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        try:
            return await super()._settle(attempt, observer)
        except _PaddedError as padded:
            return self._acknowledged(attempt, padded.leaf, ()), "padded"

    async def _pad(self, attempt: Attempt, leaf: Leaf, observer: Observer) -> bool:
        if await super()._pad(attempt, leaf, observer):
            raise _PaddedError(leaf)
        return False


class _LatestTakenForOwn(Sealer):
    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        stored, how = await super()._settle(attempt, observer)
        leaves = [Leaf(document) for document in await self._io.fetch_leaves(attempt.document_id)]
        return stored | {"_rev": max(leaves, key=lambda leaf: leaf.rank).rev}, how


class _CreatesWithoutBase(Sealer):
    async def _write(self, attempt: Attempt, observer: Observer) -> Written:
        if attempt.base not in self._tombstones:
            return await super()._write(attempt, observer)
        body = {name: value for name, value in attempt.document.items() if name != "_rev"}
        return await self._io.write(body, self._copies)


class _FewerCopies:
    """The I/O with other quorums: `w` of writes, `r` of reads."""

    def __init__(self, io: ClientIO, *, w: int = 3, r: int = 3) -> None:
        self.push, self.sleep, self.now = io.push, io.sleep, io.now
        self.is_majority_alive = io.is_majority_alive
        self._io = io
        self._w = w
        self._r = r

    async def write(self, document: Document, copies: int) -> Written:
        return await self._io.write(document, min(copies, self._w))

    async def fetch_leaves(self, document_id: str) -> Sequence[Document]:
        return await self._io.fetch_leaves(document_id, self._r)


class _BuriedFirst:
    """The I/O, which pushes tombstones in a request of their own before the leaf that stays."""

    def __init__(self, io: ClientIO) -> None:
        self.write, self.fetch_leaves, self.sleep, self.now = io.write, io.fetch_leaves, io.sleep, io.now
        self.is_majority_alive = io.is_majority_alive
        self._io = io

    async def push(self, revisions: Sequence[Document]) -> None:
        for revision in reversed(revisions):
            await self._io.push([revision])


class _All:
    def __contains__(self, rev: object) -> bool:
        return True


def _with_io(change: Callable[[ClientIO], ClusterIO]) -> MakeSealer:
    return lambda io, **parts: Sealer(change(io), **parts)


def _deciding(decide: Decide) -> MakeSealer:
    return lambda io, **parts: Sealer(io, decide=decide, **parts)


def _in_place_of(step: Step, other: Step) -> MakeSealer:
    def decided(attempt: Attempt, leaves: Sequence[Leaf], known: Known) -> Decision:
        decision = decide(attempt, leaves, known)
        return decision._replace(step=other) if decision.step is step else decision

    return _deciding(decided)


def _without_dead_leaves(attempt: Attempt, leaves: Sequence[Leaf], known: Known) -> Decision:
    return decide(attempt, leaves, known._replace(buried=_All()))


def _believing_in_burials(attempt: Attempt, leaves: Sequence[Leaf], known: Known) -> Decision:
    decision = decide(attempt, leaves, known)
    is_burial = decision.step is Step.PUSH and decision.leaf is not None and not attempt.is_in(decision.leaf)
    return Decision(Step.CONFLICT) if is_burial else decision


def _with_undone_leaves(attempt: Attempt, leaves: Sequence[Leaf], known: Known) -> Decision:
    for leaf in leaves:
        leaf.is_undone = False
    return decide(attempt, leaves, known)


def _burying_all(attempt: Attempt, leaves: Sequence[Leaf], known: Known) -> Decision:
    standing = sorted((leaf for leaf in leaves if not leaf.is_deleted), key=lambda leaf: leaf.rank)
    if len(standing) > 1:
        return Decision(Step.BURY, standing[-1], standing[:-1])
    return decide(attempt, leaves, known)


MISTAKES: Mapping[str, Mistake] = {
    "acknowledges whatever is accepted": Mistake(_Unsettled, "clients only"),
    "settles only after a 202": Mistake(_SettledAfter202, "clients only"),
    "writes to two copies": Mistake(_with_io(lambda io: _FewerCopies(io, w=2)), "clients only"),
    "reads two copies": Mistake(_with_io(lambda io: _FewerCopies(io, r=2)), "clients only"),
    "takes what is forgotten for a lost race": Mistake(
        _in_place_of(Step.UNKNOWN, Step.CONFLICT), "short histories"
    ),
    "buries what replication brought": Mistake(_deciding(_burying_all), "replication"),
    "takes the latest revision for its own": Mistake(_LatestTakenForOwn, "clients only"),
    "leaves the tombstone of a new document to the copies": Mistake(_CreatesWithoutBase, "deletions"),
    "takes a pad for proof without a read after it": Mistake(_PadTakenForProof, "a node crashes"),
    "takes an undone leaf for a deletion": Mistake(_deciding(_with_undone_leaves), "clients only"),
}
# These show in one schedule of some thousands.
RARE_MISTAKES: Mapping[str, Mistake] = {
    "acknowledges with one copy alive": Mistake(_in_place_of(Step.PAD, Step.ACKNOWLEDGE), "two nodes crash"),
    "buries in two requests": Mistake(_with_io(_BuriedFirst), "two nodes crash"),
    "does not push dead leaves": Mistake(_deciding(_without_dead_leaves), "deletions, a node crashes"),
    "takes a burial of another for one on all copies": Mistake(
        _deciding(_believing_in_burials), "clients crash"
    ),
    "takes what it acknowledged for sealed": Mistake(_TakenForSealed, "clients crash"),
}
