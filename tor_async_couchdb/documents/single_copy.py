"""Writing a document once, even if the answer to the write never comes.

A write that timed out or lost its connection may have been applied. It is never sent again blindly: the
document's revision history says what became of it, because only one write can become the child of its parent
revision.
"""

import functools
from collections.abc import Awaitable, Callable

from tor_async_couchdb.documents.nonces import Nonces, nonces_of
from tor_async_couchdb.documents.writer import replaced
from tor_async_couchdb.errors import (
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


class SingleCopyWriter:
    """Writes each document once, to a database with one copy of it.

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
        self.nonces = Nonces("")
        self._resends = RetryStrategy(
            _PAUSE,
            max_retries=_MAX_RESENDS,
            retry_if=lambda error: isinstance(error, _UnappliedError),
            budget=retry_budget,
        )

    async def base_of_new(self, document_id: str) -> Document:
        """Nothing: CouchDB extends the tombstone, if there is one."""
        return {}

    async def write(self, document: Document, observer: Observer) -> Document:
        """Writes a document that has its nonce; returns it as it is stored.

        Raises:
            ConflictError: the document's `_rev` is not the current one.
            OutcomeUnknownError: the document may or may not have been written.
        """
        rev = await self._resends.run(functools.partial(self._try, _Sending(document)), observer=observer)
        return document | {"_rev": rev}

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
        nonce = nonces_of(document)[0]
        for child in found:
            if nonce in nonces_of(child):
                return str(child["_rev"])
        # If the document was deleted and made again, its first revision is not the one of this write.
        was_made_again = parent is None and any(leaf["_revisions"]["start"] > 1 for leaf in leaves)
        if not found or was_made_again:
            raise OutcomeUnknownError(_unknown_outcome(document))
        raise replaced(document)

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


def _may_have_been_applied(error: CouchDBError) -> bool:
    """Whether a write that failed with this error may be in the database: no answer, or a 5xx."""
    if isinstance(error, ResponseError):
        return error.status >= 500
    return isinstance(error, TransportError) and not isinstance(error, ConnectError)


def _unknown_outcome(document: Document) -> str:
    return f"the write of document {document['_id']!r} was not answered; it may or may not have been applied"
