"""On a cluster: when a write counts, so that the cluster can't take it back.

On one node a write either replaces its parent revision or meets a conflict. On a cluster that is decided on
each copy of a document alone: two writers of one revision, through two nodes, may both be told that they
succeeded. One of the two leaf revisions then wins, and the other change is lost. docs/cluster.md shows how.

Here a write is acknowledged only once its revision is on all copies that are alive, no copy has a live leaf
without it, and a majority of the copies is alive. Of several live leaves the one that CouchDB ranks highest
stays. A writer whose leaf ranks lower buries it (deletes it, in one request with the higher one) and is told
that it lost the race.

`decide` is a pure function from the leaves to the next step. `Sealer` takes these steps, with the I/O that it
is given; the tests run it against a simulated cluster.
"""

import collections
import enum
from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple, Protocol

from tor_async_couchdb.documents.nonces import MAX_NONCES, Nonces, nonces_of, parsed
from tor_async_couchdb.documents.writer import replaced
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.model import Document
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.pauses import Pause, full_jitter
from tor_async_couchdb.wire.revision import child, generation_and_hash

# How long a live leaf of another writer may stay beside a higher one. Its writer buries it, unless it has
# crashed.
PATIENCE_S = 1.0

_PAUSE = full_jitter(base_s=0.01, cap_s=0.5)

_LONGEST_WAIT = 6  # the number of doublings until the cap of the pause
# While most copies are down each pad is one more revision on the others.
_MAX_PADS = 4

# Revisions that this process knows to be sealed, buried on all copies, or the base of a new document. Each
# takes some 100 bytes.
_MAX_REMEMBERED = 10_000

# Marks the tombstone of a leaf that lost a race, as opposed to a document that a client deleted.
_UNDONE = "undone"
# Marks the tombstone of a leaf whose changes are in another one.
_MERGED = "merged"


class Written(NamedTuple):
    """A write that was not refused: its revision, and whether all copies took it (201) or only some (202)."""

    rev: str
    is_on_all_copies: bool


class ClusterIO(Protocol):
    """The requests that sealing makes."""

    async def write(self, document: Document, copies: int) -> Written:
        """Writes a document and waits for so many copies.

        Raises:
            ConflictError: no copy has the parent as a leaf, so nothing was written.
            CouchDBError: the request failed, or was not answered.
        """

    async def fetch_leaves(self, document_id: str) -> Sequence[Document]:
        """All leaf revisions that any copy has, tombstones included, with `_revisions`."""

    async def push(self, revisions: Sequence[Document]) -> None:
        """Inserts revisions on all copies that are alive, in one request, as a replicator does."""

    async def is_majority_alive(self, document_id: str) -> bool:
        """Whether a majority of the copies takes writes now, by a write that changes no document."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    def now(self) -> float:
        """The time, in seconds, on a clock that only goes forward."""


class Leaf:
    """A leaf revision and its history."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.rev: str = document["_rev"]
        self.rank = generation_and_hash(self.rev)
        self.generation = self.rank[0]
        self.is_deleted = bool(document.get("_deleted"))
        self.is_undone = is_undone(document)
        # The end of a life of the document, which another life may begin from.
        self.is_deletion = self.is_deleted and not self.is_undone and _MERGED not in document
        self.nonces = nonces_of(document)
        self._hashes: Sequence[str] = document["_revisions"]["ids"]

    def reaches(self, generation: int) -> bool:
        """Whether the known history goes back to a generation; `_revs_limit` cuts it."""
        return self.generation - generation < len(self._hashes)

    def rev_at(self, generation: int) -> str | None:
        """The revision of a generation in the history; None if it is not known."""
        age = self.generation - generation
        return f"{generation}-{self._hashes[age]}" if 0 <= age < len(self._hashes) else None

    @property
    def oldest_known_rev(self) -> str:
        """The first revision of the known history."""
        return f"{self.generation - len(self._hashes) + 1}-{self._hashes[-1]}"

    def contains(self, rev: str) -> bool:
        """Whether the known history contains a revision."""
        return self.rev_at(generation_and_hash(rev)[0]) == rev


