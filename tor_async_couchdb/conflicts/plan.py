"""How a document's conflict ends: which revisions each master inserts, all of them the same.

A revision's name is made from its parent and its body, so masters that merge the same leaves write the same
revisions. They are inserted as a replicator inserts revisions of another server (`new_edits: false`): this
loses nothing, a concurrent change only makes another conflict, and inserting them twice changes nothing.

A leaf is deleted only in favour of one that has all its changes and attachments; of two equal leaves the one
with the lower revision is deleted. So no two masters delete each other's leaf, and the process ends.
"""

import dataclasses
from collections.abc import Callable, Sequence

from tor_async_couchdb.conflicts.attachments import (
    Stubs,
    as_children_of,
    contents_of,
    has_all,
    merged_attachments,
)
from tor_async_couchdb.conflicts.counts import ChangeCounts, counts_of
from tor_async_couchdb.conflicts.merge import Leaf, merge
from tor_async_couchdb.documents import nonces
from tor_async_couchdb.documents.leaf import is_undone
from tor_async_couchdb.guard import Open
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import OnDeleteConflict, Superseded
from tor_async_couchdb.wire.revision import child, generation_and_hash

Sign = Callable[[Document], Document]


@dataclasses.dataclass(frozen=True, slots=True)
class Resolution:
    """How a conflict ends: with `document`, or with None if the document is deleted.

    `revisions` are to be inserted for that. `superseded_count` values lose to later ones.
    """

    document: Document | None
    revisions: Sequence[Document] = ()
    superseded_count: int = 0


def resolve(
    model_class: type[Model],
    leaves: Sequence[Document],
    open_document: Open = dict,
    sign: Sign = dict,
) -> Resolution:
    """How the conflict between the leaf revisions of a document ends; no `revisions` if there is no conflict.

    Tombstones matter only if the model keeps deletions. Leaves are compared as `open_document` opens them.
    The revisions contain the ciphertexts of the leaves, never new ones, and `sign` signs them. Of an
    attachment that is new in its branch (see `new_attachments`) they have the description, without the data.

    Raises:
        TamperedError: a leaf was tampered with.
        UnmergeableError: the model does not say how the leaves merge.
        InvalidDocumentError: a leaf does not fit the model.
    """
    live = [leaf for leaf in leaves if "_deleted" not in leaf]
    deletions = [leaf for leaf in leaves if is_deletion(leaf)]
    if model_class.on_delete_conflict is OnDeleteConflict.KEEP_DELETION and deletions:
        for leaf in live:
            open_document(leaf)
        return Resolution(None, [_tombstone(model_class, leaf, sign) for leaf in live])
    if not live:
        return Resolution(None)
    readable = [Leaf.of(model_class, leaf, open_document) for leaf in live]
    merged = merge(model_class, readable)
    attachments = merged_attachments(live)
    complete = [
        leaf.document
        for leaf in readable
        if leaf.canonical_values == merged.canonical_values and has_all(leaf.document, attachments)
    ]
    winner = max(complete or live, key=_rank)
    losers = [leaf for leaf in live if leaf["_rev"] != winner["_rev"]]
    tombstones = [_tombstone(model_class, leaf, sign) for leaf in losers]
    superseded_count = _newly_superseded(model_class, merged, readable)
    if complete:
        return Resolution(winner, tombstones, superseded_count)
    body = {"_id": winner["_id"], **merged.document, **nonces.merged(live)}
    revision = _with_attachments(winner, sign(body), attachments)
    document = {name: value for name, value in revision.items() if name != "_revisions"}
    return Resolution(document, [revision, *tombstones], superseded_count)


def _with_attachments(parent: Document, body: Document, attachments: Stubs | None) -> Document:
    """The revision after `parent` that keeps the attachments of all leaves."""
    if not attachments:
        return child(parent, body)
    revision = child(parent, body, contents_of(attachments))
    return revision | {"_attachments": as_children_of(parent, attachments)}


def _tombstone(model_class: type[Model], leaf: Document, sign: Sign) -> Document:
    merged = {"rev": leaf["_rev"], "counts": counts_of(model_class, leaf)}
    return child(leaf, sign({"_id": leaf["_id"], "_deleted": True, "type": leaf["type"], "merged": merged}))


def is_deletion(leaf: Document) -> bool:
    """Whether a client deleted the document in this leaf."""
    return "_deleted" in leaf and not is_merge_tombstone(leaf) and not is_undone(leaf)


def is_merge_tombstone(leaf: Document) -> bool:
    """Whether a merge deleted the leaf, because another one has all its changes."""
    return "_deleted" in leaf and "merged" in leaf


def counts_in_tombstone(leaf: Document) -> ChangeCounts | None:
    """The changes in the revision that a merge deleted; None if the leaf is no tombstone of a merge.

    Whether the tombstone's signature is right is for the caller to check.
    """
    if not (is_merge_tombstone(leaf) and isinstance(leaf["merged"], dict)):
        return None
    start, ids = leaf["_revisions"]["start"], leaf["_revisions"]["ids"]
    is_of_parent = len(ids) > 1 and leaf["merged"].get("rev") == f"{start - 1}-{ids[1]}"
    return dict(leaf["merged"]["counts"]) if is_of_parent else None


def _rank(document: Document) -> tuple[int, str]:
    return generation_and_hash(document["_rev"])


def _newly_superseded(model_class: type[Model], merged: Leaf, leaves: Sequence[Leaf]) -> int:
    names = [name for name, one in model_class.properties.items() if isinstance(one.merge, Superseded)]
    known = {(name, value) for name in names for leaf in leaves for value in leaf.values[name]}
    return len({(name, value) for name in names for value in merged.values[name]} - known)
