"""Requests of one kind that travel together while CouchDB is busy, and alone while it is not.

A request never waits for company: while fewer than a few batches are in flight it leaves at once.
Otherwise it joins the batch that leaves next. So an idle service adds no latency, and a busy one sends
few large requests instead of many small ones.
"""

import asyncio
import collections
import contextvars
import math
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from tor_async_couchdb import request_context
from tor_async_couchdb.errors import ConnectError, CouchDBError, TransportError

Q = TypeVar("Q")
R = TypeVar("R")


class _Entry(Generic[Q, R]):
    """A caller's request, and the batch that it left with; None while it waits."""

    __slots__ = ("batch", "future", "key", "request")

    def __init__(self, key: Hashable, request: Q, future: asyncio.Future[R]) -> None:
        self.key = key
        self.request = request
        self.future = future
        self.batch: asyncio.Task[None] | None = None


class Coalescer(Generic[Q, R]):
    """Gathers requests into batches for `send`, which gives a result or an error for each, in their order.

    Requests leave in the order in which they came, so that nobody starves; only one with the key of another
    in its batch waits for the next. A batch of reads that nobody waits for any more is cancelled.
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
        self._in_flight: dict[asyncio.Task[None], list[_Entry[Q, R]]] = {}
        self._is_dispatch_due = False

    async def submit(self, request: Q, *, key: Hashable = None) -> R:
        """The result of one request. `key` is what only one request of a batch may have; None: any.

        Raises:
            ConnectError: it did not leave before the deadline of the request that is being handled.
            TransportError: it left, and was not answered before the deadline.
            CouchDBError: what `send` says of it.
        """
        loop = asyncio.get_running_loop()
        entry: _Entry[Q, R] = _Entry(key, request, loop.create_future())
        self._waiting.append(entry)
        if not self._is_dispatch_due and len(self._in_flight) < self._max_in_flight:
            # At the end of this turn of the loop, so that what comes in one turn leaves in one batch.
            self._is_dispatch_due = True
            loop.call_soon(self._dispatch)
        remaining_s = request_context.current().remaining_s()
        try:
            async with asyncio.timeout(None if remaining_s == math.inf else remaining_s):
                return await entry.future
        except TimeoutError as error:
            self._leave(entry)
            if entry.batch is None:
                raise ConnectError("CouchDB was too busy to be asked before the deadline") from error
            raise TransportError("CouchDB did not answer before the deadline") from error
        except asyncio.CancelledError:
            self._leave(entry)
            raise

    def _leave(self, entry: _Entry[Q, R]) -> None:
        """Stops a batch of reads whose last caller has gone; one that has not left yet won't."""
        if entry.batch is not None and self._is_read:
            entries = self._in_flight.get(entry.batch, [])
            if all(each.future.done() for each in entries):
                entry.batch.cancel()

    def _dispatch(self) -> None:
        self._is_dispatch_due = False
        while len(self._in_flight) < self._max_in_flight:
            entries = self._take()
            if not entries:
                return
            # In a context of its own: the deadline of one caller is not that of the others.
            batch = asyncio.get_running_loop().create_task(self._run(entries), context=contextvars.Context())
            self._in_flight[batch] = entries
            batch.add_done_callback(self._land)
            for entry in entries:
                entry.batch = batch

    def _take(self) -> list[_Entry[Q, R]]:
        """The requests that leave next; those whose callers have gone are dropped."""
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

    async def _run(self, entries: list[_Entry[Q, R]]) -> None:
        try:
            results = await self._send([entry.request for entry in entries])
        except CouchDBError as error:
            results = [error] * len(entries)
        for entry, result in zip(entries, results, strict=True):
            if entry.future.done():
                continue
            if isinstance(result, CouchDBError):
                entry.future.set_exception(result)
            else:
                entry.future.set_result(result)

    def _land(self, batch: asyncio.Task[None]) -> None:
        error = None if batch.cancelled() else batch.exception()
        for entry in self._in_flight.pop(batch):
            if not entry.future.done():
                entry.future.set_exception(error or TransportError("the request was given up"))
        self._dispatch()
