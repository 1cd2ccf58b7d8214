"""On a cluster: when a write counts, so that the cluster can't take it back.

On one node a write either replaces its parent revision or meets a conflict. On a cluster that is decided on
each copy of a document alone: two writers of one revision, through two nodes, may both be told that they
succeeded. One of the two leaf revisions then wins, and the other change is lost. docs/cluster.md shows how.

Here a write is acknowledged only once its revision is on all copies that are alive, no copy has a live leaf
without it, and a majority of the copies is alive. Of several live leaves the one that CouchDB ranks highest
stays. A writer whose leaf ranks lower buries it (deletes it, in one request with the higher one) and is told
that it lost the race.

`decide` is a pure function from the leaves to the next step. sealer.py takes these steps.
"""

import enum
from collections.abc import Callable, Container, Mapping, Sequence
from typing import NamedTuple

from tor_async_couchdb.documents.leaf import Leaf, is_pure_since, may_be_buried
from tor_async_couchdb.documents.nonces import MAX_NONCES, nonces_of, parsed
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire.revision import generation_and_hash

# How long a write may stay beside a higher leaf from elsewhere, until somebody merges the two.
PATIENCE_S = 1.0


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
        self.pads_on_most_copies: set[str] = set()
        self.begins_from_tombstone = False
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
        if len(leaf.nonces) >= MAX_NONCES and not is_pure_since(leaf, self.generation):
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


class Known(NamedTuple):
    """What a writer knows beside the leaves that a read of all copies has found.

    `buried` are tombstones that all copies are known to have, `pushed` is the last push before the read, and
    `ages_s` says for how long this writer has seen each leaf.
    """

    database_id: str
    buried: Container[str]
    pushed: Pushed | None
    ages_s: Mapping[str, float]
    patience_s: float = PATIENCE_S

    def are_on_all_copies(self, tombstones: Sequence[Leaf]) -> bool:
        """Whether all copies that are alive have these tombstones."""
        pushed = frozenset() if self.pushed is None else self.pushed.tombstones
        return all(leaf.rev in self.buried or leaf.rev in pushed for leaf in tombstones)


Decide = Callable[[Attempt, Sequence[Leaf], Known], Decision]


def decide(attempt: Attempt, leaves: Sequence[Leaf], known: Known) -> Decision:
    """The next step for a write."""
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
        if is_free or all(may_be_buried(leaf, highest, known.database_id) for leaf in own):
            return Decision(Step.BURY, highest, own)
        # A service that merges such leaves does so soon.
        is_overdue = any(known.ages_s.get(leaf.rev, 0.0) > known.patience_s for leaf in own)
        return Decision(Step.UNKNOWN if is_overdue else Step.WAIT)
    if not attempt.is_in(highest):
        return _decide_outranked(attempt, highest, leaves, known)
    live = [leaf for leaf in lower if not leaf.is_deleted]
    rivals = [leaf for leaf in live if may_be_buried(leaf, highest, known.database_id)]
    if rivals:
        # Their writers do so as well, unless they have crashed; all who bury a leaf make the same tombstone.
        return Decision(Step.BURY, highest, rivals)
    return _decide_highest(attempt, highest, leaves, known)


def _decide_outranked(attempt: Attempt, highest: Leaf, leaves: Sequence[Leaf], known: Known) -> Decision:
    if attempt.is_unanswered and highest.rev == attempt.base:
        return Decision(Step.RESEND)
    if any(attempt.is_in(leaf) for leaf in leaves if not leaf.is_deleted):
        return Decision(Step.WAIT)  # another writer has built on it, and has to bury that
    deletions = [leaf for leaf in leaves if leaf.is_deleted and not leaf.is_undone and attempt.is_in(leaf)]
    if not all(may_be_buried(leaf, highest, known.database_id) for leaf in deletions):
        return Decision(Step.UNKNOWN)  # a leaf from elsewhere keeps the deletion from being buried
    if not attempt.is_surely_not_in(highest):
        return Decision(Step.UNKNOWN)
    if attempt.is_unanswered and not attempt.all_revs:
        return Decision(Step.UNKNOWN)  # a copy that is down may have it
    if not all(any(leaf.contains(rev) for leaf in leaves) for rev in attempt.all_revs):
        return Decision(Step.WAIT)  # a copy that took it is down
    burials = [leaf for leaf in leaves if leaf.is_undone and attempt.is_in(leaf)]
    if not known.are_on_all_copies(burials):
        # Another writer's burial is still on its way: a client may build on the leaf until it has arrived.
        return Decision(Step.PUSH, highest, burials)
    return Decision(Step.CONFLICT)


def _decide_highest(attempt: Attempt, highest: Leaf, leaves: Sequence[Leaf], known: Known) -> Decision:
    tombstones = [
        leaf for leaf in leaves if leaf.is_deleted and leaf is not highest and leaf.rev not in known.buried
    ]
    confirmed = attempt.revs_on_all_copies | attempt.pads_on_most_copies
    is_confirmed = any(map(highest.contains, confirmed)) and _is_above_deletions(attempt, highest, leaves)
    if is_confirmed and not tombstones:
        return Decision(Step.ACKNOWLEDGE, highest)
    is_pushed = known.pushed is not None and highest.contains(known.pushed.rev)
    if not is_pushed or not known.are_on_all_copies(tombstones):
        return Decision(Step.PUSH, highest, tombstones)
    # A push succeeds with a single copy alive, so it says nothing of a majority.
    if is_confirmed:
        return Decision(Step.ACKNOWLEDGE, highest, tombstones)
    return Decision(Step.PAD, highest, tombstones)


def _is_above_deletions(attempt: Attempt, leaf: Leaf, leaves: Sequence[Leaf]) -> bool:
    """Whether a live leaf ranks higher than a new document that begins from a deletion.

    A client that has not seen the leaf may be about to push one, and no copy would refuse it.
    """
    generations = [each.deletion_generation for each in leaves if each.deletion_generation is not None]
    if attempt.begins_from_tombstone:
        generations.append(attempt.generation - 1)
    return leaf.is_deleted or not generations or leaf.generation > max(generations) + 1
