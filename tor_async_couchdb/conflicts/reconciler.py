"""Resolving conflicts in the background, so that they end also where nobody reads.

The reconciler follows the database's `_changes` and remembers how far it has come in a checkpoint, which it
writes only when all before it is done. Whatever stops it, it starts again from there, and what it does again
changes nothing.
"""

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence

from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.revisions import Change, Changes
from tor_async_couchdb.errors import (
    ConflictError,
    CouchDBError,
    ForbiddenError,
    InvalidDocumentError,
    NotFoundError,
    ResponseError,
    TamperedError,
    TooLargeError,
)

_logger = logging.getLogger(__name__)

# Looks at a document that changed; a CouchDBError says that it can't, and that it has to again.
Audit = Callable[[str], Awaitable[None]]

_CONCURRENCY = 8
_BATCH_SIZE = 200
_POLL_TIMEOUT_S = 5.0
_PACE_S = 0.1  # between polls of a busy feed, which would be answered change by change
_CHECKPOINT_INTERVAL_S = 5.0
_MAX_TRIES = 5
_FIRST_PAUSE_S = 0.1
_MAX_PAUSE_S = 30.0


class Reconciler:
    """Resolves the conflicts in a database that `resolver` can resolve; the others are left and reported.

    A document is left alone for `settle_s` to twice as many seconds first: what is still under way to it
    arrives, and one master's merge reaches the others before they write their own. `audit` is given the ids
    of those that are not in conflict.
    """

    def __init__(
        self,
        resolver: ConflictResolver,
        *,
        database: Database,
        settle_s: float = 0.5,
        audit: Audit | None = None,
    ) -> None:
        self._resolver = resolver
        self._audit = audit
        self._database = database
        self._settle_s = settle_s
        self._free = asyncio.Semaphore(_CONCURRENCY)
        self._failures = 0
        self._left_alone: set[str] = set()
        # With a checkpoint for each set of types, one that can be merged now is looked for from the start.
        types = hashlib.sha256("\n".join(resolver.types).encode()).hexdigest()[:16]
        # The same holds for what was not audited yet.
        self._checkpoint_name = f"reconciler-{types}" + ("" if audit is None else "-audited")

    async def run(self) -> None:
        """Reconciles until it is cancelled; waits, longer each time, while CouchDB is not there."""
        while True:
            try:
                await self._follow()
            except* CouchDBError as errors:
                self._failures += 1
                pause_s = _pause_s(self._failures)
                _logger.warning("reconciling again in %.1f s: %s", pause_s, errors.exceptions[0])
                await asyncio.sleep(pause_s)

    async def _follow(self) -> None:
        since = await self._read_checkpoint()
        saved, saved_s = since, time.monotonic()
        while True:
            changes = await self._next_changes(since)
            await self._settle_all(changes.results)
            since, self._failures = changes.last_seq, 0
            is_due = not changes.results or time.monotonic() - saved_s > _CHECKPOINT_INTERVAL_S
            if since != saved and is_due:
                await self._write_checkpoint(since)
                saved, saved_s = since, time.monotonic()
            if changes.results:
                await asyncio.sleep(_PACE_S)

    async def _next_changes(self, since: str | int) -> Changes:
        try:
            return await self._database.revisions.changes(since, limit=_BATCH_SIZE, timeout_s=_POLL_TIMEOUT_S)
        except ResponseError as error:
            if error.status != 400:
                raise
            _logger.warning("reconciling from the start, as the checkpoint is of another database: %s", error)
            return Changes(results=[], last_seq=0)

    async def _settle_all(self, changes: Sequence[Change]) -> None:
        async with asyncio.TaskGroup() as group:
            for change in changes:
                if self._is_conflicted(change):
                    group.create_task(self._settle(change.id))
                elif self._audit is not None:
                    group.create_task(self._audit_when_free(self._audit, change.id))

    async def _audit_when_free(self, audit: Audit, document_id: str) -> None:
        async with self._free:
            await audit(document_id)

    def _is_conflicted(self, change: Change) -> bool:
        if change.doc is None or change.doc.get("_deleted"):
            return False
        is_deletion_met = len(change.changes) > 1 and self._resolver.does_deletion_win(change.doc)
        return "_conflicts" in change.doc or is_deletion_met

    async def _settle(self, document_id: str) -> None:
        found_s = time.monotonic()
        await asyncio.sleep(self._settle_s * (1 + random.random()))  # noqa: S311 - to spread, not to hide
        async with self._free:
            if await self._is_resolved(document_id):
                self._left_alone.discard(document_id)
                self._database.observer.conflict_ended(time.monotonic() - found_s)

    async def _is_resolved(self, document_id: str) -> bool:
        for tries in range(1, _MAX_TRIES + 1):
            try:
                await self._resolver.resolve(document_id)
            except (InvalidDocumentError, TamperedError) as error:
                self._leave_alone(document_id, error)
                return False
            except (ConflictError, ForbiddenError, NotFoundError, TooLargeError) as error:
                if tries == _MAX_TRIES:
                    self._leave_alone(document_id, error)
                    return False
                await asyncio.sleep(_pause_s(tries))
            else:
                return True
        return False

    def _leave_alone(self, document_id: str, error: CouchDBError) -> None:
        if isinstance(error, TamperedError):
            self._database.tampering_detected(error)
        if document_id not in self._left_alone:
            self._left_alone.add(document_id)
            _logger.error("left in conflict: %s", error)

    async def _read_checkpoint(self) -> str | int:
        checkpoint = await self._database.revisions.read_local(self._checkpoint_name)
        return 0 if checkpoint is None else checkpoint["since"]

    async def _write_checkpoint(self, since: str | int) -> None:
        try:
            await self._database.revisions.write_local(self._checkpoint_name, {"since": since})
        except ConflictError:
            _logger.debug("another reconciler has just written the checkpoint")


def _pause_s(failures: int) -> float:
    longest_s = min(_MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(failures, 16))
    return longest_s * (0.5 + random.random() / 2)  # noqa: S311 - to spread, not to hide
