"""Merging the attachments of conflicting revisions: the union, by their names.

Of two attachments with one name but another content, the merge keeps the one that was added later in its
branch, so that all masters keep the same. An attachment that one side deleted and the other kept comes back.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from tor_async_couchdb.model import Document
from tor_async_couchdb.wire.revision import generation_and_hash

# CouchDB's descriptions ("stubs") of attachments, by name: `content_type`, `digest`, `length`, `revpos`.
Stubs = Mapping[str, Mapping[str, Any]]


def merged_attachments(leaves: Iterable[Document]) -> Stubs:
    """The attachments that a merge of the leaves has, as the leaves describe them."""
    merged: dict[str, Mapping[str, Any]] = {}
    for leaf in leaves:
        for name, stub in stubs_of(leaf).items():
            if name not in merged or _rank(stub) > _rank(merged[name]):
                merged[name] = stub
    return merged


def stubs_of(document: Document) -> Stubs:
    """The descriptions of the document's attachments."""
    stubs: Stubs = document.get("_attachments", {})
    return stubs


def contents_of(attachments: Stubs) -> Mapping[str, tuple[str, str]]:
    """Digest and content type by name: what all masters see alike, unlike other members of a stub."""
    return {name: (stub["digest"], stub["content_type"]) for name, stub in attachments.items()}


def has_all(document: Document, attachments: Stubs) -> bool:
    """Whether the document has all of these attachments, with the same contents."""
    return contents_of(attachments).items() <= contents_of(stubs_of(document)).items()


def as_children_of(parent: Document, attachments: Stubs) -> Stubs:
    """The attachments as the revision after `parent` describes them.

    An attachment that the parent has keeps the parent's description. Another one is new in this branch, so
    its `revpos` is the generation of the new revision.
    """
    start, _ = generation_and_hash(parent["_rev"])
    return {
        name: stubs_of(parent)[name] if has_all(parent, {name: stub}) else {**stub, "revpos": start + 1}
        for name, stub in attachments.items()
    }


def new_attachments(revision: Document) -> Stubs:
    """Those attachments of a revision that its parent does not have."""
    start = revision["_revisions"]["start"]
    return {name: stub for name, stub in stubs_of(revision).items() if stub["revpos"] == start}


def _rank(stub: Mapping[str, Any]) -> tuple[int, str, str]:
    return stub["revpos"], stub["digest"], stub["content_type"]
