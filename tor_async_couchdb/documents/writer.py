"""Writing documents: one write at a time for each revision, by the rule that the database needs."""

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
        # The writes in flight, by id and parent revision; the result says whether the parent is replaced.
        self._rivals: dict[tuple[str, str], asyncio.Future[bool]] = {}

    async def prepared(self, document: Document, *, is_new: bool) -> Document:
        """The document with the nonce of a new write of it, and with what else the rule needs.

        With `is_new` there never was a document under its id.
        """
        rule = await self._choose()
        base = {} if is_new or "_rev" in document else await rule.base_of_new(document["_id"])
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
            return await self._write_unless_replaced(document, parent, observer)
        except ConflictError:
            observer.write_conflicted()
            raise

    async def _write_unless_replaced(self, document: Document, parent: str, observer: Observer) -> Document:
        """Writes a document unless another caller replaces its parent first: then CouchDB is not asked.

        Otherwise the writes that lose would queue up, and those behind them would be stale when they are
        sent.
        """
        place = document["_id"], parent
        while place in self._rivals:
            if await _is_replaced_by(self._rivals[place]):
                raise replaced(document)
        own = self._rivals[place] = asyncio.get_running_loop().create_future()
        try:
            stored = await (await self._choose()).write(document, observer)
        except BaseException as error:
            own.set_result(isinstance(error, ConflictError))
            raise
        else:
            own.set_result(True)
            return stored
        finally:
            del self._rivals[place]


async def _is_replaced_by(rival: asyncio.Future[bool]) -> bool:
    try:
        return await deadline.met(asyncio.shield(rival))
    except TimeoutError as error:
        raise ConnectError("another write of the document was not answered before the deadline") from error


def replaced(document: Document) -> ConflictError:
    """The error for a write that lost the race."""
    reason = f"document {document['_id']!r} has changed since it was read"
    return ConflictError(409, "conflict", reason, method="POST", path="_bulk_docs")