class Attempt:
    """One write: what is written, under which nonce, and what CouchDB has answered so far."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.document_id: str = document["_id"]
        self.base: str | None = document.get("_rev")
        self.generation = 1 if self.base is None else generation_and_hash(self.base)[0] + 1
        self.is_deletion = bool(document.get("_deleted"))
        self.nonces = {nonces_of(document)[0]}  # of the write, and of its pads
        self.revs: set[str] = set()  # with the content of this write
        self.revs_on_all_copies: set[str] = set()
        self.pads: set[str] = set()  # with what other writers made of it
        self.is_unanswered = False
        self.pads_without_majority = 0

    @property
    def all_revs(self) -> set[str]:
        """The revisions that were written for it."""
        return self.revs | self.pads

    def is_in(self, leaf: Leaf) -> bool:
        """Whether the leaf contains this write."""
        return not self.nonces.isdisjoint(leaf.nonces) or any(leaf.contains(rev) for rev in self.all_revs)

    def is_tip_of(self, leaf: Leaf) -> bool:
        """Whether the leaf is a revision of this write itself."""
        return leaf.rev in self.all_revs or bool(
            leaf.nonces and leaf.nonces[0] in self.nonces and self._fits(leaf)
        )

    def has_its_content_in(self, leaf: Leaf) -> bool:
        """Whether the leaf holds this write, and no change of another writer on top of it."""
        return self.is_tip_of(leaf) and leaf.rev not in self.pads

    def rev_in(self, leaf: Leaf) -> str:
        """The revision of this write in a leaf that contains it."""
        if self.has_its_content_in(leaf):
            return leaf.rev
        own = next((rev for rev in self.revs if leaf.contains(rev)), None)
        # Where it is not known any more, an older revision: a write that is based on it meets a conflict.
        return own or leaf.rev_at(self.generation) or leaf.oldest_known_rev

    def _fits(self, leaf: Leaf) -> bool:
        # A program that changes a document, and keeps the property with the nonces, makes another generation.
        # CouchDB itself may make a create the child of a tombstone.
        head = parsed(leaf.nonces[0])
        is_create_without_answer = self.base is None and not self.all_revs
        return head is None or is_create_without_answer or head.generation == leaf.generation

    def is_surely_not_in(self, leaf: Leaf) -> bool:
        """Whether the leaf can't contain this write; False also if that is not known any more."""
        if self.is_in(leaf):
            return False
        if leaf.generation < self.generation:
            return True
        if len(leaf.nonces) >= MAX_NONCES and not _is_pure_since(leaf, self.generation):
            return False  # a merge may have taken it in, and its nonce have been dropped since
        if self.all_revs and not self.is_unanswered:
            return all(leaf.reaches(generation_and_hash(rev)[0]) for rev in self.all_revs)
        # Each write since then has added a nonce, and they are all still there.
        return len(leaf.nonces) > leaf.generation - self.generation

    def begins_after(self, leaf: Leaf) -> bool:
        """Whether the leaf contains all that was there before this write."""
        return self.base is None or leaf.contains(self.base)


class Step(enum.Enum):
    """What comes next."""

    ACKNOWLEDGE = "acknowledge"
    CONFLICT = "the race is lost"
    UNKNOWN = "it can't be told any more whether the write was applied"
    RESEND = "send the same write again"
    BURY = "delete lower leaves, in one request with the highest one"
    PUSH = "bring the highest leaf and the tombstones to all copies"
    PAD = "write a child without a change, which a majority has to take"
    WAIT = "read again later"


class Decision(NamedTuple):
    """The next step, the leaf that it is about, and the leaves that it buries or pushes beside it."""

    step: Step
    leaf: Leaf | None = None
    others: Sequence[Leaf] = ()


class Pushed(NamedTuple):
    """What was pushed: the highest leaf, and tombstones."""

    rev: str
    tombstones: frozenset[str]


