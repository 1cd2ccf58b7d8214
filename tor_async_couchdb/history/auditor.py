"""Comparing what changes in a database with its signatures and its witness, also where nobody reads."""

import functools
from collections.abc import Iterable, Sequence

from tor_async_couchdb.actions.model_reader import ModelReader
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import IncompleteError, InvalidDocumentError, TamperedError
from tor_async_couchdb.history.masters_witness import MastersWitness, check_witnessable
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.protection.encryption import Decrypt


class Auditor(ModelReader[Model]):
    """Sounds the alarm about documents that were tampered with, and has the others witnessed as they are.

    Raises:
        TypeError: the models can't be witnessed on several masters.
    """

    def __init__(
        self, model_classes: Iterable[type[Model]], witness: MastersWitness, *, database: Database
    ) -> None:
        super().__init__(database=database)
        self._model_classes = {model_class.type_name(): model_class for model_class in model_classes}
        for model_class in self._model_classes.values():
            check_witnessable(model_class)
        self._resolver = ConflictResolver(self._model_classes.values(), database=database)
        self._witness = witness
        self._audited = database

    async def audit(self, document_id: str) -> None:
        """Looks at a document that has changed, or was deleted.

        Raises:
            CouchDBError: the database or the witness can't be asked.
        """
        read = functools.partial(self._read, document_id)
        try:
            model = await self._witness.confirmed(await read(), f"id/{document_id}", read)
        except TamperedError as error:
            self._audited.tampering_detected(error)
        except (IncompleteError, InvalidDocumentError):
            return  # what it lacks will be a change, and somebody else says what doesn't fit its model
        else:
            if model is not None:
                await self._witness.wrote(model)

    def create_model_from_doc(self, doc: Document) -> Model:
        """A model of the class for the document's type."""
        return self._model_classes[doc["type"]].from_doc(doc)

    async def _decrypter(self, connection: Database, docs: Sequence[Document]) -> Decrypt:
        (doc,) = docs
        return await connection.encryption.decrypter(self._model_classes[doc["type"]], docs)

    async def _read(self, document_id: str) -> Model | None:
        doc = await self._resolver.resolve(document_id)
        is_known = doc is not None and doc.get("type") in self._model_classes
        return await self._verified_model(self._audited, doc) if doc is not None and is_known else None
