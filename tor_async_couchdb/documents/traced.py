"""A database that also reports how long each read and each write of its callers took."""

import time
from collections.abc import Callable
from typing import Any

from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.errors import ConflictError
from tor_async_couchdb.model import Document


class TracedDatabase(Database):
    """A `Database` whose observers learn of `document_read` and `document_written`.

    They are the reads and writes of each caller. A request to CouchDB may serve several of them.
    """

    async def fetch(self, document_id: str) -> Document:
        """See `Database.fetch`."""
        started_s = time.monotonic()
        try:
            return await super().fetch(document_id)
        finally:
            self._read(document_id, started_s)

    async def find(self, design_doc: str, key: str, has_key: Callable[[Document], bool]) -> Document | None:
        """See `Database.find`."""
        started_s, document = time.monotonic(), None
        try:
            document = await super().find(design_doc, key, has_key)
            return document
        finally:
            self._read(None if document is None else document["_id"], started_s)

    async def query_view(self, design_doc: str, **options: Any) -> list[Row]:
        """See `Database.query_view`."""
        started_s = time.monotonic()
        try:
            return await super().query_view(design_doc, **options)
        finally:
            self._read(None, started_s)

    async def fetch_conflict(self, document_id: str) -> list[Document]:
        """See `Database.fetch_conflict`."""
        started_s = time.monotonic()
        try:
            return await super().fetch_conflict(document_id)
        finally:
            self._read(document_id, started_s)

    async def prepared(self, document: Document, *, is_new: bool = False) -> Document:
        """See `Database.prepared`. On a cluster it may refuse a write."""
        started_s = time.monotonic()
        try:
            return await super().prepared(document, is_new=is_new)
        except ConflictError:
            duration_s = time.monotonic() - started_s
            self.observer.document_written(document["_id"], duration_s, is_conflict=True)
            raise

    async def store(self, document: Document) -> Document:
        """See `Database.store`."""
        started_s, is_conflict = time.monotonic(), False
        try:
            return await super().store(document)
        except ConflictError:
            is_conflict = True
            raise
        finally:
            duration_s = time.monotonic() - started_s
            self.observer.document_written(document["_id"], duration_s, is_conflict=is_conflict)

    def _read(self, document_id: str | None, started_s: float) -> None:
        self.observer.document_read(document_id, time.monotonic() - started_s)