def decide(
    attempt: Attempt,
    leaves: Sequence[Leaf],
    *,
    database_id: str,
    buried: Container[str],
    pushed: Pushed | None,
    ages_s: Mapping[str, float],
    patience_s: float = PATIENCE_S,
) -> Decision:
    """The next step for a write, from the leaves that a read of all copies has found.

    `buried` are tombstones that all copies are known to have, `pushed` is the last push before this read, and
    `ages_s` says for how long this writer has seen each leaf.
    """
    standing = [leaf for leaf in leaves if not leaf.is_undone]
    if not standing:
        # Some copies have the tombstone of a leaf, and others do not have the better leaf yet.
        return Decision(Step.RESEND if not leaves and attempt.is_unanswered else Step.WAIT)
    highest = max(standing, key=lambda leaf: leaf.rank)
    lower = [leaf for leaf in standing if leaf is not highest]
    own = [leaf for leaf in lower if attempt.is_tip_of(leaf)]
    if own:
        # Beside a leaf from elsewhere this branch may hold changes of others that were acknowledged: older
        # ones, or those that a pad of this writer has confirmed.
        is_free = attempt.begins_after(highest) and all(map(attempt.has_its_content_in, own))
        if is_free or all(_may_be_buried(leaf, highest, database_id) for leaf in own):
            return Decision(Step.BURY, highest, own)
        # A service that merges such leaves does so soon.
        is_overdue = any(ages_s.get(leaf.rev, 0.0) > patience_s for leaf in own)
        return Decision(Step.UNKNOWN if is_overdue else Step.WAIT)
    if not attempt.is_in(highest):
        return _decide_outranked(attempt, highest, leaves, database_id)
    rivals = [leaf for leaf in lower if not leaf.is_deleted and _may_be_buried(leaf, highest, database_id)]
    if rivals:
        overdue = [leaf for leaf in rivals if ages_s.get(leaf.rev, 0.0) > patience_s]
        return Decision(Step.BURY, highest, overdue) if overdue else Decision(Step.WAIT)
    return _decide_highest(attempt, highest, leaves, buried, pushed)


def _decide_outranked(attempt: Attempt, highest: Leaf, leaves: Sequence[Leaf], database_id: str) -> Decision:
    if attempt.is_unanswered and highest.rev == attempt.base:
        return Decision(Step.RESEND)
    if any(attempt.is_in(leaf) for leaf in leaves if not leaf.is_deleted):
        return Decision(Step.WAIT)  # another writer has built on it, and has to bury that
    deletions = [leaf for leaf in leaves if leaf.is_deleted and not leaf.is_undone and attempt.is_in(leaf)]
    if not all(_may_be_buried(leaf, highest, database_id) for leaf in deletions):
        return Decision(Step.UNKNOWN)  # a leaf from elsewhere keeps the deletion from being buried
    if not attempt.is_surely_not_in(highest):
        return Decision(Step.UNKNOWN)
    if attempt.is_unanswered and not attempt.all_revs:
        return Decision(Step.UNKNOWN)  # a copy that is down may have it
    if not all(any(leaf.contains(rev) for leaf in leaves) for rev in attempt.all_revs):
        return Decision(Step.WAIT)  # a copy that took it is down
    return Decision(Step.CONFLICT)


def _decide_highest(
    attempt: Attempt,
    highest: Leaf,
    leaves: Sequence[Leaf],
    buried: Container[str],
    pushed: Pushed | None,
) -> Decision:
    tombstones = [
        leaf for leaf in leaves if leaf.is_deleted and leaf is not highest and leaf.rev not in buried
    ]
    is_on_all_copies = any(highest.contains(rev) for rev in attempt.revs_on_all_copies)
    is_confirmed = is_on_all_copies and _is_above_deletions(highest, leaves)
    if is_confirmed and not tombstones:
        return Decision(Step.ACKNOWLEDGE, highest)
    is_pushed = (
        pushed is not None
        and pushed.tombstones.issuperset(leaf.rev for leaf in tombstones)
        and highest.contains(pushed.rev)
    )
    if not is_pushed:
        return Decision(Step.PUSH, highest, tombstones)
    # A push succeeds with a single copy alive, so it says nothing of a majority.
    if is_confirmed:
        return Decision(Step.ACKNOWLEDGE, highest, tombstones)
    return Decision(Step.PAD, highest, tombstones)


def _is_above_deletions(leaf: Leaf, leaves: Sequence[Leaf]) -> bool:
    """Whether a live leaf ranks higher than a new document that begins from the deletion beside it.

    A client that has not seen the leaf may be about to push one, and no copy would refuse it.
    """
    deletions = [each.generation for each in leaves if each.is_deletion]
    return leaf.is_deleted or not deletions or leaf.generation > max(deletions) + 1


