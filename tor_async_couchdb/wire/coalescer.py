"""Batches of requests: alone while CouchDB is idle, together while it is busy.

While nothing is in flight a request is sent at once. Otherwise it joins the next batch. That batch is sent
when one in flight finishes, or earlier: once as many requests wait as the largest batch in flight has, or
when those in flight are overdue. So an idle service adds no latency, and a busy one sends few large requests,
which cost CouchDB far less for each document than many small ones.
"""

import asyncio
import collections
import contextvars
import functools
import math
import time
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Iterable, Sequence
from typing import Any, Generic, TypeVar

import yarl

from tor_async_couchdb import deadline
from tor_async_couchdb.calls import context_for
from tor_async_couchdb.deadline import Deadline
from tor_async_couchdb.errors import ConnectError, CouchDBError, TransportError
from tor_async_couchdb.wire.nodes import Nodes

Q = TypeVar("Q")
R = TypeVar("R")

# Many times as long as CouchDB needs for a batch. An overdue batch may be stuck, so no request waits for it.
_OVERDUE_AFTER_S = 0.25


class _Entry(Generic[Q, R]):
    """A caller's request, and the batch that it is in flight with."""

    __slots__ = ("batch", "context", "deadline_s", "future", "key", "request")

    def __init__(self, request: Q, key: Hashable, deadline_s: float) -> None:
        self.request = request
        self.key = key
        self.deadline_s = deadline_s
        self.context = contextvars.copy_context()
        self.future: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self.batch: _Batch[Q, R] | None = None

    def settle(self, result: R | BaseException) -> None:
        """Gives the caller a result or an error, unless the caller has one or was cancelled."""
        if self.future.done():
            return
        if isinstance(result, BaseException):
            self.future.set_exception(result)
            self.future.exception()  # a caller that is cancelled at this moment never retrieves it
        else:
            self.future.set_result(result)


class _Batch(Generic[Q, R]):
    """Requests that are sent together, and the deadline of the task that sends them."""

    __slots__ = ("deadline", "entries", "overdue_at_s", "task")

    def __init__(self, entries: list[_Entry[Q, R]], deadline: Deadline, task: asyncio.Task[None]) -> None:
        self.entries = entries
        self.deadline = deadline
        self.task = task
        self.overdue_at_s = time.monotonic() + _OVERDUE_AFTER_S


