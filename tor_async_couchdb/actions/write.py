"""Actions that write a model, or delete it."""

from typing import Generic, TypeVar

import msgspec

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model.model import Model
from tor_async_couchdb.protection import signing

M = TypeVar("M", bound=Model)


class AsyncPersister(AsyncAction, Generic[M]):
    """Writes a model: creates it if it has no `rev`, else replaces the revision that it was read as."""

    def __init__(self, model: M, *, database: Database | None = None) -> None:
        super().__init__(database=database)
        self._model = model

    async def persist(self) -> M:
        """The model with its new `rev`, and its `id` where CouchDB had to choose one.

        Raises:
            ConflictError: somebody else changed the document since the model was read.
            InvalidDocumentError: the model can't be stored as JSON.
            ForgottenError: it has something to encrypt, and its subject has been forgotten.
            OutcomeUnknownError: it may or may not have been written.
        """
        async with self._connected() as connection:
            # The id is known before the write, so that a write can be looked up, and signed with its id.
            document_id = self._model.id if self._model.id is not None else await connection.new_document_id()
            doc = self._model.as_doc_for_store() | {"_id": document_id}
            doc = await connection.encryption.encrypted(type(self._model), doc)
            if connection.tampering_signer is not None:
                signing.sign(connection.tampering_signer, doc)
            rev = await connection.save(doc)
            for view, name in self._model.unique_keys.items():
                connection.remember(view, doc[name], document_id)
            stored = msgspec.structs.replace(self._model, id=document_id, rev=rev)
            if connection.witness is not None:
                await connection.witness.wrote(stored)
            return stored


class AsyncDeleter(AsyncAction):
    """Deletes the revision of a model that was read."""

    def __init__(self, model: Model, *, database: Database | None = None) -> None:
        super().__init__(database=database)
        self._model = model

    async def delete(self) -> None:
        """Deletes the document.

        Raises:
            ConflictError: somebody else changed or deleted the document since the model was read.
            InvalidDocumentError: the model was never stored.
            OutcomeUnknownError: it may or may not have been deleted.
        """
        if self._model.id is None or self._model.rev is None:
            raise InvalidDocumentError("was never stored, so it can't be deleted", document_id=self._model.id)
        async with self._connected() as connection:
            if connection.witness is None:
                await connection.delete(self._model.id, self._model.rev)
                return
            await connection.witness.deletes(self._model)
            await connection.delete(self._model.id, self._model.rev)
            await connection.witness.deleted(self._model)