def _may_be_buried(lower: Leaf, highest: Leaf, database_id: str) -> bool:
    """Whether both branches were written through this database, so that the lower one can't be acknowledged.

    A leaf that replication or another program brought may be acknowledged elsewhere. A branch that goes on
    from such a leaf is no better.
    """
    fork = _fork(lower, highest)
    return _is_pure(lower, fork, database_id) and _is_pure(highest, fork, database_id)


def mergeable(leaves: Sequence[Document], database_id: str) -> list[Document]:
    """The live leaves that are to be merged, the highest first: without those that their writers bury."""
    live = sorted(
        (Leaf(leaf) for leaf in leaves if "_deleted" not in leaf), key=lambda leaf: leaf.rank, reverse=True
    )
    lower = [leaf for leaf in live[1:] if not _may_be_buried(leaf, live[0], database_id)]
    return [leaf.document for leaf in [*live[:1], *lower]]


def is_undone(document: Document) -> bool:
    """Whether this is the tombstone of a write that lost a race."""
    return "_deleted" in document and _UNDONE in document


def _fork(one: Leaf, other: Leaf) -> int | None:
    """The generation after which the histories of two leaves part; None if they do not reach back to it."""
    generation = min(one.generation, other.generation)
    while generation > 0 and one.rev_at(generation) != other.rev_at(generation):
        generation -= 1
    return None if generation and one.rev_at(generation) is None else generation


def _is_pure_since(leaf: Leaf, generation: int) -> bool:
    head = parsed(leaf.nonces[0]) if leaf.nonces else None
    return head is not None and head.generation == leaf.generation and head.since <= generation


def _is_pure(leaf: Leaf, after: int | None, database_id: str) -> bool:
    """Whether all revisions of the branch after a generation were written through this database."""
    head = parsed(leaf.nonces[0]) if leaf.nonces else None
    is_own = head is not None and head.database_id == database_id
    return is_own and after is not None and _is_pure_since(leaf, after + 1)


class Decide(Protocol):
    """What `decide` is; the tests plant mistakes in its place."""

    def __call__(
        self,
        attempt: Attempt,
        leaves: Sequence[Leaf],
        *,
        database_id: str,
        buried: Container[str],
        pushed: Pushed | None,
        ages_s: Mapping[str, float],
        patience_s: float,
    ) -> Decision:
        """The next step for a write."""


class _Remembered:
    """The revisions that were added last."""

    def __init__(self) -> None:
        self._revs: collections.OrderedDict[str, None] = collections.OrderedDict()

    def __contains__(self, rev: object) -> bool:
        return rev in self._revs

    def add(self, rev: str) -> None:
        self._revs[rev] = None
        if len(self._revs) > _MAX_REMEMBERED:
            self._revs.popitem(last=False)


def _unsigned(document: Document, before: Document) -> Document:
    return document


