"""Changes of one model that wait at the same time, applied together: one read, one write, an answer each.

Databases do this for their logs ("group commit", DeWitt et al., "Implementation Techniques for Main Memory
Database Systems", 1984); here the log is a document. Within one process nobody is in conflict any more.
"""

import asyncio
import contextvars
import math
from collections.abc import Callable
from typing import Generic, TypeVar

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.actions.retrieve import AsyncDeleter, AsyncModelRetriever, AsyncPersister
from tor_async_couchdb.deadline import RequestContext
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import (
    ConflictError,
    ConnectError,
    DataKeyError,
    HashingError,
    OutcomeUnknownError,
    ResponseError,
    TransportError,
)
from tor_async_couchdb.model.model import Model
from tor_async_couchdb.retries.policy import RetryStrategy, full_jitter

M = TypeVar("M", bound=Model)

# A pure function from the model as it is to the model as it shall be; None deletes it.
Change = Callable[[M], M | None]

_MAX_SIZE = 1000
_STATUSES_OF_THE_DOCUMENT = (400, 403, 413)


class AsyncGroupCommitter(AsyncAction, Generic[M]):
    """Changes the model that a retriever finds, together with all others who want to change it now.

    Changes are made in the order in which they came; CouchDB sees what they make of the document together.
    Conflicts with other processes are tried again after a pause with full jitter, until the deadline.
    """

    def __init__(self, retriever: AsyncModelRetriever[M], *, database: Database | None = None) -> None:
        super().__init__(database=database)
        self._retriever = retriever

    async def commit(self, change: Change[M]) -> M | None:
        """The model after this change; as it was, if the change deletes it; None if there is none.

        Raises:
            ConflictError: other processes were faster until the deadline.
            ConnectError: it did not get its turn before the deadline.
            OutcomeUnknownError: it may or may not have been written.
            Exception: what the change itself raises; the others in the group don't notice.
        """
        async with self._connected() as connection:
            key = self._retriever.identity
            group: _Group[M] | None = connection.groups.get(key)
            if group is None:
                group = _Group(self._retriever, connection, on_idle=lambda: connection.groups.pop(key))
                connection.groups[key] = group
            return await group.submit(change)


class _Entry(Generic[M]):
    """One caller's change, and what the caller gets once the group has been written."""

    def __init__(self, change: Change[M]) -> None:
        self.change = change
        self.context = deadline.current()
        self.future: asyncio.Future[M | None] = asyncio.get_running_loop().create_future()
        self.is_part_of_write = False
        self.answer: M | None = None
        self._failure: Exception | None = None
        self._conflict: ConflictError | None = None

    def apply_to(self, model: M | None) -> M | None:
        """The model after this change; the same if the change fails or there is nothing to change."""
        self.answer, self._failure, self.is_part_of_write = model, None, False
        if model is None:
            return None
        try:
            changed = self.change(model)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            self._failure = error
            return model
        self.is_part_of_write = changed is not model
        if changed is not None:
            self.answer = changed
        return changed

    def meet(self, conflict: ConflictError) -> None:
        """The write that this change was part of, or came after, was refused."""
        self.is_part_of_write = False
        self._conflict = conflict
        self.context.conflict_count += 1

    def settle(self) -> None:
        """Gives the caller its own answer, unless the caller has gone."""
        if self._failure is not None:
            self.fail(self._failure)
        elif not self.future.done():
            self.future.set_result(self.answer)

    def fail(self, error: Exception) -> None:
        """Gives the caller an error, unless the caller has gone."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller who is cancelled in this very moment never asks for it

    def expire(self) -> None:
        """Tells the caller, at its deadline, what is known of its change by now."""
        if self.is_part_of_write:
            self.fail(OutcomeUnknownError("the change was not answered before the deadline"))
        else:
            self.fail(self._conflict or ConnectError("the change did not get its turn before the deadline"))


class _Group(Generic[M]):
    """All changes of one model that wait in this process, and the task that makes them."""

    def __init__(
        self, retriever: AsyncModelRetriever[M], database: Database, on_idle: Callable[[], object]
    ) -> None:
        self._retriever = retriever
        self._database = database
        self._on_idle = on_idle
        self._entries: list[_Entry[M]] = []
        self._in_turn: list[_Entry[M]] = []
        self._turn: asyncio.Task[None] | None = None
        self._written: M | None = None  # spares the next turn the read
        self._max_size = _MAX_SIZE
        # In a context of its own, as its deadlines are those of all callers.
        self._task = asyncio.get_running_loop().create_task(self._run(), context=contextvars.Context())

    async def submit(self, change: Change[M]) -> M | None:
        """The answer to one change; see `AsyncGroupCommitter.commit`."""
        entry = _Entry(change)
        self._entries.append(entry)
        remaining_s = entry.context.remaining_s()
        loop = asyncio.get_running_loop()
        timer = None if remaining_s == math.inf else loop.call_later(remaining_s, entry.expire)
        try:
            return await entry.future
        finally:
            if timer is not None:
                timer.cancel()
            self._end_turn_if_abandoned()

    def _end_turn_if_abandoned(self) -> None:
        """Ends the turn once nobody waits for it; a write that has been sent is not disturbed by that."""
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
        """The changes to make, in the order in which they came; those whose callers have gone are dropped."""
        self._entries = [entry for entry in self._entries if not entry.future.done()]
        return self._entries

    async def _take_turn(self) -> None:
        with deadline.request() as context:
            strategy = RetryStrategy(full_jitter(), max_retries=None)
            try:
                await strategy.run(lambda: self._try_to_commit(context))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the callers'
                self._fail(error)
            else:
                self._max_size = _MAX_SIZE
                for entry in self._in_turn:
                    entry.settle()
            finally:
                for entry in self._in_turn:
                    entry.context.retry_count += context.retry_count
                    entry.context.retry_wait_s += context.retry_wait_s
                self._in_turn = []

    def _fail(self, error: Exception) -> None:
        """Gives an error to those whom it concerns; the others have another turn."""
        self._written = None
        written = [entry for entry in self._in_turn if entry.is_part_of_write]
        if len(written) > 1 and _is_of_the_document(error):
            # One of the changes makes a document that can't be stored: a smaller group will show which.
            self._max_size = len(self._in_turn) // 2
            for entry in written:
                entry.is_part_of_write = False
            return
        for entry in written or self._in_turn:
            entry.fail(error)

    async def _try_to_commit(self, context: RequestContext) -> None:
        """Makes all changes that wait by now, with one write."""
        self._in_turn = self._waiting()[: self._max_size]
        context.deadline_s = max((entry.context.deadline_s for entry in self._in_turn), default=-math.inf)
        before = await self._retriever.fetch() if self._written is None else self._written
        self._in_turn = [entry for entry in self._in_turn if not entry.future.done()]
        after = before
        for entry in self._in_turn:
            after = entry.apply_to(after)
        if before is not None and after is not before:
            await self._write(before, after)
        elif self._written is not None:
            # Nothing is written that could show whether others have changed the model since: read it again.
            self._written = None
            await self._try_to_commit(context)

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
    """Whether a write failed for what is in the document, and not for the state that CouchDB is in."""
    if isinstance(error, ResponseError):
        return error.status in _STATUSES_OF_THE_DOCUMENT
    return not isinstance(error, TransportError | DataKeyError | HashingError)
