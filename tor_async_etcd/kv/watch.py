"""Watches: the changes of keys, each exactly once, in the order of their revisions."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias

from tor_async_etcd.errors import (
    PERMISSION_DENIED,
    Compacted,
    Error,
    EtcdError,
    StoreReplacedError,
    TransportError,
)
from tor_async_etcd.kv.keyset import KeySet, key_fields
from tor_async_etcd.kv.paging import pages
from tor_async_etcd.results import Header, KeyValue
from tor_async_etcd.wire.backoff import pauses
from tor_async_etcd.wire.encoding import KV_RANGE, WATCH, WATCH_CREATE, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tor_async_etcd.results import Json
    from tor_async_etcd.wire.gateway import Gateway, Messages

_logger = logging.getLogger(__name__)

Filter: TypeAlias = Literal["NOPUT", "NODELETE"]
_FILTER_OF: dict[str, Filter] = {"PUT": "NOPUT", "DELETE": "NODELETE"}


class Event(NamedTuple):
    """A key was set or deleted. After a deletion `kv` has only the key and the revision of the deletion.

    `previous` is the key before, if it existed, `return_previous` was asked for, and etcd still keeps it.
    """

    type: Literal["PUT", "DELETE"]
    kv: KeyValue
    previous: KeyValue | None


class Change(NamedTuple):
    """All events of the watched keys at one revision.

    If it is `resynchronised`, it is the difference to the state at the change before: etcd no longer keeps
    the steps between the two.
    """

    revision: int
    events: list[Event]
    resynchronised: bool = False


class Options(NamedTuple):
    """What is the same for all key sets of a watch."""

    return_previous: bool
    filters: frozenset[Filter]
    resync: bool


class Watch:
    """The changes of keys, got from `Client.watch`:

        async with client.watch(KeySet(b"fruits/", prefix=True)) as watch:
            async for change in watch:
                ...

    Every change after the context was entered is delivered. When a connection, a member or a leader is lost,
    the watch reconnects and goes on where it was. A wait that is cancelled loses nothing. If the consumer is
    slower than the changes, they wait in etcd's memory, not here.
    """

    def __init__(
        self,
        gateway: Gateway,
        keys: Sequence[KeySet],
        *,
        start_revision: int | None,
        options: Options,
        timeout_s: float | None,
    ) -> None:
        """Use `Client.watch`."""
        if options.resync and start_revision:
            raise TypeError(
                "with resync a watch starts now, since it has to know all keys: leave out start_revision"
            )
        self._gateway = gateway
        self._timeout_s = timeout_s
        # One feed for all key sets, so that their changes come together, until etcd denies what is between
        # them. A start revision of 0 means "from now on" to etcd, as None does here.
        self._feeds = [_Feed(gateway, keys, options, start_revision or None)]
        self._waiting: dict[_Feed, asyncio.Task[None]] = {}  # only where there are several feeds

    async def __aenter__(self) -> Self:
        timeout_s = self._gateway.timeout_s if self._timeout_s is None else self._timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self._begin()
        except TimeoutError as error:
            await self._end()
            raise TransportError(f"no watch within {timeout_s:.3g} s: {self._feeds[-1].trouble}") from error
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._end()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change.

        Raises:
            Compacted: etcd no longer keeps what came next, and the watch does not resynchronise.
            StoreReplacedError: etcd's data was replaced, and the watch does not resynchronise.
            Error: etcd refuses the watch.
        """
        while True:
            if ready := [feed for feed in self._feeds if feed.changes]:
                return min(ready, key=lambda feed: feed.changes[0].revision).changes.popleft()
            try:
                await self._receive()
            except Error as error:
                self._separate(error)

    async def _begin(self) -> None:
        for feed in list(self._feeds):
            try:
                await feed.begin()
            except Error as error:
                self._separate(error)
                await self._begin()

    def _separate(self, error: Error) -> None:
        """Watch each key set by itself if etcd denies what is between them; otherwise raise the error."""
        [feed, *others] = self._feeds
        if error.code != PERMISSION_DENIED or others or len(feed.keys) == 1:
            raise error
        _logger.info("each of %r is watched by itself: %s", feed.keys, error)
        self._feeds = feed.separated()

    async def _receive(self) -> None:
        """Wait until a feed has received something."""
        if len(self._feeds) == 1:
            await self._feeds[0].receive()
            return
        for feed in self._feeds:
            if feed not in self._waiting:
                self._waiting[feed] = asyncio.create_task(feed.receive())
        await asyncio.wait(self._waiting.values(), return_when=asyncio.FIRST_COMPLETED)
        for feed, task in list(self._waiting.items()):
            if task.done():
                del self._waiting[feed]
                await task  # raises what it raised

    async def _end(self) -> None:
        tasks = list(self._waiting.values())
        self._waiting.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for feed in self._feeds:
            feed.disconnect()


