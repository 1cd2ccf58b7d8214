"""Writing one document so that it is written once, also when the answer to the write never comes.

A write that timed out or lost its connection may have been applied. It is never sent again
blindly: the document's revision history tells what became of it, as only one write can become
the child of the revision that it was made from.
"""

from __future__ import annotations

import asyncio
import functools
import math
from typing import TYPE_CHECKING, Any

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.retries.policy import RetryStrategy, full_jitter
from tor_async_couchdb.wire import document_json

if TYPE_CHECKING:
    from tor_async_couchdb.documents.database import Database
    from tor_async_couchdb.model.model import Document

# A write that is seen not to have happened goes again, though not for ever.
_MAX_RESENDS = 2
_PAUSE = full_jitter(base_s=0.05, cap_s=1.0)


class _Sending:
    """A document on its way, and whether a write of it may still be applied."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.encoded = document_json.encode(document)
        self.is_unanswered = False


class _UnappliedError(OutcomeUnknownError):
    """A write that was not answered, and is not applied yet: it may go again, as only one can be."""

    def __init__(self, document: Document, retry_after_s: float) -> None:
        super().__init__(_unknown_outcome(document))
        self.retry_after_s = retry_after_s


class DocumentWriter:
    """Writes documents to a database, each of them once."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The writes in flight by the revision that each is to replace, and whether that is replaced now.
        self._rivals: dict[tuple[str, str], asyncio.Future[bool]] = {}
        self._resends = RetryStrategy(
            _PAUSE,
            max_retries=_MAX_RESENDS,
            retry_if=lambda error: isinstance(error, _UnappliedError),
            budget=RetryBudget(),
        )

    async def write(self, document: Document) -> str:
        """The revision that the document became. `Database.save` tells what it raises."""
        parent = document.get("_rev")
        try:
            if parent is None:
                return await self._write(document)
            return await self._write_unless_replaced(document, parent)
        except ConflictError:
            deadline.current().conflict_count += 1
            raise

    async def _write_unless_replaced(self, document: Document, parent: str) -> str:
        """Writes a document unless another caller replaces its parent first: then CouchDB need not be asked.

        Otherwise the losers' writes would queue, and those behind them be stale before they are sent.
        """
        place = document["_id"], parent
        while place in self._rivals:
            if await _is_replaced_by(self._rivals[place]):
                raise _replaced(document)
        own = self._rivals[place] = asyncio.get_running_loop().create_future()
        try:
            rev = await self._write(document)
        except BaseException as error:
            own.set_result(isinstance(error, ConflictError))
            raise
        else:
            own.set_result(True)
            return rev
        finally:
            del self._rivals[place]

    async def _write(self, document: Document) -> str:
        return await self._resends.run(functools.partial(self._try, _Sending(document)))

    async def _try(self, sending: _Sending) -> str:
        document = sending.document
        try:
            return await self._database.send_write(document["_id"], sending.encoded)
        except CouchDBError as error:
            # After an unanswered try no refusal is final: that try may be what this one met.
            if not sending.is_unanswered and not _may_have_been_applied(error):
                raise
            sending.is_unanswered = True
            unanswered = error
        rev = await self._applied_revision(document)
        if rev is not None:
            return rev
        raise _UnappliedError(document, unanswered.retry_after_s) from unanswered

    async def _applied_revision(self, document: Document) -> str | None:
        """The revision that an unanswered write became; None if it has not been applied.

        Raises:
            ConflictError: another write took its place, so that it can't be applied any more.
            OutcomeUnknownError: that can't be told.
        """
        try:
            leaves = await self._database.fetch_leaves(document["_id"])
            parent = document.get("_rev")
            if parent in [leaf["_rev"] for leaf in leaves] or (parent is None and not leaves):
                return None
            children = [await self._child(parent, leaf) for leaf in leaves]
        except CouchDBError as error:
            raise OutcomeUnknownError(_unknown_outcome(document)) from error
        found = [child for child in children if child is not None]
        for child in found:
            if _body(child) == _body(document):
                return str(child["_rev"])
        # The first revision of a document that was deleted and made again is not what this one took.
        was_made_again = parent is None and any(leaf["_revisions"]["start"] > 1 for leaf in leaves)
        if not found or was_made_again:
            raise OutcomeUnknownError(_unknown_outcome(document))
        raise _replaced(document)

    async def _child(self, parent: str | None, leaf: Document) -> Document | None:
        """The revision after `parent` in the history of a leaf, where that history reaches so far back."""
        start, hashes = leaf["_revisions"]["start"], leaf["_revisions"]["ids"]
        history = [f"{start - age}-{revision_hash}" for age, revision_hash in enumerate(hashes)]
        if parent in history:
            rev = history[history.index(parent) - 1]
        elif parent is None and len(history) == start:
            rev = history[-1]
        else:
            return None
        return leaf if rev == leaf["_rev"] else await self._database.fetch_revision(leaf["_id"], rev)


async def _is_replaced_by(rival: asyncio.Future[bool]) -> bool:
    remaining_s = deadline.current().remaining_s()
    done, _ = await asyncio.wait([rival], timeout=None if remaining_s == math.inf else max(0.0, remaining_s))
    if not done:
        raise ConnectError("another write of the document was not answered before the deadline")
    return rival.result()


def _replaced(document: Document) -> ConflictError:
    reason = f"document {document['_id']!r} was changed first by somebody else"
    return ConflictError(409, "conflict", reason, method="POST", path="_bulk_docs")


def _may_have_been_applied(error: CouchDBError) -> bool:
    """Whether a write that ended so may be in the database: no answer, or a gateway's or a crash's."""
    if isinstance(error, ResponseError):
        return error.status >= 500
    return isinstance(error, TransportError) and not isinstance(error, ConnectError)


def _body(document: Document) -> dict[str, Any]:
    return {name: document[name] for name in document if name == "_deleted" or not name.startswith("_")}


def _unknown_outcome(document: Document) -> str:
    return f"the write of document {document['_id']!r} was not answered; it may or may not have been applied"
