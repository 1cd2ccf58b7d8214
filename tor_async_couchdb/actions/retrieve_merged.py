"""Retrievers that merge on read: a document in conflict is read with all its changes.

    class AsyncFruitRetriever(AsyncMergedModelRetriever[Fruit]):
        ...

The merged document is written before it is returned, so that a change can be based on it.
"""

from typing import Any, TypeVar

import msgspec

from tor_async_couchdb.actions.retrieve import AsyncModelRetriever, AsyncModelsRetriever, AsyncViewRetriever
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Row
from tor_async_couchdb.errors import InvalidDocumentError, TamperedError
from tor_async_couchdb.model import Document, Model

M = TypeVar("M", bound=Model)


class _MergingRetriever(AsyncViewRetriever[M]):
    """Resolves the conflicts of the documents that it reads."""

    async def _resolved(self, doc: Document) -> Document | None:
        return await self._resolve(doc["_id"]) if "_conflicts" in doc else doc

    async def _resolve(self, document_id: str) -> Document | None:
        return await ConflictResolver([self.model_class], database=self.database).resolve(document_id)

    async def _read_document(self, document_id: str) -> M | None:
        doc = await self._resolve(document_id)
        return None if doc is None else await self._opened(doc)

    async def _rows(self, **options: Any) -> list[Row]:
        return await super()._rows(conflicts=True, **options)


class AsyncMergedModelRetriever(_MergingRetriever[M], AsyncModelRetriever[M]):
    """Reads a model as `AsyncModelRetriever` does, and merges it if it is in conflict.

    `fetch` may also raise UnmergeableError.
    """

    async def _find(self) -> Document | None:
        doc = await self._find_by_view()  # `_rows` has the view name the conflicts
        return None if doc is None else await self._resolved(doc)


class AsyncMergedModelsRetriever(_MergingRetriever[M], AsyncModelsRetriever[M]):
    """Reads models as `AsyncModelsRetriever` does, and merges those that are in conflict.

    A model that can't be merged is left out, as one that does not fit its model is.
    """

    async def _rows(self, **options: Any) -> list[Row]:
        return [await self._with_resolved_doc(row) for row in await super()._rows(**options)]

    async def _with_resolved_doc(self, row: Row) -> Row:
        if row.doc is None or row.error is not None:
            return row
        try:
            return msgspec.structs.replace(row, doc=await self._resolved(row.doc))
        except (InvalidDocumentError, TamperedError) as error:
            self._leave_out(error)
            return msgspec.structs.replace(row, doc=None)
