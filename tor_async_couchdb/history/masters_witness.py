"""A witness for several databases that all take writes and replicate with each other.

A replica may lag behind as long as it likes, so what one master wrote says nothing about another's database.
But no database ever has less than it had: its live leaves together have at least the changes of each master
that they had before. So the record of a document keeps for each master how far the document had come *in that
master's database*, and a master compares with its own only.

Changes vanish in good order in two ways, and both leave a trace that can't be forged. Who deletes a document
says so in its record before, with the changes that it had: none of these is missed anywhere. And a merge
leaves a tombstone of each revision that it took in, which might be replicated before the merged revision is:
where it is signed, it says which changes those were. What lacks only these is not complete yet.

So there is no false alarm, however long the links are cut. What has to be missed for it: a document that is
put back after its deletion looks like one that another master has not deleted yet.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from tor_async_couchdb.conflicts.counts import ChangeCounts, counts_of, highest_of
from tor_async_couchdb.conflicts.plan import merged_away
from tor_async_couchdb.errors import IncompleteError, TamperedError
from tor_async_couchdb.history.witness import BaseWitness, WitnessStore
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.model.properties import Counter, Deletes
from tor_async_couchdb.protection.signing import Signer

if TYPE_CHECKING:
    from tor_async_couchdb.documents.database import Database

_TYPE = "masters_witness_v1.0"
# Beside the masters' counts: that the document is there at all. No master has this name.
_EXISTS = {"": 0}

M = TypeVar("M", bound=Model)


class MastersWitness(BaseWitness):
    """The witness of the database that is called `master` among those that share the store."""

    def __init__(self, store: WitnessStore, signer: Signer, master: str, *, database: Database) -> None:
        super().__init__(store, signer)
        self._master = master
        self._database = database

    async def wrote(self, model: Model) -> None:
        """Remembers what is in the master's database. If it can't, it logs that: the model is stored."""
        await self._remember_afterwards(model, self._remember_counts(model, _with_seen, self._master))

    async def deletes(self, model: Model) -> None:
        """Remembers that these changes may go; raises a CouchDBError if it can't."""
        await self._remember_counts(model, _with_deletion)

    async def deleted(self, model: Model) -> None:
        """Nothing: another master may not have deleted it yet, and bring it back by changing it."""

    async def confirmed(
        self, model: M | None, record_id: str, read: Callable[[], Awaitable[M | None]]
    ) -> M | None:
        """See `BaseWitness.confirmed`; all records are under documents' ids.

        Raises:
            IncompleteError: changes are missing that were merged on another master.
        """
        return await super().confirmed(model, record_id if model is None else f"id/{model.id}", read)

    async def _remember_counts(self, model: Model, following: Callable[..., Document], *which: str) -> None:
        counts = _EXISTS | _counts(model)
        base: dict[str, Any] = {"type": _TYPE, "document_id": model.id, "seen": {}, "deletion": {}}

        def follow(record: Document | None) -> Document | None:
            before = base if record is None else {name: record[name] for name in base}
            after = following(before, counts, *which)
            return None if after == before else after

        await self._remember(f"id/{model.id}", follow)

    def _is_behind(self, model: Model | None, record: Document) -> bool:
        return bool(self._missing(model, record))

    def _missing(self, model: Model | None, record: Document) -> ChangeCounts:
        seen: ChangeCounts = record["seen"].get(self._master, {})
        there = {} if model is None else _EXISTS | _counts(model)
        allowed = highest_of([there, record["deletion"]])
        return {master: count for master, count in seen.items() if count > allowed.get(master, -1)}

    async def _accuse(self, model: Model | None, record: Document) -> NoReturn:
        document_id: str = record["document_id"]
        merged = highest_of(
            _EXISTS | counts
            for leaf in await self._database.fetch_leaves(document_id)
            if (counts := merged_away(leaf, self._signer)) is not None
        )
        if all(count <= merged.get(master, -1) for master, count in self._missing(model, record).items()):
            raise IncompleteError(document_id)
        raise TamperedError(document_id)


def check_witnessable(model_class: type[Model]) -> None:
    """Makes sure that documents of the model never lose changes by themselves.

    Raises:
        TypeError: it counts none by master, or its deletions win over changes made elsewhere.
    """
    merges = [declared.merge for declared in model_class.properties.values()]
    if not any(isinstance(merge, Counter) for merge in merges) or model_class.deletes is Deletes.WIN:
        raise TypeError(f"{model_class.__name__} needs a Counter, and deletions that lose, to be witnessed")


def _counts(model: Model) -> ChangeCounts:
    return counts_of(type(model), model.as_doc_for_store())


def _with_seen(record: Document, counts: ChangeCounts, master: str) -> dict[str, Any]:
    seen = record["seen"]
    return record | {"seen": seen | {master: highest_of([seen.get(master, {}), counts])}}


def _with_deletion(record: Document, counts: ChangeCounts) -> dict[str, Any]:
    return record | {"deletion": highest_of([record["deletion"], counts])}
