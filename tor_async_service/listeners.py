"""Those that listen to what happens: so many at most, each with what it has not taken yet, within bounds."""

import asyncio
import collections
import contextlib
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class TooManyListenersError(Exception):
    """So many listen already that another one would cost too much."""


class Listener(Generic[T]):
    """What one listener has not taken yet; the oldest items are dropped when there are too many."""

    def __init__(self, *first: T, max_items: int) -> None:
        self._items: collections.deque[T] = collections.deque(first, maxlen=max_items)
        self._has_items = asyncio.Event()
        self.dropped_count = 0
        if first:
            self._has_items.set()

    def add(self, item: T) -> None:
        """Adds an item."""
        self.dropped_count += len(self._items) == self._items.maxlen
        self._items.append(item)
        self._has_items.set()

    async def take(self) -> list[T]:
        """All items that wait; at least one."""
        await self._has_items.wait()
        self._has_items.clear()
        items = [*self._items]
        self._items.clear()
        return items


class Listeners(Generic[T]):
    """All that listen now: at most `max_listeners`, with at most `max_items` waiting for each."""

    def __init__(self, *, max_listeners: int, max_items: int) -> None:
        self._max_listeners = max_listeners
        self._max_items = max_items
        self._listeners: set[Listener[T]] = set()

    def __len__(self) -> int:
        return len(self._listeners)

    def add(self, item: T) -> None:
        """Hands an item to all that listen."""
        for listener in self._listeners:
            listener.add(item)

    @contextlib.contextmanager
    def joined(self, *first: T) -> Iterator[Listener[T]]:
        """A listener for the block, for which the items `first` wait already.

        Raises:
            TooManyListenersError: there are enough.
        """
        if len(self._listeners) >= self._max_listeners:
            raise TooManyListenersError
        listener = Listener(*first, max_items=self._max_items)
        self._listeners.add(listener)
        try:
            yield listener
        finally:
            self._listeners.discard(listener)
