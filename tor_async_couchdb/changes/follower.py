"""Follows a database's `_changes`, and goes on from a checkpoint after any interruption.

What `_changes` promises, and so what a follower promises: the latest state of each document, at least once.
Changes in between may be left out, documents come in any order, and what was handled may come again. A
service that needs each change writes each as a document of its own.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.revisions import Change, Changes
from tor_async_couchdb.errors import CouchDBError, ResponseError, TransportError
from tor_async_couchdb.retries.pauses import equal_jitter

_logger = logging.getLogger(__name__)

# Does what there is to do for some changes; it raises CouchDBError if it has to be called again later.
Handle = Callable[[Sequence[Change]], Awaitable[None]]

START = 0
# What an answer may take after the heartbeat: many documents, a slow disk, a long way.
_GRACE_S = 10.0
_PACE_S = 0.1  # between polls of a busy feed, so that several changes come at once
_PAUSE = equal_jitter(base_s=0.2, cap_s=30.0)


def _everything(change: Change) -> bool:
    return True


class _Checkpoint(msgspec.Struct, frozen=True):
    since: str | int = START


class Follower:
    """Calls `handle` with what has changed in `database`, in batches, one after the other.

    No more than `batch_size` documents are in memory, and the next ones are read when `handle` is done. A
    batch that CouchDB can't deliver in time is asked for again with half as many.

    The follower writes how far it has come to the local document `name`, at the latest
    `checkpoint_interval_s` seconds after it has come there. What it did since then comes again if it is
    killed. Local documents are part of a backup and are not replicated, so
    after a database was restored, or deleted and made again, the checkpoint is the one that belongs to it:
    the follower reads it after each error and each time that nothing has changed, and goes back if need be.
    Each purpose needs a name of its own. Two followers of one name repeat work, and leave out nothing.

    `wants` chooses among the changes. It is not CouchDB that chooses: while one of its filters lets nothing
    pass, the feed does not say how far it has read, and all is read again after each interruption.

    CouchDB answers every `heartbeat_s` seconds, also if nothing has changed. A feed that stays silent for
    longer has died, and is asked for again: on a cluster from another node. `heartbeat_s` has to be shorter
    than the database's `timeout_s`.
    """

    def __init__(
        self,
        name: str,
        handle: Handle,
        *,
        database: Database,
        wants: Callable[[Change], bool] = _everything,
        batch_size: int = 100,
        heartbeat_s: float = 5.0,
        checkpoint_interval_s: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._name = name
        self._handle = handle
        self._database = database
        self._wants = wants
        self._max_batch_size = self._batch_size = batch_size
        self._heartbeat_s = heartbeat_s
        self._checkpoint_interval_s = checkpoint_interval_s
        self._sleep = sleep
        self._failures = 0
        self._complaint = ""
        self._pending = 0
        self._handled_at_s = 0.0

    @property
    def pending(self) -> int:
        """About how many changes were left when CouchDB last answered."""
        return self._pending

    @property
    def handled_at_s(self) -> float:
        """When all changes that CouchDB had reported were handled, in seconds since 1970; 0 if never."""
        return self._handled_at_s

    async def run(self) -> None:
        """Follows until it is cancelled; it waits, longer each time, while CouchDB can't be reached.

        An error of `handle` that is no CouchDBError, nor a group of them, ends it.
        """
        while True:
            failure: BaseExceptionGroup[CouchDBError] | None = None
            try:
                await self._follow()
            except* CouchDBError as errors:
                failure = errors
            if failure is not None:
                await self._wait_after(failure)

    async def _wait_after(self, failure: BaseExceptionGroup[CouchDBError]) -> None:
        self._failures += 1
        pause_s = _PAUSE(self._failures, 0.0)
        error = failure.exceptions[0]
        _logger.warning("%s: following again in %.1f s: %s", self._name, pause_s, error)
        await self._sleep(pause_s)

    async def _follow(self) -> None:
        """Follows from the checkpoint until another one is found in its place."""
        since = saved = await self._read_checkpoint()
        saved_s = time.monotonic()
        while True:
            due_in_s = saved_s + self._checkpoint_interval_s - time.monotonic()
            wait_s = self._heartbeat_s if since == saved else min(self._heartbeat_s, max(0.0, due_in_s))
            changes = await self._next_changes(since, wait_s)
            wanted = [change for change in changes.results if self._wants(change)]
            if wanted:
                await self._handle_to_the_end(wanted)
            since, self._pending, self._failures = changes.last_seq, changes.pending or 0, 0
            self._handled_at_s = time.time()
            is_idle = not changes.results
            if is_idle and await self._read_checkpoint() != saved:
                _logger.info("%s: going on from another checkpoint that is in the database", self._name)
                return
            is_due = is_idle or time.monotonic() - saved_s >= self._checkpoint_interval_s
            if since != saved and is_due:
                await self._database.revisions.write_local(self._name, {"since": since})
                saved, saved_s = since, time.monotonic()
            if changes.results and not self._pending:
                await self._sleep(_PACE_S)

    async def _handle_to_the_end(self, changes: Sequence[Change]) -> None:
        # A task of its own: a group of tasks that fail while they are cancelled would hide the cancellation.
        work = asyncio.ensure_future(self._handle(changes))
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            work.cancel()
            await asyncio.gather(work, return_exceptions=True)
            raise
        work.result()

    async def _next_changes(self, since: str | int, wait_s: float) -> Changes:
        try:
            with deadline.within(wait_s + _GRACE_S):
                changes = await self._database.revisions.changes(
                    since, limit=self._batch_size, timeout_s=wait_s
                )
        except TransportError:
            self._batch_size = max(1, self._batch_size // 2)
            raise
        except ResponseError as error:
            if error.status != 400:
                raise
            _logger.warning("%s: from the start, as the checkpoint is of no use: %s", self._name, error)
            return Changes(results=[], last_seq=START)
        self._batch_size = min(self._max_batch_size, 2 * self._batch_size)
        return changes

    async def _read_checkpoint(self) -> str | int:
        checkpoint = await self._database.revisions.read_local(self._name)
        try:
            return msgspec.convert(checkpoint or {}, _Checkpoint).since
        except msgspec.ValidationError as error:
            if str(error) != self._complaint:  # it is read again and again
                self._complaint = str(error)
                _logger.warning("%s: from the start, as its checkpoint is none: %s", self._name, error)
            return START
