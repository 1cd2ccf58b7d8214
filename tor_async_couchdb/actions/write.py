"""Actions that write a model or delete it."""

from typing import Generic, TypeVar

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model import Model

M = TypeVar("M", bound=Model)


class AsyncPersister(AsyncAction, Generic[M]):
    """Writes a model: creates it if it has no `rev`, else replaces the revision that was read."""

    def __init__(self, model: M, *, database: Database) -> None:
        super().__init__(database=database)
        self._model = model

    async def persist(self) -> M:
        """The model with its new `rev`, and with an `id` made by CouchDB if it had none.

        Raises:
            ConflictError: the document has changed since the model was read.
            InvalidDocumentError: the model can't be stored as JSON, or CouchDB reserves its id.
            SubjectErasedError: the model has something to encrypt, and its subject's data key was deleted.
            OutcomeUnknownError: the model may or may not have been written.
        """
        model, database = self._model, self.database
        if model.id is not None and model.id.startswith("_"):
            # Under _design/ CouchDB would take it for code, and under _local/ it would not replicate it.
            raise InvalidDocumentError("an id must not start with an underscore", document_id=model.id)
        # The id is known before the write, so that the signature covers it and the write can be looked up.
        document_id = model.id if model.id is not None else await database.new_document_id()
        doc = model.as_doc_for_store() | {"_id": document_id}
        rev = await database.save(await database.guard.seal(type(model), doc))
        for view, name in model.unique_keys.items():
            database.remember(view, doc[name], document_id)
        stored = model.replace(id=document_id, rev=rev)
        await database.guard.wrote(stored)
        return stored


class AsyncDeleter(AsyncAction):
    """Deletes the revision of a model that was read."""

    def __init__(self, model: Model, *, database: Database) -> None:
        super().__init__(database=database)
        self._model = model

    async def delete(self) -> None:
        """Deletes the document.

        Raises:
            ConflictError: the document has changed, or was deleted, since the model was read.
            InvalidDocumentError: the model was never stored.
            OutcomeUnknownError: the document may or may not have been deleted.
        """
        model = self._model
        if model.id is None or model.rev is None:
            raise InvalidDocumentError("was never stored, so it can't be deleted", document_id=model.id)
        await self.database.guard.deletes(model)
        await self.database.delete(model.id, model.rev)
        await self.database.guard.deleted(model)
