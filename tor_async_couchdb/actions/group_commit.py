"""Group commit: changes of one model that wait at the same time are applied with one read and one write.

Databases do this for their logs ("group commit", DeWitt et al., "Implementation Techniques for Main Memory
Database Systems", 1984); here the log is a document. Within one process no change conflicts with another.
"""

import asyncio
import contextvars
import math
import time
import weakref
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.calls import callers
from tor_async_couchdb.deadline import Deadline
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    CouchDBError,
    DataKeyError,
    HashingError,
    OutcomeUnknownError,
    ResponseError,
    TamperedError,
    TransportError,
)
from tor_async_couchdb.model import Model
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.retries.pauses import full_jitter
from tor_async_couchdb.retries.strategy import RetryStrategy

M = TypeVar("M", bound=Model)

# A pure function of the current model to the changed one; None deletes the model.
Change = Callable[[M], M | None]

_MAX_SIZE = 1000
_SHORTEST_PAUSE_S = 0.025
_STATUSES_OF_THE_DOCUMENT = (400, 403, 413)

# The groups that have changes to make, by what they change.
_groups: weakref.WeakKeyDictionary[Database, dict[Hashable, "_Group[Any]"]] = weakref.WeakKeyDictionary()


def group_count(database: Database) -> int:
    """How many models of the database have changes that wait or are being written."""
    return len(_groups.get(database.origin, ()))


class AsyncGroupCommitter(AsyncAction, Generic[M]):
    """Changes the model that a retriever finds, together with all other changes of it that wait now.

        await AsyncGroupCommitter(AsyncFruitRetriever(fruit_id, database)).commit(Fruit.ripen)

    Changes are applied in the order of their arrival, and CouchDB sees only the final document. Conflicts
    with other processes are retried, after a pause with full jitter, until the deadline.
    """

    def __init__(self, retriever: AsyncModelRetriever[M]) -> None:
        super().__init__(database=retriever.database)
        self._retriever = retriever

    async def commit(self, change: Change[M]) -> M | None:
        """The model after this change; the model as it was if the change deletes it; None if there is none.

        Raises:
            ConflictError: other processes were faster until the deadline.
            ConnectError: the change was not started before the deadline.
            OutcomeUnknownError: the change may or may not have been written.
            Exception: whatever the change itself raises; the other changes are not affected.
        """
        origin = self.database.origin
        groups = _groups.setdefault(origin, {})
        key = self._retriever.identity
        group: _Group[M] | None = groups.get(key)
        if group is None:
            group = groups[key] = _Group(self._retriever, origin, on_idle=lambda: groups.pop(key))
        return await group.submit(change, self.database.observer)


class _Entry(Generic[M]):
    """A caller's change, and its result once the group is written."""

    def __init__(self, change: Change[M], observer: Observer) -> None:
        self.change = change
        self.observer = observer
        self.deadline = deadline.current()
        self.context = contextvars.copy_context()
        self.future: asyncio.Future[M | None] = asyncio.get_running_loop().create_future()
        self.is_part_of_write = False
        self.answer: M | None = None
        self._failure: Exception | None = None
        self._conflict: ConflictError | None = None

    def apply_to(self, model: M | None) -> M | None:
        """The model after this change; the same model if the change fails or there is nothing to change."""
        self.answer, self._failure, self.is_part_of_write = model, None, False
        if model is None:
            return None
        try:
            changed = self.change(model)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller, whatever it is
            self._failure = error
            return model
        self.is_part_of_write = changed is not model
        if changed is not None:
            self.answer = changed
        return changed

    def meet(self, conflict: ConflictError) -> None:
        """Called when the write of this entry's turn was refused."""
        self.is_part_of_write = False
        self._conflict = conflict

    def settle(self) -> None:
        """Gives the caller its result."""
        if self._failure is not None:
            self.fail(self._failure)
        elif not self.future.done():
            self.future.set_result(self.answer)

    def fail(self, error: Exception) -> None:
        """Gives the caller an error."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller that is cancelled at this moment never retrieves it

    def expire(self) -> None:
        """Gives the caller, at its deadline, the error that says how far its change came."""
        if self.is_part_of_write:
            self.fail(OutcomeUnknownError("the change was not answered before the deadline"))
        else:
            self.fail(self._conflict or ConnectError("the change was not started before the deadline"))


class _TurnObserver(Observer):
    """Reports conflicts and retries to all callers of a turn, and the rest to the database's observer."""

    def __init__(self, origin: Observer) -> None:
        self._origin = origin
        self.entries: list[_Entry[Any]] = []

    def write_conflicted(self) -> None:
        for entry in self.entries:
            entry.observer.write_conflicted()

    def document_read(self, document_id: str | None, duration_s: float) -> None:
        for entry in self.entries:
            entry.observer.document_read(document_id, duration_s)

    def document_written(self, document_id: str, duration_s: float, *, is_conflict: bool) -> None:
        for entry in self.entries:
            entry.observer.document_written(document_id, duration_s, is_conflict=is_conflict)

    def retried(self, pause_s: float) -> None:
        for entry in self.entries:
            entry.observer.retried(pause_s)

    def write_partly_accepted(self) -> None:
        self._origin.write_partly_accepted()

    def write_sealed(self, how: str, duration_s: float) -> None:
        self._origin.write_sealed(how, duration_s)

    def leaves_buried(self, count: int) -> None:
        self._origin.leaves_buried(count)

    def foreign_leaves_met(self, count: int) -> None:
        self._origin.foreign_leaves_met(count)

    def dead_leaves_met(self, count: int) -> None:
        self._origin.dead_leaves_met(count)

    def tampering_detected(self, error: TamperedError) -> None:
        self._origin.tampering_detected(error)

    def document_left_out(self, error: CouchDBError) -> None:
        self._origin.document_left_out(error)


