"""Checks documents that change by their signatures and the witness, even if no service reads them."""

import functools
from collections.abc import Iterable

from tor_async_couchdb.conflicts.resolver import ConflictResolver, by_type
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import InvalidDocumentError, NotYetReplicatedError, TamperedError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.history.masters_witness import check_witnessable
from tor_async_couchdb.model import Model


class Auditor:
    """Reports documents that were tampered with, and has the witness record the others.

    Raises:
        TypeError: a model can't be witnessed on several masters.
    """

    def __init__(self, model_classes: Iterable[type[Model]], *, database: Database) -> None:
        classes = list(model_classes)
        self._model_classes = by_type(classes)
        for model_class in classes:
            check_witnessable(model_class)
        self._resolver = ConflictResolver(classes, database=database)
        self._database = database

    async def audit(self, document_id: str) -> None:
        """Checks a document that was changed or deleted.

        Raises:
            CouchDBError: the database or the witness can't be asked.
        """
        database = self._database
        read = functools.partial(self._read, document_id)
        try:
            model = await database.guard.check_not_rolled_back(
                await read(), Sought(None, None, document_id), read, database.fetch_leaves
            )
        except TamperedError as error:
            database.guard.report_tampering(error, database.observer)
        except (NotYetReplicatedError, InvalidDocumentError):
            return  # the missing changes will arrive as a change; a misfit is reported by the readers
        else:
            if model is not None:
                await database.guard.wrote(model)

    async def _read(self, document_id: str) -> Model | None:
        doc = await self._resolver.resolve(document_id)
        model_class = None if doc is None else self._model_classes.get(str(doc.get("type")))
        if doc is None or model_class is None:
            return None
        open_document = await self._database.guard.opener(model_class, [doc])
        return model_class.from_doc(open_document(doc))
