"""Ending a document's conflict: which revisions to insert into its tree, so that all masters insert the same.

A revision's name is made from its parent and its body. Masters that merge the same leaves so write the same
revisions, and when these meet there is nothing to resolve. They are inserted as a replicator inserts what
another server made (`new_edits: false`): nothing that is there can be lost by it, whatever happened
meanwhile only leaves another conflict, and to insert them twice is to insert them once.

What loses is only ever deleted in favour of a leaf that says at least as much, and of two that say the same
the one with the lower revision loses. So no two masters can delete each other's, and it ends.
"""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence

from tor_async_couchdb.conflicts.counts import ChangeCounts, counts_of
from tor_async_couchdb.conflicts.merge import Leaf, merge
from tor_async_couchdb.model.canonical import canonical_bytes
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.model.properties import Deletes, Superseded
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.encryption import Decrypt

# Tells a leaf that a merge made superfluous from a document that somebody deleted.
_TOMBSTONE = {"_deleted": True, "merged": True}


@dataclasses.dataclass(frozen=True, slots=True)
class Resolution:
    """How a conflict ends: with `document`, or with None where it is deleted.

    `revisions` are what has to be inserted for it, and `superseded_count` says how many values lose by it
    to later ones.
    """

    document: Document | None
    revisions: Sequence[Document] = ()
    superseded_count: int = 0


def resolve(
    model_class: type[Model],
    leaves: Sequence[Document],
    signer: signing.Signer | None = None,
    decrypt: Decrypt = dict,
) -> Resolution:
    """The end of the conflict between the leaf revisions of a document; without `revisions` if there is none.

    Deleted leaves matter only where the model says that deletes win. Leaves are compared as `decrypt` makes
    them readable, and what is written are the ciphertexts that they have: no new ones.

    Raises:
        UnmergeableError: the model does not say how these merge.
        InvalidDocumentError: a leaf does not fit the model.
    """
    live = [leaf for leaf in leaves if "_deleted" not in leaf]
    deletions = [leaf for leaf in leaves if "_deleted" in leaf and not is_merged_away(leaf)]
    if model_class.deletes is Deletes.WIN and deletions:
        return Resolution(None, [_tombstone(model_class, leaf, signer) for leaf in live])
    if not live:
        return Resolution(None)
    readable = [Leaf.of(model_class, leaf, decrypt) for leaf in live]
    merged = merge(model_class, readable)
    complete = [leaf.document for leaf in readable if leaf.canonical_values == merged.canonical_values]
    winner = max(complete or live, key=_precedence)
    losers = [leaf for leaf in live if leaf["_rev"] != winner["_rev"]]
    tombstones = [_tombstone(model_class, leaf, signer) for leaf in losers]
    superseded_count = _newly_superseded(model_class, merged, readable)
    if complete:
        return Resolution(winner, tombstones, superseded_count)
    body = {"_id": winner["_id"]} | merged.document
    if signer is not None:
        signing.sign(signer, body)
    revision = child(winner, body)
    return Resolution({"_rev": revision["_rev"]} | body, [revision, *tombstones], superseded_count)


def child(parent: Document, body: Mapping[str, object]) -> Document:
    """`body` as the revision after `parent`, under the name that everybody gives to it."""
    start, parent_hash = _generation_and_hash(parent)
    revision_hash = hashlib.sha256(canonical_bytes([parent["_rev"], body])).hexdigest()[:32]
    return {
        **body,
        "_id": parent["_id"],
        "_rev": f"{start + 1}-{revision_hash}",
        "_revisions": {"start": start + 1, "ids": [revision_hash, parent_hash]},
    }


def _tombstone(model_class: type[Model], leaf: Document, signer: signing.Signer | None) -> Document:
    if signer is None:
        return child(leaf, _TOMBSTONE)
    merged = {"rev": leaf["_rev"], "counts": counts_of(model_class, leaf)}
    body = {"_id": leaf["_id"], "_deleted": True, "type": leaf["type"], "merged": merged}
    return child(leaf, signing.sign(signer, body))


def is_merged_away(leaf: Document) -> bool:
    """Whether a leaf is what a merge left of a revision, and says nothing any more."""
    return "_deleted" in leaf and "merged" in leaf


def merged_away(leaf: Document, signer: signing.Signer) -> ChangeCounts | None:
    """The changes in the revision that a merge left this leaf of; None if that is not what it is."""
    if not (is_merged_away(leaf) and signing.verify(signer, leaf)):
        return None
    start, ids = leaf["_revisions"]["start"], leaf["_revisions"]["ids"]
    is_its_own = len(ids) > 1 and leaf["merged"]["rev"] == f"{start - 1}-{ids[1]}"
    return dict(leaf["merged"]["counts"]) if is_its_own else None


def _precedence(document: Document) -> tuple[int, str]:
    """CouchDB's order of live leaves, by which all servers choose the same winner."""
    return _generation_and_hash(document)


def _generation_and_hash(document: Document) -> tuple[int, str]:
    generation, _, revision_hash = document["_rev"].partition("-")
    return int(generation), revision_hash


def _newly_superseded(model_class: type[Model], merged: Leaf, leaves: Sequence[Leaf]) -> int:
    names = [name for name, one in model_class.properties.items() if isinstance(one.merge, Superseded)]
    known = {(name, value) for name in names for leaf in leaves for value in leaf.values[name]}
    return len({(name, value) for name in names for value in merged.values[name]} - known)