class _Group(Generic[M]):
    """The changes of one model that wait in this process, and the task that applies them."""

    def __init__(
        self, retriever: AsyncModelRetriever[M], database: Database, on_idle: Callable[[], object]
    ) -> None:
        self._observer = _TurnObserver(database.observer)
        self._database = database.observed_by(self._observer)
        self._retriever = retriever.on(self._database)
        self._on_idle = on_idle
        self._entries: list[_Entry[M]] = []
        self._turn: asyncio.Task[None] | None = None
        self._written: M | None = None  # the base of the next turn, which then need not read it
        self._max_size = _MAX_SIZE
        self._try_took_s = 0.0
        # In a context of its own: its deadline is the latest of its callers'.
        self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def submit(self, change: Change[M], observer: Observer) -> M | None:
        """The result of one change; see `AsyncGroupCommitter.commit`."""
        entry = _Entry(change, observer)
        self._entries.append(entry)
        remaining_s = entry.deadline.remaining_s()
        loop = asyncio.get_running_loop()
        timer = None if remaining_s == math.inf else loop.call_later(remaining_s, entry.expire)
        try:
            return await entry.future
        finally:
            if timer is not None:
                timer.cancel()
            self._end_turn_if_abandoned()

    @property
    def _in_turn(self) -> list[_Entry[M]]:
        return self._observer.entries

    def _end_turn_if_abandoned(self) -> None:
        """Ends the turn once no caller waits for it; a write that was sent runs to its end."""
        is_abandoned = self._in_turn and all(entry.future.done() for entry in self._in_turn)
        if is_abandoned and self._turn is not None:
            self._turn.cancel()

    async def _run(self) -> None:
        try:
            while self._waiting():
                self._turn = asyncio.create_task(self._take_turn())
                await asyncio.wait([self._turn])
                if self._turn.cancelled():
                    self._written = None
        finally:
            self._on_idle()

    def _waiting(self) -> list[_Entry[M]]:
        """The changes to apply, in the order of their arrival; those whose callers are gone are dropped."""
        self._entries = [entry for entry in self._entries if not entry.future.done()]
        return self._entries

    async def _take_turn(self) -> None:
        with deadline.within() as limit:
            strategy = RetryStrategy(self._pause, max_retries=None)
            try:
                await strategy.run(lambda: self._try_to_commit(limit), observer=self._observer)
            except Exception as error:  # noqa: BLE001 - it belongs to the callers, whatever it is
                self._fail(error)
            else:
                self._max_size = _MAX_SIZE
                for entry in self._in_turn:
                    entry.settle()
            finally:
                self._observer.entries = []

    def _pause(self, retry: int, previous_pause_s: float) -> float:
        # On average twice as long as the lost try: on a cluster a race takes long, and a rival that goes on
        # from what it wrote needs fewer requests than two that meet again.
        base_s = max(_SHORTEST_PAUSE_S, 4 * self._try_took_s)
        return full_jitter(base_s=base_s)(retry, previous_pause_s)

    def _fail(self, error: Exception) -> None:
        """Gives an error to the callers that it concerns; the others take part in the next turn."""
        self._written = None
        written = [entry for entry in self._in_turn if entry.is_part_of_write]
        if len(written) > 1 and _is_of_the_document(error):
            # One of the changes makes a document that can't be stored: smaller groups will show which one.
            self._max_size = len(self._in_turn) // 2
            for entry in written:
                entry.is_part_of_write = False
            return
        for entry in written or self._in_turn:
            entry.fail(error)

    async def _try_to_commit(self, limit: Deadline) -> None:
        """Applies all changes that wait now, with one write."""
        started_s = time.monotonic()
        self._observer.entries = self._waiting()[: self._max_size]
        callers.set([entry.context for entry in self._in_turn])
        limit.at_s = max((entry.deadline.at_s for entry in self._in_turn), default=-math.inf)
        before = await self._retriever.fetch() if self._written is None else self._written
        self._observer.entries = [entry for entry in self._in_turn if not entry.future.done()]
        after = before
        for entry in self._in_turn:
            after = entry.apply_to(after)
        if before is not None and after is not before:
            try:
                await self._write(before, after)
            finally:
                self._try_took_s = time.monotonic() - started_s
        elif self._written is not None:
            # Nothing is written that would show whether another process has changed the model: read it again.
            self._written = None
            await self._try_to_commit(limit)

    async def _write(self, before: M, after: M | None) -> None:
        try:
            if after is None:
                await AsyncDeleter(before, database=self._database).delete()
                self._written = None
            else:
                self._written = await AsyncPersister(after, database=self._database).persist()
                for entry in self._in_turn:
                    if entry.answer is after:
                        entry.answer = self._written
        except ConflictError as conflict:
            self._written = None
            for entry in self._in_turn:
                entry.meet(conflict)
            raise


def _is_of_the_document(error: Exception) -> bool:
    """Whether a write failed because of the document's content, and not of CouchDB's state."""
    if isinstance(error, ResponseError):
        return error.status in _STATUSES_OF_THE_DOCUMENT
    return not isinstance(error, TransportError | DataKeyError | HashingError)
