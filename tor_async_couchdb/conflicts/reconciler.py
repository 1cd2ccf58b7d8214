"""Resolves conflicts in the background, so that they end even if nobody reads the documents.

The reconciler follows the database's changes. What it does twice after an interruption changes nothing.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from tor_async_couchdb.changes.follower import Follower
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.revisions import Change
from tor_async_couchdb.errors import CouchDBError, InvalidDocumentError, ResponseError, TamperedError
from tor_async_couchdb.retries.pauses import equal_jitter, full_jitter
from tor_async_couchdb.wire.document_json import UnreadableDocumentError

_logger = logging.getLogger(__name__)

# Looks at a document that has changed; it raises CouchDBError if it has to look again later.
Audit = Callable[[str], Awaitable[None]]

_CONCURRENCY = 8
_BATCH_SIZE = 200
_MAX_TRIES = 5
_PAUSE = equal_jitter(base_s=0.2, cap_s=30.0)
_STATUSES_FOR_ALL = (401, 408, 429)  # the credentials are wrong, or CouchDB has no time


class Reconciler:
    """Resolves the conflicts in a database that `resolver` can resolve; it reports the others.

    It waits `settle_s` to twice `settle_s` seconds before it resolves a conflict: more revisions may arrive,
    and the merge of one master reaches the others before they write their own. `audit` gets the ids of
    changed documents that are not in conflict.

    CouchDB answers a poll after `poll_timeout_s` seconds if nothing changes. While the feed is busy, a
    checkpoint is written each `checkpoint_interval_s` seconds.
    """

    def __init__(
        self,
        resolver: ConflictResolver,
        *,
        database: Database,
        settle_s: float = 0.5,
        audit: Audit | None = None,
        poll_timeout_s: float = 5.0,
        checkpoint_interval_s: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._resolver = resolver
        self._audit = audit
        self._database = database
        self._settle_s = settle_s
        self._extra_settle = full_jitter(base_s=settle_s, cap_s=settle_s)
        self._sleep = sleep
        self._free = asyncio.Semaphore(_CONCURRENCY)
        self._left_alone: set[str] = set()
        # Each set of types has a checkpoint: conflicts of a type that is new are found from the start.
        types = hashlib.sha256("\n".join(resolver.types).encode()).hexdigest()[:16]
        self._follower = Follower(
            f"reconciler-{types}" + ("" if audit is None else "-audited"),
            self._handle_all,
            database=database,
            batch_size=_BATCH_SIZE,
            heartbeat_s=poll_timeout_s,
            checkpoint_interval_s=checkpoint_interval_s,
            sleep=sleep,
        )

    @property
    def handled_at_s(self) -> float:
        """When all changes that CouchDB had reported were handled, in seconds since 1970; 0 if never.

        CouchDB reports at least every `poll_timeout_s` seconds, so a reconciler that works is seldom late.
        """
        return self._follower.handled_at_s

    async def run(self) -> None:
        """Reconciles until it is cancelled; it waits, longer each time, while CouchDB can't be reached."""
        await self._follower.run()

    async def _handle_all(self, changes: Sequence[Change]) -> None:
        failures: list[CouchDBError] = []
        async with asyncio.TaskGroup() as group:
            for change in changes:
                if self._is_conflicted(change):
                    group.create_task(_recorded(self._resolve(change.id), failures))
                elif self._audit is not None:
                    audited = self._audit_when_free(self._audit, change.id)
                    group.create_task(_recorded(audited, failures))
        if failures:
            raise failures[0]

    async def _audit_when_free(self, audit: Audit, document_id: str) -> None:
        async with self._free:
            await audit(document_id)

    def _is_conflicted(self, change: Change) -> bool:
        if change.doc is None or change.doc.get("_deleted"):
            return False
        has_tombstone = len(change.changes) > 1 and self._resolver.keeps_deletion(change.doc)
        return "_conflicts" in change.doc or has_tombstone

    async def _resolve(self, document_id: str) -> None:
        found_s = time.monotonic()
        await self._sleep(self._settle_s + self._extra_settle(1, 0.0))
        async with self._free:
            if await self._is_resolved(document_id):
                self._left_alone.discard(document_id)
                self._database.observer.conflict_ended(time.monotonic() - found_s)

    async def _is_resolved(self, document_id: str) -> bool:
        for tries in range(1, _MAX_TRIES + 1):
            try:
                await self._resolver.resolve(document_id)
            except (InvalidDocumentError, TamperedError) as error:
                if isinstance(error, UnreadableDocumentError):  # the resolver has not even seen the conflict
                    self._database.observer.conflict_failed(error)
                self._leave_alone(document_id, error)
                return False
            except ResponseError as error:
                if not _is_about_the_document(error):
                    raise
                if tries == _MAX_TRIES:
                    self._leave_alone(document_id, error)
                    return False
                await self._sleep(_PAUSE(tries, 0.0))
            else:
                return True
        return False

    def _leave_alone(self, document_id: str, error: CouchDBError) -> None:
        if isinstance(error, TamperedError):
            self._database.guard.report_tampering(error, self._database.observer)
        if document_id not in self._left_alone:
            self._left_alone.add(document_id)
            _logger.error("left in conflict: %s", error)


def _is_about_the_document(error: ResponseError) -> bool:
    """Whether CouchDB refuses this request and would take others: an id may be too long for a URL, too."""
    return 400 <= error.status < 500 and error.status not in _STATUSES_FOR_ALL


async def _recorded(work: Awaitable[None], failures: list[CouchDBError]) -> None:
    """Records a failure instead of raising it: a group with errors would lose that it was cancelled."""
    try:
        await work
    except CouchDBError as error:
        failures.append(error)
