"""Writes to a cluster, each acknowledged only once the cluster can't take it back.

It takes the steps that sealing.py decides, with the I/O that it is given. The tests run it against a
simulated cluster.
"""

import collections
from collections.abc import Callable, Container, Sequence
from typing import NamedTuple, Protocol

from tor_async_couchdb.documents.leaf import Leaf, is_pure
from tor_async_couchdb.documents.nonces import Nonces, nonces_of
from tor_async_couchdb.documents.sealing import (
    PATIENCE_S,
    Attempt,
    Decide,
    Known,
    Pushed,
    Step,
    decide,
)
from tor_async_couchdb.documents.writer import replaced
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.model import Document
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.pauses import Pause, full_jitter
from tor_async_couchdb.wire.revision import child

_PAUSE = full_jitter(base_s=0.01, cap_s=0.5)

_LONGEST_WAIT = 6  # the number of doublings until the cap of the pause
# While most copies are down each pad is one more revision on the others.
_MAX_PADS = 4

# Revisions that this process knows to be sealed, buried on all copies, or the base of a new document. Each
# takes some 100 bytes.
_MAX_REMEMBERED = 10_000


class Written(NamedTuple):
    """A write that was not refused: its revision, and whether all copies took it (201) or only some (202)."""

    rev: str
    is_on_all_copies: bool


