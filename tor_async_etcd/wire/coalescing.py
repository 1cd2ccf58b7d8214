"""Coalescing: concurrent single reads, or independent single writes, as one request.

A request never waits for company. While few are under way it leaves at once; otherwise it joins the next one
that leaves. So an idle client is as fast as without coalescing, and a busy one makes one request of many. A
read never joins a request that was sent before the read began, so it sees every write that was acknowledged
before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from tor_async_etcd.errors import Error, EtcdError, NotSentError, TransportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

MAX_KEYS = 128  # etcd's default --max-txn-ops
MAX_BYTES = 1_000_000  # etcd's default --max-request-bytes is 1,572,864
MAX_UNDER_WAY = 4

ResultT = TypeVar("ResultT")


class Item(NamedTuple):
    """A key to get, or to set to a value."""

    key: bytes
    value: bytes = b""


class _Waiter(Generic[ResultT]):
    """A caller that waits: its item, its deadline in the event loop's time, and its result."""

    __slots__ = ("deadline", "future", "has_left", "item")

    def __init__(self, item: Item, deadline: float) -> None:
        self.item = item
        self.deadline = deadline
        self.future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self.has_left = False


class Coalescer(Generic[ResultT]):
    """Sends one item, or as many as wait and fit, with `send(items, timeout_s)`."""

    def __init__(
        self,
        send: Callable[[Sequence[Item], float], Awaitable[list[ResultT]]],
        *,
        distinct: bool,
        lost_error: type[TransportError],
    ) -> None:
        """Raise `lost_error` for an item that was sent and has no result in time.

        With `distinct` a key is in a request only once: etcd refuses to set it twice at one revision.
        """
        self._send = send
        self._distinct = distinct
        self._lost_error = lost_error
        self._waiting: list[_Waiter[ResultT]] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, item: Item, timeout_s: float) -> ResultT:
        """Return the item's own result, or raise its own error, within `timeout_s`.

        Raises:
            NotSentError: it did not leave in time.
        """
        if self._under_way < MAX_UNDER_WAY:
            self._under_way += 1
            try:
                return (await self._send([item], timeout_s))[0]
            finally:
                self._let_next_leave()
        waiter: _Waiter[ResultT] = _Waiter(item, asyncio.get_running_loop().time() + timeout_s)
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(waiter.deadline):
                return await waiter.future
        except TimeoutError as error:
            kind = self._lost_error if waiter.has_left else NotSentError
            raise kind(f"no answer within {timeout_s:.3g} s") from error

    def _let_next_leave(self) -> None:
        self._under_way -= 1
        if batch := self._next_batch():
            self._under_way += 1
            task = asyncio.create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> list[_Waiter[ResultT]]:
        batch: list[_Waiter[ResultT]] = []
        left = []
        keys: set[bytes] = set()
        size_bytes = 0
        for waiter in self._waiting:
            if waiter.future.done():
                continue  # a caller that gave up takes only its own item out
            item = waiter.item
            size_bytes += len(item.key) + len(item.value)
            full = len(batch) == MAX_KEYS or (batch and size_bytes > MAX_BYTES)
            if full or (self._distinct and item.key in keys):
                left.append(waiter)
            else:
                batch.append(waiter)
                keys.add(item.key)
                waiter.has_left = True
        self._waiting = left
        return batch

    async def _run(self, batch: list[_Waiter[ResultT]]) -> None:
        """Send a batch for as long as any of its callers waits, and give each its result."""
        results: list[ResultT | BaseException]
        timeout_s = max(waiter.deadline for waiter in batch) - asyncio.get_running_loop().time()
        try:
            results = [*await self._send([waiter.item for waiter in batch], timeout_s)]
        except Error:  # etcd refused all because of one or more, so each has to be asked for by itself
            results = await asyncio.gather(*[self._one(waiter) for waiter in batch], return_exceptions=True)
        except EtcdError as error:
            results = [type(error)(str(error)) for _ in batch]
        finally:
            self._let_next_leave()
        for waiter, result in zip(batch, results, strict=True):
            if waiter.future.done():
                continue
            if isinstance(result, BaseException):
                waiter.future.set_exception(result)
            else:
                waiter.future.set_result(result)

    async def _one(self, waiter: _Waiter[ResultT]) -> ResultT:
        timeout_s = waiter.deadline - asyncio.get_running_loop().time()
        return (await self._send([waiter.item], timeout_s))[0]