class Coalescer(Generic[Q, R]):
    """Gathers requests into batches for `send`, which returns a result or an error for each, in their order.

    Requests are sent in the order of their arrival, so none starves; only a request with the same key as
    another of its batch waits for the next one. A caller that is cancelled takes only its own request out.
    Once all callers of a batch are gone, a read is cancelled; a write that was sent runs to its end, and is
    not repeated.
    """

    def __init__(
        self,
        send: Callable[[Sequence[Q]], Awaitable[Sequence[R | CouchDBError]]],
        *,
        is_read: bool,
        max_size: int = 128,
        max_in_flight: int = 2,
    ) -> None:
        self._send = send
        self._is_read = is_read
        self._max_size = max_size
        self._max_in_flight = max_in_flight
        self._waiting: collections.deque[_Entry[Q, R]] = collections.deque()
        self._in_flight: set[_Batch[Q, R]] = set()
        self._is_dispatch_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._wakes_at_s = math.inf

    async def submit(self, request: Q, *, key: Hashable = None) -> R:
        """The result of one request. A batch never has two requests with the same `key`, unless it is None.

        Raises:
            ConnectError: the request was not sent before the deadline.
            TransportError: the request was sent and not answered before the deadline.
            CouchDBError: the error that `send` returned or raised.
        """
        limit = deadline.current()
        if limit.remaining_s() <= 0:
            raise ConnectError("the deadline passed before CouchDB was asked")
        entry: _Entry[Q, R] = _Entry(request, key, limit.at_s)
        self._waiting.append(entry)
        if not self._is_dispatch_due:
            # At the end of this iteration of the event loop, so that its requests share a batch.
            self._is_dispatch_due = True
            asyncio.get_running_loop().call_soon(self._dispatch)
        self._wake_by(limit.at_s)
        try:
            return await entry.future
        except asyncio.CancelledError:
            self._stop_if_abandoned(entry.batch)
            raise

    def _wake_by(self, time_s: float) -> None:
        """Sets the one timer of all waiting requests; a timer for each would cost more processor time."""
        if time_s >= self._wakes_at_s:
            return
        self._stop_timer()
        self._wakes_at_s = time_s
        self._timer = asyncio.get_running_loop().call_later(time_s - time.monotonic(), self._wake)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._wakes_at_s = None, math.inf

    def _wake(self) -> None:
        self._stop_timer()
        in_flight = (entry for batch in self._in_flight for entry in batch.entries)
        unanswered = [entry for entry in (*self._waiting, *in_flight) if not entry.future.done()]
        now_s = time.monotonic()
        for entry in unanswered:
            if entry.deadline_s <= now_s:
                self._expire(entry)
            else:
                self._wake_by(entry.deadline_s)
        self._dispatch()

    def _expire(self, entry: _Entry[Q, R]) -> None:
        if entry.batch is None:
            entry.settle(ConnectError("CouchDB was too busy to be asked before the deadline"))
        else:
            entry.settle(TransportError("CouchDB did not answer before the deadline"))
        self._stop_if_abandoned(entry.batch)

    def _stop_if_abandoned(self, batch: _Batch[Q, R] | None) -> None:
        if batch is None or not all(entry.future.done() for entry in batch.entries):
            return
        batch.deadline.at_s = -math.inf
        if self._is_read:
            batch.task.cancel()

    def _dispatch(self) -> None:
        self._is_dispatch_due = False
        while self._may_send() and (entries := self._take()):
            self._start(entries)
        if self._waiting:
            self._wake_by(min((batch.overdue_at_s for batch in self._not_overdue()), default=math.inf))

    def _not_overdue(self) -> list[_Batch[Q, R]]:
        """The batches in flight that do not take unusually long."""
        now_s = time.monotonic()
        return [batch for batch in self._in_flight if now_s < batch.overdue_at_s]

    def _may_send(self) -> bool:
        if len(self._in_flight) >= self._max_in_flight:
            return False
        return len(self._waiting) >= max((len(batch.entries) for batch in self._not_overdue()), default=0)

    def _take(self) -> list[_Entry[Q, R]]:
        """The requests of the next batch; those whose callers are gone are dropped."""
        entries: list[_Entry[Q, R]] = []
        held_back: list[_Entry[Q, R]] = []
        keys = set()
        while self._waiting and len(entries) < self._max_size:
            entry = self._waiting.popleft()
            if entry.future.done():
                continue
            if entry.key is None or entry.key not in keys:
                keys.add(entry.key)
                entries.append(entry)
            else:
                held_back.append(entry)
        self._waiting.extendleft(reversed(held_back))
        return entries

    def _start(self, entries: list[_Entry[Q, R]]) -> None:
        """Sends a batch, in a context whose deadline is the latest of its callers'."""
        context = context_for([entry.context for entry in entries])
        limit = context.run(deadline.enter, math.inf)
        limit.at_s = max(entry.deadline_s for entry in entries)
        task = asyncio.get_running_loop().create_task(self._run(entries), context=context)
        batch = _Batch(entries, limit, task)
        for entry in entries:
            entry.batch = batch
        self._in_flight.add(batch)
        task.add_done_callback(lambda task: self._finish(batch))

    async def _run(self, entries: list[_Entry[Q, R]]) -> None:
        results: Iterable[R | CouchDBError]
        try:
            results = await self._send([entry.request for entry in entries])
        except CouchDBError as error:
            results = [error] * len(entries)
        for entry, result in zip(entries, results, strict=True):
            entry.settle(result)

    def _finish(self, batch: _Batch[Q, R]) -> None:
        self._in_flight.remove(batch)
        error = None if batch.task.cancelled() else batch.task.exception()
        for entry in batch.entries:
            entry.settle(error or TransportError("the request was cancelled"))
            entry.batch = None  # a cycle would leave all of the request to the garbage collector
        self._dispatch()
        if not self._in_flight:
            self._stop_timer()


class NodeCoalescers(Generic[Q, R]):
    """A coalescer for each node, so that all documents of a batch belong to the node that it is sent to."""

    def __init__(
        self,
        nodes: Nodes,
        send: Callable[[Sequence[Q], yarl.URL], Awaitable[Sequence[R | CouchDBError]]],
        *,
        is_read: bool,
    ) -> None:
        self._nodes = nodes
        self._coalescers: dict[yarl.URL, Coalescer[Q, R]] = {
            node: Coalescer(functools.partial(_send_to, node, send), is_read=is_read) for node in nodes.urls
        }

    def submit(self, document_id: str, request: Q, *, key: Hashable = None) -> Coroutine[Any, Any, R]:
        """The result of one request, which is about this document; see `Coalescer.submit`."""
        return self._coalescers[self._nodes.of_document(document_id)].submit(request, key=key)


def _send_to(
    node: yarl.URL,
    send: Callable[[Sequence[Q], yarl.URL], Awaitable[Sequence[R | CouchDBError]]],
    requests: Sequence[Q],
) -> Awaitable[Sequence[R | CouchDBError]]:
    return send(requests, node)
