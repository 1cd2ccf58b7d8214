"""Writing a document once, even if the answer to the write never comes.

A write that timed out or lost its connection may have been applied. It is never sent again blindly: the
document's revision history says what became of it, because only one write can become the child of its parent
revision.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from typing import Any

from tor_async_couchdb import deadline
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.budget import RetryBudget
from tor_async_couchdb.retries.pauses import full_jitter
from tor_async_couchdb.retries.strategy import RetryStrategy
from tor_async_couchdb.wire import document_json

# How often a write is sent again that was not answered and has not been applied.
_MAX_RESENDS = 2
_PAUSE = full_jitter(base_s=0.05, cap_s=1.0)


class _Sending:
    """A document that is being written, and whether an earlier try may still be applied."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.encoded = document_json.encode(document)
        self.is_unanswered = False


class _UnappliedError(OutcomeUnknownError):
    """A write was not answered and is not applied yet. It may be sent again: only one of them can succeed."""

    def __init__(self, document: Document, retry_after_s: float) -> None:
        super().__init__(_unknown_outcome(document))
        self.retry_after_s = retry_after_s


class DocumentWriter:
    """Writes each document once.

    `send` sends an encoded document once and returns its new revision; `fetch_leaves` and `fetch_revision`
    read what became of it.
    """

    def __init__(
        self,
        *,
        send: Callable[[str, bytes], Awaitable[str]],
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
        fetch_revision: Callable[[str, str], Awaitable[Document]],
        retry_budget: RetryBudget,
    ) -> None:
        self._send = send
        self._fetch_leaves = fetch_leaves
        self._fetch_revision = fetch_revision
        # The writes in flight, by id and parent revision; the result says whether the parent is replaced.
        self._rivals: dict[tuple[str, str], asyncio.Future[bool]] = {}
        self._resends = RetryStrategy(
            _PAUSE,
            max_retries=_MAX_RESENDS,
            retry_if=lambda error: isinstance(error, _UnappliedError),
            budget=retry_budget,
        )

    async def write(self, document: Document, observer: Observer) -> str:
        """Writes a document; returns its new revision. `observer` learns of a conflict and of retries.

        Raises:
            ConflictError: the document's `_rev` is not the current one.
            InvalidDocumentError: the document is not JSON.
            OutcomeUnknownError: the document may or may not have been written.
        """
        parent = document.get("_rev")
        try:
            if parent is None:
                return await self._write(document, observer)
            return await self._write_unless_replaced(document, parent, observer)
        except ConflictError:
            observer.write_conflicted()
            raise

    async def _write_unless_replaced(self, document: Document, parent: str, observer: Observer) -> str:
        """Writes a document unless another caller replaces its parent first: then CouchDB is not asked.

        Otherwise the writes that lose would queue up, and those behind them would be stale when they are
        sent.
        """
        place = document["_id"], parent
        while place in self._rivals:
            if await _is_replaced_by(self._rivals[place]):
                raise _replaced(document)
        own = self._rivals[place] = asyncio.get_running_loop().create_future()
        try:
            rev = await self._write(document, observer)
        except BaseException as error:
            own.set_result(isinstance(error, ConflictError))
            raise
        else:
            own.set_result(True)
            return rev
        finally:
            del self._rivals[place]

    async def _write(self, document: Document, observer: Observer) -> str:
        return await self._resends.run(functools.partial(self._try, _Sending(document)), observer=observer)

    async def _try(self, sending: _Sending) -> str:
        document = sending.document
        try:
            return await self._send(document["_id"], sending.encoded)
        except CouchDBError as error:
            # After an unanswered try no refusal is final: this one may have met that try.
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
            ConflictError: another write took its place, so it can't be applied any more.
            OutcomeUnknownError: the history does not say.
        """
        try:
            leaves = await self._fetch_leaves(document["_id"])
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
        # If the document was deleted and made again, its first revision is not the one of this write.
        was_made_again = parent is None and any(leaf["_revisions"]["start"] > 1 for leaf in leaves)
        if not found or was_made_again:
            raise OutcomeUnknownError(_unknown_outcome(document))
        raise _replaced(document)

    async def _child(self, parent: str | None, leaf: Document) -> Document | None:
        """The child of `parent` in the history of a leaf; None if that history does not reach so far back."""
        start, hashes = leaf["_revisions"]["start"], leaf["_revisions"]["ids"]
        history = [f"{start - age}-{revision_hash}" for age, revision_hash in enumerate(hashes)]
        if parent in history:
            rev = history[history.index(parent) - 1]
        elif parent is None and len(history) == start:
            rev = history[-1]
        else:
            return None
        return leaf if rev == leaf["_rev"] else await self._fetch_revision(leaf["_id"], rev)


async def _is_replaced_by(rival: asyncio.Future[bool]) -> bool:
    try:
        return await deadline.met(asyncio.shield(rival))
    except TimeoutError as error:
        raise ConnectError("another write of the document was not answered before the deadline") from error


def _replaced(document: Document) -> ConflictError:
    reason = f"document {document['_id']!r} has changed since it was read"
    return ConflictError(409, "conflict", reason, method="POST", path="_bulk_docs")


def _may_have_been_applied(error: CouchDBError) -> bool:
    """Whether a write that failed with this error may be in the database: no answer, or a 5xx."""
    if isinstance(error, ResponseError):
        return error.status >= 500
    return isinstance(error, TransportError) and not isinstance(error, ConnectError)


def _body(document: Document) -> dict[str, Any]:
    return {name: document[name] for name in document if name == "_deleted" or not name.startswith("_")}


def _unknown_outcome(document: Document) -> str:
    return f"the write of document {document['_id']!r} was not answered; it may or may not have been applied"
