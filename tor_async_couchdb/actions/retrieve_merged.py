"""Retrievers that merge on read: whoever reads a document in conflict sees all changes, not some winner's.

    class AsyncFruitRetriever(AsyncMergedModelRetriever[Fruit]):
        model_class = Fruit

What was merged is written back before it is answered, so that a change can be made of it.
"""

from typing import Any, TypeVar

import msgspec

from tor_async_couchdb.actions.retrieve import (
    AsyncModelRetriever,
    AsyncModelsRetriever,
    BaseAsyncModelRetriever,
)
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.errors import InvalidDocumentError, TamperedError
from tor_async_couchdb.model.model import Document, Model

M = TypeVar("M", bound=Model)


class _MergingRetriever(BaseAsyncModelRetriever[M]):
    """Resolves the conflicts of what it reads; its subclasses need a `model_class`."""

    async def _resolved(self, connection: Database, doc: Document) -> Document | None:
        return await self._resolve(connection, doc["_id"]) if "_conflicts" in doc else doc

    async def _resolve(self, connection: Database, document_id: str) -> Document | None:
        model_classes = [] if self.model_class is None else [self.model_class]
        return await ConflictResolver(model_classes, database=connection).resolve(document_id)

    async def _read_document(self, connection: Database, document_id: str) -> M | None:
        doc = await self._resolve(connection, document_id)
        return None if doc is None else await self._verified_model(connection, doc)

    async def _rows(self, connection: Database, **options: Any) -> list[Row]:
        return await super()._rows(connection, conflicts=True, **options)


class AsyncMergedModelRetriever(_MergingRetriever[M], AsyncModelRetriever[M]):
    """Reads a model as `AsyncModelRetriever` does, and merges it where it is in conflict.

    `fetch` raises UnmergeableError beside what that one raises.
    """

    async def _find(self, connection: Database) -> Document | None:
        doc = await self._find_by_view(connection)  # which tells of conflicts, whatever the model's keys are
        return None if doc is None else await self._resolved(connection, doc)


class AsyncMergedModelsRetriever(_MergingRetriever[M], AsyncModelsRetriever[M]):
    """Reads models as `AsyncModelsRetriever` does, and merges those that are in conflict.

    One that can't be merged is left out, as one is that does not fit the model or was tampered with.
    """

    async def _rows(self, connection: Database, **options: Any) -> list[Row]:
        return [
            await self._with_resolved_doc(connection, row)
            for row in await super()._rows(connection, **options)
        ]

    async def _with_resolved_doc(self, connection: Database, row: Row) -> Row:
        if row.doc is None:
            return row
        try:
            return msgspec.structs.replace(row, doc=await self._resolved(connection, row.doc))
        except (InvalidDocumentError, TamperedError) as error:
            self._leave_out(connection, error)
            return msgspec.structs.replace(row, doc=None)
