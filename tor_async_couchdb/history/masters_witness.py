"""A witness for several databases that all accept writes and replicate with each other.

A replica may lag behind for any time, so what one master wrote says nothing about another's database. But
within one database changes never become fewer, of whichever master or process: its live leaves together have
at least those that they had before. So a record keeps, for each master, how far the document had come *in
that master's database*, and a master compares only with its own part.

Changes disappear legitimately in two ways, and both leave evidence that can't be forged. A service that
deletes a document first records the deletion, with the changes that the document had: these may be missing
anywhere. And a merge leaves a tombstone of each revision that it took in, which may be replicated before the
merged revision is: a signed tombstone says which changes those were. If only such changes are missing, the
document is not complete yet.

So there is no false alarm, however long the links are cut. The price: a document that is put back after its
deletion looks like one that another master has not deleted yet.
"""

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from tor_async_couchdb.conflicts.counts import ChangeCounts, counts_of, highest_of, missing_from
from tor_async_couchdb.conflicts.plan import counts_in_tombstone
from tor_async_couchdb.errors import NotYetReplicatedError, TamperedError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.history.witness import BaseWitness, WitnessStore
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import CountedOnce, Counter, OnDeleteConflict
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import Signer

_TYPE = "masters_witness_v1.0"
# Stands beside the counts and says that the document exists. No master and no process has this name.
_EXISTS = {"": 0}


class MastersWitness(BaseWitness):
    """The witness of the database that is named `master` among those that share the store."""

    def __init__(self, store: WitnessStore, signer: Signer, master: str) -> None:
        super().__init__(store, signer)
        self._master = master

    async def wrote(self, model: Model) -> None:
        """See `BaseWitness.wrote`."""
        await self._record_afterwards(model, self._record_counts(model, _with_seen, self._master))

    async def deletes(self, model: Model) -> None:
        """Records that the changes of the model may disappear; raises a CouchDBError if it can't."""
        await self._record_counts(model, _with_deletion)

    async def deleted(self, model: Model) -> None:
        """Records nothing: another master may not have the deletion yet, and bring the document back."""

    def _record_id(self, model: Model | None, sought: Sought) -> str | None:
        """All records are under document ids, as unique keys are not unique across masters."""
        if model is not None:
            return f"id/{model.id}"
        return f"id/{sought.key}" if sought.view is None else None

    async def _record_counts(self, model: Model, following: Callable[..., Document], *which: str) -> None:
        counts = _EXISTS | _counts(model)
        base: dict[str, Any] = {"type": _TYPE, "document_id": model.id, "seen": {}, "deletion": {}}

        def follow(record: Document | None) -> Document | None:
            before = base if record is None else {name: record[name] for name in base}
            after = following(before, counts, *which)
            return None if after == before else after

        await self._update(f"id/{model.id}", follow)

    def _is_behind(self, model: Model | None, record: Document) -> bool:
        return bool(self._missing(model, record))

    def _missing(self, model: Model | None, record: Document) -> ChangeCounts:
        seen: ChangeCounts = record["seen"].get(self._master, {})
        there = {} if model is None else _EXISTS | _counts(model)
        return missing_from(highest_of([there, record["deletion"]]), seen)

    async def _raise_for(
        self,
        model: Model | None,
        record: Document,
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> NoReturn:
        document_id: str = record["document_id"]
        merged = highest_of(
            _EXISTS | counts
            for leaf in await fetch_leaves(document_id)
            if signing.verify(self._signer, leaf) and (counts := counts_in_tombstone(leaf)) is not None
        )
        if not missing_from(merged, self._missing(model, record)):
            raise NotYetReplicatedError(document_id)
        raise TamperedError(document_id)


def check_witnessable(model_class: type[Model]) -> None:
    """Checks that documents of the model never lose changes by themselves.

    Raises:
        TypeError: the model counts no changes on several masters, or keeps deletions that conflict with them.
    """
    merges = [declared.merge for declared in model_class.properties.values()]
    if (
        not any(isinstance(merge, Counter | CountedOnce) for merge in merges)
        or model_class.on_delete_conflict is OnDeleteConflict.KEEP_DELETION
    ):
        raise TypeError(
            f"{model_class.__name__} needs a Counter or CountedOnce, and must not keep deletions,"
            " to be witnessed"
        )


def _counts(model: Model) -> ChangeCounts:
    return counts_of(type(model), model.as_doc_for_store())


def _with_seen(record: Document, counts: ChangeCounts, master: str) -> dict[str, Any]:
    seen = record["seen"]
    return record | {"seen": seen | {master: highest_of([seen.get(master, {}), counts])}}


def _with_deletion(record: Document, counts: ChangeCounts) -> dict[str, Any]:
    return record | {"deletion": highest_of([record["deletion"], counts])}