class ClusterIO(Protocol):
    """The requests that sealing makes."""

    async def write(self, document: Document, copies: int) -> Written:
        """Writes a document and waits for so many copies.

        Raises:
            ConflictError: no copy has the parent as a leaf, so nothing was written.
            CouchDBError: the request failed, or was not answered.
        """

    async def fetch_leaves(self, document_id: str) -> Sequence[Document]:
        """All leaf revisions that any copy has, tombstones included, with `_revisions`."""

    async def push(self, revisions: Sequence[Document]) -> None:
        """Inserts revisions on all copies that are alive, in one request, as a replicator does."""

    async def is_majority_alive(self, document_id: str) -> bool:
        """Whether a majority of the copies takes writes now, by a write that changes no document."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""

    def now(self) -> float:
        """The time, in seconds, on a clock that only goes forward."""


class _Remembered:
    """The revisions that were added last."""

    def __init__(self) -> None:
        self._revs: collections.OrderedDict[str, None] = collections.OrderedDict()

    def __contains__(self, rev: object) -> bool:
        return rev in self._revs

    def add(self, rev: str) -> None:
        self._revs[rev] = None
        if len(self._revs) > _MAX_REMEMBERED:
            self._revs.popitem(last=False)


def _unsigned(document: Document, before: Document) -> Document:
    return document


class Sealer:
    """Writes documents to a cluster that keeps `copies` copies of each.

    `sign` signs tombstones. `renew` signs a document whose nonces have changed, given the document before; it
    raises TamperedError if that one was tampered with.
    """

    def __init__(
        self,
        io: ClusterIO,
        *,
        copies: int,
        nonces: Nonces,
        sign: Callable[[Document], Document] = dict,
        renew: Callable[[Document, Document], Document] = _unsigned,
        pause: Pause = _PAUSE,
        patience_s: float = PATIENCE_S,
        decide: Decide = decide,
    ) -> None:
        self._io = io
        self._copies = copies
        self._majority = copies // 2 + 1
        self.nonces = nonces
        self._sign = sign
        self._renew = renew
        self._pause = pause
        self._patience_s = patience_s
        self._decide = decide
        self._sealed = _Remembered()
        self._buried = _Remembered()
        self._tombstones = _Remembered()

    async def base_of_new(self, document_id: str) -> Document:
        """What a new document under this id needs beside its content: the `_rev` of its tombstone, if any.

        Without it each copy would extend a tombstone of its own choice, also one that is made later.

        Raises:
            ConflictError: there is such a document.
        """
        leaves = [Leaf(document) for document in await self._io.fetch_leaves(document_id)]
        if not leaves:
            return {}
        standing = [leaf for leaf in leaves if not leaf.is_undone]
        # With none standing, the leaf that another one was buried for has not been brought to this copy.
        if not standing or any(not leaf.is_deleted for leaf in standing):
            raise replaced({"_id": document_id})
        tombstone = max(standing, key=lambda leaf: leaf.rank)
        self._tombstones.add(tombstone.rev)
        return {"_rev": tombstone.rev, **_nonces_in(tombstone.document)}

    async def write(self, document: Document, observer: Observer) -> Document:
        """The document with the `_rev` of this write; it has the write's nonce already.

        If other writers have built on it meanwhile, their changes are not in it, and its `_rev` is not
        current any more.

        Raises:
            ConflictError: the race is lost, and the write is in no live leaf.
            OutcomeUnknownError: it can't be told any more whether the write was applied.
            CouchDBError: the write was not sent, or CouchDB refused it for another reason.
        """
        started_s = self._io.now()
        attempt = Attempt(document)
        written = await self._send(attempt, observer)
        # A first revision that all copies took has no rival: each would refuse a second one.
        is_first = attempt.base is None and all(rev.startswith("1-") for rev in attempt.revs)
        if written is not None and written.is_on_all_copies and (attempt.base in self._sealed or is_first):
            self._sealed.add(written.rev)
            observer.write_sealed("unread", self._io.now() - started_s)
            return document | {"_rev": written.rev}
        try:
            stored, how = await self._settle(attempt, observer)
        except (ConflictError, OutcomeUnknownError):
            raise
        except (TransportError, ResponseError) as error:
            # A copy may have the write, whatever became of the requests after it.
            raise OutcomeUnknownError(
                f"the copies of document {attempt.document_id!r} did not confirm its write in time"
            ) from error
        observer.write_sealed(how, self._io.now() - started_s)
        return stored

    async def _send(self, attempt: Attempt, observer: Observer) -> Written | None:
        """What CouchDB answers; None if there is no answer, so that the write may or may not be applied."""
        try:
            written = await self._write(attempt, observer)
        except CouchDBError as error:
            if not _may_be_applied(error):
                if isinstance(error, ConflictError) and attempt.is_unanswered:
                    return None  # it may have met itself
                raise
            attempt.is_unanswered = True
            return None
        attempt.revs.add(written.rev)
        if written.is_on_all_copies:
            attempt.revs_on_all_copies.add(written.rev)
        return written

    async def _write(self, attempt: Attempt, observer: Observer) -> Written:
        if attempt.base not in self._tombstones:
            written = await self._io.write(attempt.document, self._copies)
            if not written.is_on_all_copies:
                observer.write_partly_accepted()
            return written
        # A copy refuses a write that is based on a tombstone. Of one without a base it makes the child of
        # the tombstone that it has when the write arrives, which may be that of the new document itself.
        attempt.begins_from_tombstone = True
        revision = child(attempt.document, attempt.document)
        attempt.revs.add(revision["_rev"])
        await self._io.push([revision])
        return Written(revision["_rev"], is_on_all_copies=False)

    async def _settle(self, attempt: Attempt, observer: Observer) -> tuple[Document, str]:
        """The document as it is stored, and what that took, as `Observer.write_sealed` is told."""
        seen_s: dict[str, float] = {}
        pushed: Pushed | None = None
        polls, how = 0, "read"
        while True:
            leaves = [Leaf(document) for document in await self._io.fetch_leaves(attempt.document_id)]
            self._report(leaves, seen_s, observer)
            now_s = self._io.now()
            seen_s = {leaf.rev: seen_s.get(leaf.rev, now_s) for leaf in leaves}
            known = Known(
                database_id=self.nonces.database_id,
                buried=self._buried,
                pushed=pushed,
                ages_s={rev: now_s - since_s for rev, since_s in seen_s.items()},
                patience_s=self._patience_s,
            )
            decision = self._decide(attempt, leaves, known)
            leaf, others = decision.leaf, decision.others
            match decision.step:
                case Step.ACKNOWLEDGE if leaf is not None:
                    return self._acknowledged(attempt, leaf, others), how
                case Step.CONFLICT:
                    raise replaced(attempt.document)
                case Step.UNKNOWN:
                    raise OutcomeUnknownError(
                        f"it can't be told whether the write of document {attempt.document_id!r} stays"
                    )
                case Step.BURY if leaf is not None:
                    observer.leaves_buried(len(others))
                    tombstones = [self._tombstone(other) for other in others]
                    await self._io.push([leaf.document, *tombstones])
                    pushed = Pushed(leaf.rev, frozenset(tombstone["_rev"] for tombstone in tombstones))
                case Step.PUSH if leaf is not None:
                    how = "pushed"
                    await self._io.push([leaf.document, *(other.document for other in others)])
                    pushed = Pushed(leaf.rev, frozenset(other.rev for other in others))
                case Step.PAD if leaf is not None:
                    how = "padded"
                    if not await self._pad(attempt, leaf, observer):
                        pushed = None
                        await self._wait(_LONGEST_WAIT)
                case step:
                    await self._wait(polls)
                    polls += 1
                    if step is Step.RESEND:
                        await self._send(attempt, observer)

    async def _wait(self, polls: int) -> None:
        await self._io.sleep(self._pause(min(polls + 1, _LONGEST_WAIT), 0.0))

    def _report(self, leaves: Sequence[Leaf], seen: Container[str], observer: Observer) -> None:
        new = [leaf for leaf in leaves if leaf.rev not in seen]
        if foreign := sum(self._is_foreign(leaf) for leaf in new):
            observer.foreign_leaves_met(foreign)
        if not seen:
            observer.dead_leaves_met(sum(leaf.is_deleted for leaf in leaves))

    def _is_foreign(self, leaf: Leaf) -> bool:
        return not leaf.is_deleted and not is_pure(leaf, leaf.generation, self.nonces.database_id)

    async def _pad(self, attempt: Attempt, leaf: Leaf, observer: Observer) -> bool:
        """Whether a majority of the copies took a child of the leaf without a change."""
        body = {name: value for name, value in leaf.document.items() if name != "_revisions"}
        pad = self._renew(self.nonces.added_to(body), body)
        attempt.nonces.add(nonces_of(pad)[0])
        try:
            written = await self._write_pad(pad, leaf)
        except ConflictError:
            return False
        (attempt.revs if attempt.has_its_content_in(leaf) else attempt.pads).add(written.rev)
        if written.is_on_all_copies:  # that were waited for, which here are a majority
            attempt.pads_on_most_copies.add(written.rev)
            return True
        observer.write_partly_accepted()
        attempt.pads_without_majority += 1
        if attempt.pads_without_majority == _MAX_PADS:
            raise OutcomeUnknownError(
                f"most copies of document {attempt.document_id!r} are down; its write may be taken back"
            )
        return False

    async def _write_pad(self, pad: Document, leaf: Leaf) -> Written:
        if not leaf.is_deleted:
            return await self._io.write(pad, self._majority)
        # A copy refuses a write that is based on a tombstone, and a push says nothing of a majority.
        pushed = child(leaf.document, pad)
        await self._io.push([pushed])
        return Written(pushed["_rev"], await self._io.is_majority_alive(leaf.document["_id"]))

    def _tombstone(self, leaf: Leaf) -> Document:
        """What buries a leaf; all who bury it make the same revision."""
        return child(leaf.document, self._sign(leaf.burial()))

    def _acknowledged(self, attempt: Attempt, leaf: Leaf, tombstones: Sequence[Leaf]) -> Document:
        for tombstone in tombstones:
            self._buried.add(tombstone.rev)
        if leaf.rev in attempt.revs_on_all_copies:
            self._sealed.add(leaf.rev)
        if attempt.has_its_content_in(leaf):
            return {name: value for name, value in leaf.document.items() if name != "_revisions"}
        return attempt.document | {"_rev": attempt.rev_in(leaf)}


def _may_be_applied(error: CouchDBError) -> bool:
    """Whether a write that failed with this error may be applied; not one that could not even be sent."""
    if isinstance(error, ResponseError):
        return error.status >= 500
    return isinstance(error, TransportError) and not isinstance(error, ConnectError)


def _nonces_in(document: Document) -> Document:
    return {name: document[name] for name in (NONCES_PROPERTY_NAME,) if name in document}
