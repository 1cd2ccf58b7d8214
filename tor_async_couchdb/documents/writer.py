"""Writing documents: one write of a document at a time, by the rule that the database needs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.nonces import Nonces
from tor_async_couchdb.errors import ConflictError, ConnectError
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer


class Rule(Protocol):
    """How a database is written to: `SingleCopyWriter`, or `Sealer` on a cluster."""

    @property
    def nonces(self) -> Nonces:
        """What makes the nonces of this database's writes."""

    async def base_of_new(self, document_id: str) -> Document:
        """What a new document under an id of the caller's choice needs beside its content."""

    async def write(self, document: Document, observer: Observer) -> Document:
        """Writes a document that has its nonce; returns it as it is stored.

        Raises as `Database.save` does.
        """


class DocumentWriter:
    """Writes documents by the rule that `choose` returns; it is asked before each write, and may raise."""

    def __init__(self, choose: Callable[[], Awaitable[Rule]]) -> None:
        self._choose = choose
        # The writes in flight, by id; the result is the parent revision if it is replaced, else None.
        self._in_flight: dict[str, asyncio.Future[str | None]] = {}

    async def prepared(self, document: Document, observer: Observer, *, is_new: bool) -> Document:
        """The document with the nonce of a new write of it, and with what else the rule needs.

        With `is_new` there never was a document under its id. `observer` learns of conflicts.

        Raises:
            ConflictError: there is such a document, and this one has no `_rev`.
        """
        rule = await self._choose()
        try:
            base = {} if is_new or "_rev" in document else await rule.base_of_new(document["_id"])
        except ConflictError:
            observer.write_conflicted()
            raise
        return rule.nonces.added_to(document | base)

    async def write(self, document: Document, observer: Observer) -> Document:
        """Writes a prepared document; returns it as it is stored. `observer` learns of conflicts and retries.

        Raises:
            ConflictError: the document's `_rev` is not the current one.
            InvalidDocumentError: the document is not JSON.
            OutcomeUnknownError: the document may or may not have been written.
        """
        parent = document.get("_rev")
        try:
            if parent is None:
                return await (await self._choose()).write(document, observer)
            return await self._write_in_turn(document, parent, observer)
        except ConflictError:
            observer.write_conflicted()
            raise

    async def _write_in_turn(self, document: Document, parent: str, observer: Observer) -> Document:
        """Writes a document alone, unless another caller has replaced its parent: then CouchDB is not asked.

        Otherwise the writes that lose would queue up, and those behind them would be stale when they are
        sent. On a cluster a write may also be based on one that is not acknowledged yet; to let that one end
        first costs fewer requests than to meet it.
        """
        document_id = document["_id"]
        while document_id in self._in_flight:
            if await _parent_replaced_by(self._in_flight[document_id]) == parent:
                raise replaced(document)
        own = self._in_flight[document_id] = asyncio.get_running_loop().create_future()
        try:
            stored = await (await self._choose()).write(document, observer)
        except BaseException as error:
            own.set_result(parent if isinstance(error, ConflictError) else None)
            raise
        else:
            own.set_result(parent)
            return stored
        finally:
            del self._in_flight[document_id]


async def _parent_replaced_by(rival: asyncio.Future[str | None]) -> str | None:
    try:
        return await deadline.met(asyncio.shield(rival))
    except TimeoutError as error:
        raise ConnectError("another write of the document was not answered before the deadline") from error


def replaced(document: Document) -> ConflictError:
    """The error for a write that lost the race."""
    reason = f"document {document['_id']!r} has changed since it was read"
    return ConflictError(409, "conflict", reason, method="POST", path="_bulk_docs")