class _Feed:
    """The changes of some key sets, from one stream at a time over the smallest range that holds them all."""

    def __init__(
        self,
        gateway: Gateway,
        keys: Sequence[KeySet],
        options: Options,
        next_revision: int | None,
        *,
        others: Sequence[KeySet] = (),
    ) -> None:
        """Watch `keys`, without those keys that `others` hold too."""
        self.keys = keys
        self.changes: deque[Change] = deque()
        self.trouble: EtcdError | None = None
        self._gateway = gateway
        self._covering = KeySet.covering(keys)
        self._options = options
        self._others = others
        self._next_revision = next_revision  # the first revision that was not delivered completely
        self._events: list[Event] = []  # of one revision, of which more may come
        self._known: dict[bytes, int] | None = {} if options.resync else None  # the keys' mod_revisions
        self._behind = options.resync  # the keys have to be read before the watch can go on
        self._messages: Messages | None = None
        self._begun = False
        self._denied = False
        self._waits = pauses()
        self._cluster_id = 0
        self._seems_older = False  # the member's revision is less than that of the last change

    async def begin(self) -> None:
        """Return once etcd watches."""
        while not self._begun:
            await self.receive()
        self.changes.clear()  # with resync that is the state that the watch began with

    def separated(self) -> list[_Feed]:
        """Return a feed for each key set, which go on where this one is."""
        feeds = []
        for number, keyset in enumerate(self.keys):
            others = [*self._others, *self.keys[:number]]
            feed = _Feed(self._gateway, [keyset], self._options, self._next_revision, others=others)
            if self._known is not None and self._begun:
                feed._known = {key: revision for key, revision in self._known.items() if feed._holds(key)}
                feed._behind = self._behind
            feed._begun = self._begun
            feed._cluster_id = self._cluster_id
            feeds.append(feed)
        return feeds

    async def receive(self) -> None:
        """Take one message of etcd. After an error that may pass, let the next call reconnect."""
        try:
            if self._behind:
                await self._resynchronise()
            if self._messages is None:
                self._messages = await self._gateway.open(WATCH_CREATE, self._request())
            if self._seems_older:
                await self._check_newest_revision()
            self._take(await self._messages.next())
        except EtcdError as error:
            self.disconnect()
            if isinstance(error, StoreReplacedError) and self._known is not None:
                self._known = dict.fromkeys(self._known, 0)  # the same revision may now have another value
                self._cluster_id = 0
            voids_position = isinstance(error, Compacted | StoreReplacedError)
            self._behind = self._behind or (voids_position and self._known is not None)
            is_repeatable = self._gateway.is_repeatable(error, WATCH_CREATE) or self._has_new_token(error)
            if not is_repeatable and not (voids_position and self._behind):
                raise
            self.trouble = error
            _logger.warning(
                "watch of %r goes on from revision %s: %s", self._covering, self._next_revision, error
            )
            await asyncio.sleep(next(self._waits))

    def disconnect(self) -> None:
        """End the stream, in etcd too."""
        if self._messages is not None:
            self._messages.close()
        self._messages = None
        self._events = []

    def _has_new_token(self, error: EtcdError) -> bool:
        """Forget the token, once: etcd 3.5 reports an invalid token of a watch as a denied permission."""
        if not isinstance(error, Error) or error.code != PERMISSION_DENIED or self._denied:
            return False
        self._denied = True
        return self._gateway.forget_token()

    def _request(self) -> Json:
        # To resynchronise, the feed has to know every key, so it filters itself.
        filters = [] if self._options.resync else sorted(self._options.filters)
        fields = {
            **key_fields(self._covering),
            "start_revision": self._next_revision,
            "prev_kv": self._options.return_previous,
            "filters": filters,
            "progress_notify": True,
            "fragment": True,
        }
        return {"create_request": encode(WATCH, fields)}

    async def _check_newest_revision(self) -> None:
        """Find out whether the member is only behind. Raises StoreReplacedError if it isn't."""
        fields = {**key_fields(self.keys[0]), "limit": 1, "keys_only": True}
        revision = Header.parse(await self._gateway.call(KV_RANGE, fields)).revision
        if revision + 1 < (self._next_revision or 0):
            raise StoreReplacedError(
                f"etcd's data was wiped, or restored from an older state: it is at revision {revision}, and"
                f" the watch was at {(self._next_revision or 0) - 1}"
            )
        self._seems_older = False

    def _take(self, message: Json) -> None:
        header = Header.parse(message)
        events = [_parse_event(event) for event in message.get("events", ())]
        if message.get("created"):
            if self._cluster_id not in (0, header.cluster_id):
                raise StoreReplacedError(
                    f"etcd's data was replaced: the cluster is {header.cluster_id:x}, it was"
                    f" {self._cluster_id:x}"
                )
            self._cluster_id = header.cluster_id
            self._seems_older = self._begun and header.revision + 1 < (self._next_revision or 0)
            self._begun = True
            self._denied = False
            self._waits = pauses()
        if self._next_revision is None:
            self._next_revision = header.revision + 1
        for event in events:
            if self._events and event.kv.mod_revision != self._events[0].kv.mod_revision:
                self._complete()
            if event.kv.mod_revision >= self._next_revision:
                self._events.append(event)
        if not message.get("fragment"):  # otherwise the last revision goes on in the next message
            self._complete()
            if not events and not message.get("created"):
                # A progress message: nothing else happened up to here, so a compaction up to here does no
                # harm.
                self._next_revision = max(self._next_revision, header.revision + 1)

    def _complete(self) -> None:
        """Deliver the events of one revision."""
        if not self._events:
            return
        revision = self._events[0].kv.mod_revision
        events = [event for event in self._events if self._holds(event.kv.key)]
        self._events = []
        self._next_revision = revision + 1
        if events:
            self._deliver(Change(revision, events))

    def _holds(self, key: bytes) -> bool:
        """Return whether a key of the covering range is one of the feed's."""
        if len(self.keys) == 1 and not self._others:
            return True
        return any(key in keys for keys in self.keys) and not any(key in keys for keys in self._others)

    def _deliver(self, change: Change) -> None:
        if self._known is not None:
            for event in change.events:
                if event.type == "PUT":
                    self._known[event.kv.key] = event.kv.mod_revision
                else:
                    self._known.pop(event.kv.key, None)
        if self._options.filters:
            wanted = [event for event in change.events if _FILTER_OF[event.type] not in self._options.filters]
            change = change._replace(events=wanted)
        if change.events or change.resynchronised:
            self.changes.append(change)

    async def _resynchronise(self) -> None:
        """Deliver the difference between the keys as they are known and as they are now."""
        known = self._known or {}
        found: set[bytes] = set()
        events: list[Event] = []
        revision: int | None = None
        for keys in self.keys:
            async for page in pages(self._gateway, keys, revision=revision):
                revision = revision or page.header.revision
                news = [kv for kv in page.kvs if kv.key not in found and self._holds(kv.key)]
                found.update(kv.key for kv in news)
                events += [Event("PUT", kv, None) for kv in news if known.get(kv.key) != kv.mod_revision]
        gone = [KeyValue(key, b"", 0, 0, revision or 0, 0) for key in known if key not in found]
        events += [Event("DELETE", kv, None) for kv in gone]
        self._behind = False
        self._next_revision = (revision or 0) + 1
        self._deliver(Change(self._next_revision - 1, events, resynchronised=True))


def _parse_event(event: Json) -> Event:
    previous = event.get("prev_kv")
    return Event(
        event.get("type", "PUT"),
        KeyValue.parse(event["kv"]),
        None if previous is None else KeyValue.parse(previous),
    )
