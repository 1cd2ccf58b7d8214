"""Reads a database's `_changes` once for many readers, each of which begins where it likes.

Each reader gets the latest state of each document at least once; see `tor_async_couchdb.changes.follower`.
"""

import asyncio
import collections
import contextvars
import dataclasses
import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.documents.revisions import Change, Changes
from tor_async_couchdb.errors import CouchDBError, ResponseError
from tor_async_couchdb.retries.pauses import equal_jitter

T = TypeVar("T")

_logger = logging.getLogger(__name__)

START = "0"
_NOW = "now"
_GRACE_S = 10.0
_PACE_S = 0.05  # between polls of a busy feed, so that several changes come at once
_PAUSE = equal_jitter(base_s=0.2, cap_s=10.0)
# A number, and on CouchDB a text in base64, which is the longer the more shards there are. One that is longer
# than this does not fit into the URL of a request.
_SEQUENCE = re.compile(r"[0-9]{1,20}(?:-[A-Za-z0-9_-]{1,7000})?")
# A reader that writes to a slow client for a moment finds the batches that it missed here.
_RECENT_BATCHES = 32
# Readers that catch up must not take all connections from the requests of the service.
_MAX_READS = 8


@dataclasses.dataclass(frozen=True, slots=True)
class Batch(Generic[T]):
    """What `render` has made of `count` changes, and the sequence after them."""

    content: T
    count: int
    seq: str


class SharedFeed(Generic[T]):
    """Hands what changes in `database` to all its readers, while `run` runs.

    `render` is called once for each batch of at most `batch_size` changes, not once for each reader. Readers
    that have all changes wait for the same answer of CouchDB; those that catch up from the same sequence
    share a read. No queue grows behind a reader that is slow: its next batch is read when it asks for it.

    CouchDB answers every `heartbeat_s` seconds, also if nothing has changed; it has to be shorter than the
    database's `timeout_s`.
    """

    def __init__(
        self,
        render: Callable[[Sequence[Change]], T],
        *,
        database: Database,
        batch_size: int = 100,
        heartbeat_s: float = 5.0,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._render = render
        self._database = database
        self._batch_size = batch_size
        self._heartbeat_s = heartbeat_s
        self._sleep = sleep
        self._head: str | None = None
        self._has_moved = asyncio.Event()  # a new one for each move of the head
        self._recent: collections.OrderedDict[str, Batch[T]] = collections.OrderedDict()
        self._reads: dict[str, asyncio.Task[Batch[T]]] = {}
        self._free_reads = asyncio.Semaphore(_MAX_READS)

    async def run(self) -> None:
        """Reads until it is cancelled; it waits, longer each time, while CouchDB can't be reached."""
        failures = 0
        while True:
            try:
                await self._read_on()
                failures = 0
            except CouchDBError as error:
                failures += 1
                pause_s = _PAUSE(failures, 0.0)
                _logger.warning("reading changes again in %.1f s: %s", pause_s, error)
                await self._sleep(pause_s)

    async def batches(self, since: str = START) -> AsyncGenerator[Batch[T], None]:
        """All batches after `since`, the sequence of an earlier batch; without an end.

        A sequence of another database, or from before it was restored, stands for the start, and so does a
        text that can't be a sequence. While CouchDB can't be reached there are no batches.
        """
        since = since if _SEQUENCE.fullmatch(since) else START
        failures = 0
        while True:
            try:
                batch = await self._after(since)
            except CouchDBError as error:
                failures += 1
                _logger.debug("a reader waits, as changes can't be read: %s", error)
                await self._sleep(_PAUSE(failures, 0.0))
                continue
            failures, since = 0, batch.seq
            if batch.count:
                yield batch

    async def _after(self, since: str) -> Batch[T]:
        """The batch after `since`. If there is none, an empty one comes when something has changed."""
        has_moved = self._has_moved  # before the read, so that no change falls between the two
        if since != self._head and since not in self._recent:
            batch = await self._read_once(since)
            if batch.count or batch.seq != since:
                return batch
        if since not in self._recent:
            await has_moved.wait()
        return self._recent.get(since) or self._batch([], since)

    def _batch(self, changes: Sequence[Change], seq: str | int) -> Batch[T]:
        return Batch(self._render(changes), len(changes), str(seq))

    async def _read_on(self) -> None:
        """Reads the next batch for those who have all others."""
        if self._head is None:
            self._move_to(str((await self._poll(_NOW, 0.0)).last_seq))
            return
        changes = await self._poll(self._head, self._heartbeat_s)
        if changes.results:
            self._recent[self._head] = self._batch(changes.results, changes.last_seq)
            while len(self._recent) > _RECENT_BATCHES:
                self._recent.popitem(last=False)
            self._move_to(str(changes.last_seq))
            await self._sleep(_PACE_S)
        elif await self._is_ahead(self._head):
            _logger.warning("reading changes from the start, as the database's sequence has gone back")
            self._recent.clear()
            self._move_to(START)

    def _move_to(self, head: str) -> None:
        self._head = head
        self._has_moved.set()
        self._has_moved = asyncio.Event()

    async def _read_once(self, since: str) -> Batch[T]:
        """Reads what is after `since`, once for all who ask at this time."""
        if since not in self._reads:
            # In a context of its own, as the request of one reader may end before the others.
            reading = asyncio.create_task(self._read(since), context=contextvars.Context())
            self._reads[since] = reading
            reading.add_done_callback(lambda task: self._forget(since, task))
        return await asyncio.shield(self._reads[since])

    def _forget(self, since: str, reading: asyncio.Task[Batch[T]]) -> None:
        del self._reads[since]
        if not reading.cancelled():
            reading.exception()  # retrieved, even if no reader waits for it any more

    async def _read(self, since: str) -> Batch[T]:
        async with self._free_reads:
            # What comes after this head comes from it, too, so a reader that has all before it may join
            # the others. On a cluster another copy may lack some of what is before it.
            head = self._head
            if await self._is_ahead(since):
                since = START
            changes = await self._poll(since, 0.0)
            has_all = len(changes.results) < self._batch_size and await self._database.copies() == 1
        return self._batch(changes.results, head if has_all and head is not None else changes.last_seq)

    async def _poll(self, since: str, timeout_s: float) -> Changes:
        revisions = self._database.revisions
        with deadline.within(timeout_s + _GRACE_S):
            try:
                return await revisions.changes(since, limit=self._batch_size, timeout_s=timeout_s)
            except ResponseError as error:
                if error.status != 400 or since == START:
                    raise
                return await revisions.changes(START, limit=self._batch_size, timeout_s=timeout_s)

    async def _is_ahead(self, since: str) -> bool:
        """Whether the database has gone back behind `since`: it was restored, or deleted and made again.

        The number in front of a sequence is the sum of all updates. On another copy it may be lower, too;
        then some changes come again.
        """
        now = _number_of(str(await self._database.revisions.update_seq()))
        return _number_of(since) > now


def _number_of(seq: str) -> int:
    return int(seq.partition("-")[0])
