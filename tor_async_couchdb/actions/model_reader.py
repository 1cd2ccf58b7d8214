"""The base of the actions that read: documents that become models, once nothing speaks against them."""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import IncompleteError, InvalidDocumentError, NotFoundError, TamperedError
from tor_async_couchdb.history.witness import record_id_of
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.encryption import Decrypt

# CouchDB's reasons for a 404 on a document; those on a database or a view are others, and errors.
_NO_SUCH_DOCUMENT = ("missing", "deleted")

_logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)


class ModelReader(AsyncAction, Generic[M]):
    """Makes models of documents. A subclass says which, by `model_class` or by overriding the method."""

    model_class: type[M] | None = None

    def create_model_from_doc(self, doc: Document) -> M:
        """Override it where a document's type decides the class."""
        if self.model_class is None:
            raise TypeError(f"{type(self).__name__} needs a model_class")
        return self.model_class.from_doc(doc)

    async def _verified_model(self, connection: Database, doc: Document) -> M:
        return self._readable_model(connection, doc, await self._decrypter(connection, [doc]))

    async def _decrypter(self, connection: Database, docs: Sequence[Document]) -> Decrypt:
        if self.model_class is None:
            return dict
        return await connection.encryption.decrypter(self.model_class, docs)

    def _readable_model(self, connection: Database, doc: Document, decrypt: Decrypt) -> M:
        signer = connection.tampering_signer
        if signer is not None and not signing.verify(signer, doc):
            raise TamperedError(str(doc.get("_id")))
        return self.create_model_from_doc(decrypt(doc))

    async def _valid_models(self, connection: Database, docs: Sequence[Document]) -> list[M]:
        """The models of those documents that fit and weren't tampered with."""
        decrypt = await self._decrypter(connection, docs)
        valid = [self._valid_model(connection, doc, decrypt) for doc in docs]
        # Without a witness there is nothing to wait for.
        models = (
            [await each for each in valid] if connection.witness is None else await asyncio.gather(*valid)
        )
        return [model for model in models if model is not None]

    async def _valid_model(self, connection: Database, doc: Document, decrypt: Decrypt) -> M | None:
        try:
            model = self._readable_model(connection, doc, decrypt)
            read = functools.partial(self._read_document, connection, doc["_id"])
            return await self._confirmed(connection, model, None, read)
        except (TamperedError, IncompleteError, InvalidDocumentError) as error:
            self._leave_out(connection, error)
        return None

    def _leave_out(
        self, connection: Database, error: TamperedError | IncompleteError | InvalidDocumentError
    ) -> None:
        if isinstance(error, TamperedError):
            connection.tampering_detected(error)
            deadline.current().tampered_count += 1
        else:
            _logger.error("left out of a list: %s", error)
        connection.observer.document_left_out(error)

    async def _confirmed(
        self,
        connection: Database,
        model: M | None,
        absent_record_id: str | None,
        read: Callable[[], Awaitable[M | None]],
    ) -> M | None:
        """The model unless its witness says otherwise; `absent_record_id` is what isn't there known by."""
        record_id = absent_record_id if model is None else record_id_of(model)
        if connection.witness is None or record_id is None:
            return model
        return await connection.witness.confirmed(model, record_id, read)

    async def _read_document(self, connection: Database, document_id: str) -> M | None:
        try:
            doc = await connection.fetch(document_id)
        except NotFoundError as error:
            if error.reason in _NO_SUCH_DOCUMENT:
                return None
            raise
        return await self._verified_model(connection, doc)
