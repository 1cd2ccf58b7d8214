"""Models that outlast their deletion: the tombstone keeps them, and no document takes its place.

For services that have to know, after a document was deleted, what was done to it before.
"""

import contextlib
from typing import Generic, TypeVar

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.actions.retrieve import AsyncModelRetrieverByDocumentID
from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.leaf import is_undone
from tor_async_couchdb.documents.nonces import nonces_of
from tor_async_couchdb.documents.writer import replaced
from tor_async_couchdb.errors import ConflictError, InvalidDocumentError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.wire.revision import generation_and_hash

M = TypeVar("M", bound=Model)


class AsyncLastingModelRetriever(AsyncModelRetrieverByDocumentID[M]):
    """Reads the model that is stored under a document's id, or was when `AsyncLastingDeleter` deleted it."""

    async def fetch_also_deleted(self) -> M | None:
        """The model; None if there never was one, or if another program has deleted it.

        The model itself has to say that it is deleted. Raises as `fetch` does.
        """
        model = await self.fetch()
        if model is not None:
            return model
        leaves = [leaf for leaf in await self.database.fetch_leaves(self._document_id) if not is_undone(leaf)]
        if not leaves:
            return None
        newest = max(leaves, key=_rank)
        # What another program leaves of a document that it deletes has no type.
        return await self._opened(newest) if "type" in newest else None


def _rank(leaf: Document) -> tuple[bool, tuple[int, str]]:
    return "_deleted" not in leaf, generation_and_hash(leaf["_rev"])


class AsyncLastingDeleter(AsyncAction, Generic[M]):
    """Deletes the revision of a model that was read; the tombstone keeps the model as it is given."""

    def __init__(self, model: M, *, database: Database) -> None:
        super().__init__(database=database)
        self._model = model

    async def delete(self) -> M:
        """The model, which only the tombstone has now.

        Raises:
            ConflictError: the document has changed, or was deleted, since the model was read.
            InvalidDocumentError: the model was never stored.
            OutcomeUnknownError: the document may or may not have been deleted.
        """
        model, database = self._model, self.database
        if model.id is None or model.rev is None:
            raise InvalidDocumentError("was never stored, so it can't be deleted", document_id=model.id)
        await database.guard.deletes(model)
        doc = await database.prepared(model.as_doc_for_store() | {"_deleted": True})
        await database.store(await database.guard.seal(type(model), doc))
        await database.guard.deleted(model)
        return model


class AsyncFirstPersister(AsyncAction, Generic[M]):
    """Creates a model, unless there is, or ever was, one that `retriever` finds under the same id."""

    def __init__(self, model: M, retriever: AsyncLastingModelRetriever[M]) -> None:
        super().__init__(database=retriever.database)
        self._model = model
        self._retriever = retriever

    async def persist(self) -> M:
        """The model that is or was the first under the id: the given one as it is stored, or another one.

        Raises:
            ConflictError: another program's document has, or had, the id.
            InvalidDocumentError: the model has no id, can't be stored as JSON, or CouchDB reserves its id.
            OutcomeUnknownError: the model may or may not have been written.
        """
        document_id = self._model.id
        if document_id is None or self._model.rev is not None:
            raise InvalidDocumentError("needs an id and no rev to be the first", document_id=document_id)
        if not await self.database.fetch_leaves(document_id):
            with contextlib.suppress(ConflictError):
                return await self._create()
        first = await self._retriever.fetch_also_deleted()
        if first is None:
            raise replaced({"_id": document_id})
        return first

    async def _create(self) -> M:
        stored = await AsyncPersister(self._model, database=self.database).persist()
        if _is_child_of_a_tombstone(stored):
            await self._delete_again(stored)
            raise replaced({"_id": stored.id})
        return stored

    async def _delete_again(self, stored: M) -> None:
        """Puts the tombstone back that CouchDB has made the parent of a new document.

        Others have created and deleted the document since this action has looked for it.
        """
        document_id = str(stored.id)
        leaves = await self.database.fetch_leaves(document_id)
        history = next(leaf["_revisions"] for leaf in leaves if leaf["_rev"] == stored.rev)
        parent_rev = f"{history['start'] - 1}-{history['ids'][1]}"
        tombstone = await self.database.fetch_revision(document_id, parent_rev)
        open_document = await self.database.guard.opener(type(stored), [tombstone])
        before = type(stored).from_doc(open_document(tombstone))
        again = before.replace(rev=stored.rev, write_nonces=stored.write_nonces)
        await AsyncLastingDeleter(again, database=self.database).delete()


def _is_child_of_a_tombstone(stored: Model) -> bool:
    # Each revision since the first has a nonce: one, and on a cluster those of its pads.
    generation, _ = generation_and_hash(str(stored.rev))
    return generation > len(nonces_of(stored.as_doc_for_store()))
