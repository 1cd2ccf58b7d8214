"""Leaf revisions of a document: their history, who wrote them, and which of two may be buried."""

from collections.abc import Sequence

from tor_async_couchdb.documents.nonces import nonces_of, parsed
from tor_async_couchdb.model import Document
from tor_async_couchdb.wire.revision import generation_and_hash

# Marks the tombstone of a leaf that lost a race, as opposed to a document that a client deleted.
UNDONE = "undone"
# Marks the tombstone of a leaf whose changes are in another one.
_MERGED = "merged"


class Leaf:
    """A leaf revision and its history."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.rev: str = document["_rev"]
        self.rank = generation_and_hash(self.rev)
        self.generation = self.rank[0]
        self.is_deleted = bool(document.get("_deleted"))
        self.is_undone = is_undone(document)
        self._is_deletion = self.is_deleted and not self.is_undone and _MERGED not in document
        self.nonces = nonces_of(document)
        self._hashes: Sequence[str] = document["_revisions"]["ids"]

    @property
    def deletion_generation(self) -> int | None:
        """The generation of a deletion, also of one that was buried: another document may begin from it."""
        if self._is_deletion:
            return self.generation
        # A live document's own property may have that name, and another program's tombstone anything there.
        mark = self.document[UNDONE] if self.is_undone else None
        return self.generation - 1 if isinstance(mark, dict) and mark.get("deletion") else None

    def burial(self) -> Document:
        """What buries it, without a revision."""
        mark = {"rev": self.rev} | ({"deletion": True} if self._is_deletion else {})
        body = {"_id": self.document["_id"], "_deleted": True, UNDONE: mark}
        return body | {name: self.document[name] for name in ("type",) if name in self.document}

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


def may_be_buried(lower: Leaf, highest: Leaf, database_id: str) -> bool:
    """Whether both branches were written through this database, so that the lower one can't be acknowledged.

    A leaf that replication or another program brought may be acknowledged elsewhere. A branch that goes on
    from such a leaf is no better.
    """
    fork = _fork(lower, highest)
    return is_pure(lower, fork, database_id) and is_pure(highest, fork, database_id)


def mergeable(leaves: Sequence[Document], database_id: str) -> list[Document]:
    """The live leaves that are to be merged, the highest first: without those that their writers bury."""
    live = sorted(
        (Leaf(leaf) for leaf in leaves if "_deleted" not in leaf), key=lambda leaf: leaf.rank, reverse=True
    )
    lower = [leaf for leaf in live[1:] if not may_be_buried(leaf, live[0], database_id)]
    return [leaf.document for leaf in [*live[:1], *lower]]


def is_undone(document: Document) -> bool:
    """Whether this is the tombstone of a write that lost a race."""
    return "_deleted" in document and UNDONE in document


def _fork(one: Leaf, other: Leaf) -> int | None:
    """The generation after which the histories of two leaves part; None if they do not reach back to it."""
    generation = min(one.generation, other.generation)
    while generation > 0 and one.rev_at(generation) != other.rev_at(generation):
        generation -= 1
    return None if generation and one.rev_at(generation) is None else generation


def is_pure_since(leaf: Leaf, generation: int) -> bool:
    """Whether all its revisions from a generation on were written through the database of the last one."""
    head = parsed(leaf.nonces[0]) if leaf.nonces else None
    return head is not None and head.generation == leaf.generation and head.since <= generation


def is_pure(leaf: Leaf, after: int | None, database_id: str) -> bool:
    """Whether all revisions of the branch after a generation were written through this database."""
    head = parsed(leaf.nonces[0]) if leaf.nonces else None
    is_own = head is not None and head.database_id == database_id
    return is_own and after is not None and is_pure_since(leaf, after + 1)
