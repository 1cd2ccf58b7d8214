"""Revisions: their names, such as `3-b1946ac9…`, and how to make one outside of CouchDB."""

import hashlib
from collections.abc import Mapping
from typing import Annotated

import msgspec

from tor_async_couchdb.model import Document
from tor_async_couchdb.model.canonical import canonical_bytes

# A generation, which `int` converts whatever a server makes of it, and a hash.
Rev = Annotated[str, msgspec.Meta(pattern=r"\A[0-9]{1,18}-\S+\Z")]


def generation_and_hash(rev: str) -> tuple[int, str]:
    """The two parts of a revision's name; in their order CouchDB ranks the live leaves of a document.

    https://docs.couchdb.org/en/stable/replication/conflicts.html
    """
    generation, _, revision_hash = rev.partition("-")
    return int(generation), revision_hash


def child(parent: Document, body: Mapping[str, object], *also_named_after: object) -> Document:
    """`body` as the revision after `parent`, with the name that each program gives it that makes it.

    Its name is a hash of the parent, the body, and what else decides it.
    """
    start, parent_hash = generation_and_hash(parent["_rev"])
    named_after = [parent["_rev"], body, *also_named_after]
    revision_hash = hashlib.sha256(canonical_bytes(named_after)).hexdigest()[:32]
    return {
        **body,
        "_id": parent["_id"],
        "_rev": f"{start + 1}-{revision_hash}",
        "_revisions": {"start": start + 1, "ids": [revision_hash, parent_hash]},
    }
