"""The part of CouchDB that conflicts need, in memory: revision trees, MVCC and replication."""

import hashlib
from typing import Any, Self

import msgspec

from tor_async_couchdb.model import Document


class StaleRevisionError(Exception):
    pass


class RevisionTrees:
    """One master's database. A revision's name is a hash of its body and its parent."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Document]] = {}
        self._parents: dict[str, dict[str, str | None]] = {}

    def copy(self) -> Self:
        """A copy with the same revisions."""
        other = type(self)()
        other.bodies = {document_id: dict(bodies) for document_id, bodies in self.bodies.items()}
        other._parents = {document_id: dict(parents) for document_id, parents in self._parents.items()}
        return other

    def leaves(self, document_id: str) -> list[Document]:
        parents = set(self._parents.get(document_id, {}).values())
        return [body for rev, body in self.bodies.get(document_id, {}).items() if rev not in parents]

    def live_leaves(self, document_id: str) -> list[Document]:
        return [leaf for leaf in self.leaves(document_id) if not leaf.get("_deleted")]

    def save(self, document: Document) -> str:
        parent = document.get("_rev")
        leaves = [leaf["_rev"] for leaf in self.leaves(document["_id"])]
        if (parent not in leaves) if parent is not None else leaves:
            raise StaleRevisionError
        generation = 1 if parent is None else int(parent.partition("-")[0]) + 1
        text = msgspec.json.encode([parent, document])
        rev = f"{generation}-{hashlib.md5(text, usedforsecurity=False).hexdigest()}"
        self._add(document | {"_rev": rev}, parent)
        return rev

    def insert(self, revision: Document) -> None:
        start, hashes = revision["_revisions"]["start"], revision["_revisions"]["ids"]
        stored = {name: value for name, value in revision.items() if name != "_revisions"}
        self._add(stored, f"{start - 1}-{hashes[1]}")

    def pull(self, source: "RevisionTrees", document_id: str, revs: set[str] | None = None) -> None:
        """Replicates a document from `source`: all of it, or the branches of the given leaves."""
        for leaf in source.leaves(document_id):
            rev = leaf["_rev"]
            while (revs is None or leaf["_rev"] in revs) and rev is not None:
                self._add(source.bodies[document_id][rev], source._parents[document_id][rev])
                rev = source._parents[document_id][rev]

    def _add(self, document: dict[str, Any], parent: str | None) -> None:
        document_id, rev = document["_id"], document["_rev"]
        known = self.bodies.setdefault(document_id, {}).setdefault(rev, document)
        assert known == document, "two bodies under one name"
        self._parents.setdefault(document_id, {})[rev] = parent