class Sealer:
    """Writes documents to a cluster that keeps `copies` copies of each.

    `sign` signs tombstones. `renew` signs a document whose nonces have changed, given the document before; it
    raises TamperedError if that one was tampered with.
    """

    def __init__(
        self,
        io: ClusterIO,
        *,
        copies: int,
        nonces: Nonces,
        sign: Callable[[Document], Document] = dict,
        renew: Callable[[Document, Document], Document] = _unsigned,
        pause: Pause = _PAUSE,
        patience_s: float = PATIENCE_S,
        decide: Decide = decide,
    ) -> None:
        self._io = io
        self._copies = copies
        self._majority = copies // 2 + 1
        self.nonces = nonces
        self._sign = sign
        self._renew = renew
        self._pause = pause
        self._patience_s = patience_s
        self._decide = decide
        self._sealed = _Remembered()
        self._buried = _Remembered()
        self._tombstones = _Remembered()

    async def base_of_new(self, document_id: str) -> Document:
        """What a new document under this id needs beside its content: the `_rev` of its tombstone, if any.

        Without it each copy would extend a tombstone of its own choice, also one that is made later.

        Raises:
            ConflictError: there is such a document.
        """
        leaves = [Leaf(document) for document in await self._io.fetch_leaves(document_id)]
        if not leaves:
            return {}
        standing = [leaf for leaf in leaves if not leaf.is_undone]
        # With none standing, the leaf that another one was buried for has not been brought to this copy.
        if not standing or any(not leaf.is_deleted for leaf in standing):
            raise replaced({"_id": document_id})
        tombstone = max(standing, key=lambda leaf: leaf.rank)
        self._tombstones.add(tombstone.rev)
        return {"_rev": tombstone.rev, **_nonces_in(tombstone.document)}

    async def write(self, document: Document, observer: Observer) -> Document:
        """The document with the `_rev` of this write; it has the write's nonce already.

        If other writers have built on it meanwhile, their changes are not in it, and its `_rev` is not
        current any more.

        Raises:
            ConflictError: the race is lost, and the write is in no live leaf.
            OutcomeUnknownError: it can't be told any more whether the write was applied.
            CouchDBError: the write was not sent, or CouchDB refused it for another reason.
        """
        started_s = self._io.now()
        attempt = Attempt(document)
        written = await self._send(attempt, observer)
        # A first revision that all copies took has no rival: each would refuse a second one.
        is_first = attempt.base is None and all(rev.startswith("1-") for rev in attempt.revs)
        if written is not None and written.is_on_all_copies and (attempt.base in self._sealed or is_first):
            self._sealed.add(written.rev)
            observer.write_sealed("unread", self._io.now() - started_s)
            return document | {"_rev": written.rev}
        try:
            stored, how = await self._settle(attempt, observer)
        except (ConflictError, OutcomeUnknownError):
            raise
        except (TransportError, ResponseError) as error:
            # A copy may have the write, whatever became of the requests after it.
            raise OutcomeUnknownError(
                f"the copies of document {attempt.document_id!r} did not confirm its write in time"
            ) from error
        observer.write_sealed(how, self._io.now() - started_s)
        return stored

    async def _send(self, attempt: Attempt, observer: Observer) -> Written | None:
        """What CouchDB answers; None if there is no answer, so that the write may or may not be applied."""
        try:
            written = await self._write(attempt, observer)
        except CouchDBError as error:
            if isinstance(error, ConnectError) or (isinstance(error, ResponseError) and error.status < 500):
                if isinstance(error, ConflictError) and attempt.is_unanswered:
                    return None  # it may have met itself
                raise
            attempt.is_unanswered = True
            return None
        attempt.revs.add(written.rev)
        if written.is_on_all_copies:
            attempt.revs_on_all_copies.add(written.rev)
        return written

    async def _write(self, attempt: Attempt, observer: Observer) -> Written:
        if attempt.base not in self._tombstones:
            written = await self._io.write(attempt.document, self._copies)
            if not written.is_on_all_copies:
                observer.write_partly_accepted()
            return written
        # A copy refuses a write that is based on a tombstone. Of one without a base it makes the child of
        # the tombstone that it has when the write arrives, which may be that of the new document itself.
        revision = child(attempt.document, attempt.document)
        attempt.revs.add(revision["_rev"])
        await self._io.push([revision])
        return Written(revision["_rev"], is_on_all_copies=False)

    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        """The document as it is stored, and what that took, as `Observer.write_sealed` is told."""
        seen_s: dict[str, float] = {}
        pushed: Pushed | None = None
        polls, how = 0, "read"
        while True:
            leaves = [Leaf(document) for document in await self._io.fetch_leaves(attempt.document_id)]
            self._report(leaves, seen_s, observer)
            now_s = self._io.now()
            seen_s = {leaf.rev: seen_s.get(leaf.rev, now_s) for leaf in leaves}
            decision = self._decide(
                attempt,
                leaves,
                database_id=self.nonces.database_id,
                buried=self._buried,
                pushed=pushed,
                ages_s={rev: now_s - since_s for rev, since_s in seen_s.items()},
                patience_s=self._patience_s,
            )
            leaf, others = decision.leaf, decision.others
            match decision.step:
                case Step.ACKNOWLEDGE if leaf is not None:
                    return self._acknowledged(attempt, leaf, others), how
                case Step.CONFLICT:
                    raise replaced(attempt.document)
                case Step.UNKNOWN:
                    raise OutcomeUnknownError(
                        f"it can't be told whether the write of document {attempt.document_id!r} stays"
                    )
                case Step.BURY if leaf is not None:
                    observer.leaves_buried(len(others))
                    await self._io.push([leaf.document, *map(self._tombstone, others)])
                    pushed = None
                case Step.PUSH if leaf is not None:
                    how = "pushed"
                    await self._io.push([leaf.document, *(other.document for other in others)])
                    pushed = Pushed(leaf.rev, frozenset(other.rev for other in others))
                case Step.PAD if leaf is not None:
                    how = "padded"
                    pushed = None
                    padded = await self._pad(attempt, leaf, leaves, observer)
                    if padded is not None:
                        return self._acknowledged(attempt, padded, others), how
                    await self._wait(_LONGEST_WAIT)
                case Step.RESEND:
                    await self._wait(polls)
                    polls += 1
                    await self._send(attempt, observer)
                case _:
                    await self._wait(polls)
                    polls += 1

    async def _wait(self, polls: int) -> None:
        await self._io.sleep(self._pause(min(polls + 1, _LONGEST_WAIT), 0.0))

    def _report(self, leaves: Sequence[Leaf], seen: Container[str], observer: Observer) -> None:
        new = [leaf for leaf in leaves if leaf.rev not in seen]
        if foreign := sum(self._is_foreign(leaf) for leaf in new):
            observer.foreign_leaves_met(foreign)
        if not seen:
            observer.dead_leaves_met(sum(leaf.is_deleted for leaf in leaves))

    def _is_foreign(self, leaf: Leaf) -> bool:
        return not leaf.is_deleted and not _is_pure(leaf, leaf.generation, self.nonces.database_id)

    async def _pad(
        self, attempt: Attempt, leaf: Leaf, leaves: Sequence[Leaf], observer: Observer
    ) -> Leaf | None:
        """The child of the leaf, if a majority of the copies took it and it is above the deletions."""
        body = {name: value for name, value in leaf.document.items() if name != "_revisions"}
        pad = self._renew(self.nonces.added_to(body), body)
        attempt.nonces.add(nonces_of(pad)[0])
        try:
            written = await self._write_pad(pad, leaf)
        except ConflictError:
            return None
        (attempt.revs if attempt.has_its_content_in(leaf) else attempt.pads).add(written.rev)
        if not written.is_on_all_copies:  # which here are a majority
            observer.write_partly_accepted()
            attempt.pads_without_majority += 1
            if attempt.pads_without_majority == _MAX_PADS:
                raise OutcomeUnknownError(
                    f"most copies of document {attempt.document_id!r} are down; its write may be taken back"
                )
            return None
        start, ids = leaf.document["_revisions"]["start"], leaf.document["_revisions"]["ids"]
        history = {"start": start + 1, "ids": [generation_and_hash(written.rev)[1], *ids]}
        padded = Leaf(pad | {"_rev": written.rev, "_revisions": history})
        return padded if _is_above_deletions(padded, leaves) else None

    async def _write_pad(self, pad: Document, leaf: Leaf) -> Written:
        if not leaf.is_deleted:
            return await self._io.write(pad, self._majority)
        # A copy refuses a write that is based on a tombstone, and a push says nothing of a majority.
        pushed = child(leaf.document, pad)
        await self._io.push([pushed])
        return Written(pushed["_rev"], await self._io.is_majority_alive(leaf.document["_id"]))

    def _tombstone(self, leaf: Leaf) -> Document:
        """What buries a leaf; all who bury it make the same revision."""
        body = {"_id": leaf.document["_id"], "_deleted": True, _UNDONE: {"rev": leaf.rev}}
        if "type" in leaf.document:
            body["type"] = leaf.document["type"]
        return child(leaf.document, self._sign(body))

    def _acknowledged(self, attempt: Attempt, leaf: Leaf, tombstones: Sequence[Leaf]) -> Document:
        for tombstone in tombstones:
            self._buried.add(tombstone.rev)
        if leaf.rev in attempt.revs_on_all_copies:
            self._sealed.add(leaf.rev)
        if attempt.has_its_content_in(leaf):
            return {name: value for name, value in leaf.document.items() if name != "_revisions"}
        return attempt.document | {"_rev": attempt.rev_in(leaf)}


def _nonces_in(document: Document) -> Document:
    return {name: document[name] for name in (NONCES_PROPERTY_NAME,) if name in document}
