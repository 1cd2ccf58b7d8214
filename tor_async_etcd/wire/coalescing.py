"""Coalescing: concurrent single reads, or independent single writes, as one request.

A request never waits for company. As long as few are under way it leaves at once; when more are, it joins the
next that leaves. So an idle client is as fast as without, and a busy one makes one request of many. A read
never joins a request that was sent before it began, so it sees every write that was acknowledged before.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from tor_async_etcd.errors import Error, EtcdError

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


class Coalescer(Generic[ResultT]):
    """Sends one item, or as many as wait and fit, with `send`."""

    def __init__(self, send: Callable[[Sequence[Item]], Awaitable[list[ResultT]]], *, distinct: bool) -> None:
        """With `distinct` a key is in a request only once: etcd refuses to set it twice at one revision."""
        self._send = send
        self._distinct = distinct
        self._waiting: list[tuple[Item, asyncio.Future[ResultT]]] = []
        self._under_way = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def do(self, item: Item) -> ResultT:
        """Return the item's own result, or raise its own error."""
        if self._under_way < MAX_UNDER_WAY:
            self._under_way += 1
            try:
                return (await self._send([item]))[0]
            finally:
                self._let_next_leave()
        future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        return await future

    def _let_next_leave(self) -> None:
        self._under_way -= 1
        if batch := self._next_batch():
            self._under_way += 1
            task = asyncio.create_task(self._run(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[ResultT]]]:
        batch: list[tuple[Item, asyncio.Future[ResultT]]] = []
        left = []
        keys: set[bytes] = set()
        size_bytes = 0
        for item, future in self._waiting:
            if future.done():
                continue  # whoever gave up takes only itself out
            size_bytes += len(item.key) + len(item.value)
            full = len(batch) == MAX_KEYS or (batch and size_bytes > MAX_BYTES)
            if full or (self._distinct and item.key in keys):
                left.append((item, future))
            else:
                batch.append((item, future))
                keys.add(item.key)
        self._waiting = left
        return batch

    async def _run(self, batch: list[tuple[Item, asyncio.Future[ResultT]]]) -> None:
        results: list[ResultT | BaseException]
        try:
            results = [*await self._send([item for item, _ in batch])]
        except Error:  # etcd refused all because of one or more, so each has to be asked for by itself
            results = await asyncio.gather(*[self._one(item) for item, _ in batch], return_exceptions=True)
        except EtcdError as error:
            results = [type(error)(str(error)) for _ in batch]
        finally:
            self._let_next_leave()
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)

    async def _one(self, item: Item) -> ResultT:
        return (await self._send([item]))[0]
