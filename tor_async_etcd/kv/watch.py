"""Watches: what happens to keys, revision by revision, without a gap or a double."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple, Self, TypeAlias

from tor_async_etcd.errors import PERMISSION_DENIED, UNAVAILABLE, Compacted, Error, EtcdError, TransportError
from tor_async_etcd.kv.keyset import KeySet, key_fields
from tor_async_etcd.kv.paging import pages
from tor_async_etcd.results import Header, KeyValue
from tor_async_etcd.wire.backoff import pauses
from tor_async_etcd.wire.encoding import WATCH, WATCH_CREATE, encode
from tor_async_etcd.wire.gateway import repeatable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tor_async_etcd.results import Json
    from tor_async_etcd.wire.gateway import Gateway, Messages

_LOG = logging.getLogger(__name__)

Filter: TypeAlias = Literal["NOPUT", "NODELETE"]


class Event(NamedTuple):
    """A key was set or deleted. Of a deleted key `kv` has the key and the revision of its deletion alone.

    `previous` is the key before, if `return_previous` was asked for, it existed, and etcd still knows it.
    """

    type: Literal["PUT", "DELETE"]
    kv: KeyValue
    previous: KeyValue | None


class Change(NamedTuple):
    """All that happened to the watched keys at one revision.

    If it is `resynchronised` it is instead the difference between the revision of the change before and this
    one, whose steps etcd has forgotten.
    """

    revision: int
    events: list[Event]
    resynchronised: bool = False


class Watch:
    """The changes of keys, got from `Client.watch`:

        async with client.watch(KeySet(b"fruits/", prefix=True)) as watch:
            async for change in watch:
                ...

    When the context is entered the watch has begun: no later change is missed. Connections, members and
    leaders may come and go; the watch goes on where it was. Giving up waiting for a change loses nothing
    either. A consumer that is slower than the changes costs memory in etcd, not here.
    """

    def __init__(
        self,
        gateway: Gateway,
        keys: Sequence[KeySet],
        *,
        start_revision: int | None,
        return_previous: bool,
        filters: Sequence[Filter],
        resync: bool,
    ) -> None:
        """Use `Client.watch`."""
        if resync and start_revision is not None:
            raise TypeError("a watch that resynchronises starts now: it has to know which keys there are")
        self._gateway = gateway
        self._keys = keys
        self._covering = KeySet.covering(keys)
        self._options = {"prev_kv": return_previous, "filters": list(filters)}
        self._next_revision = start_revision  # the first that was not delivered completely
        self._changes: deque[Change] = deque()
        self._events: list[Event] = []  # of one revision, of which more may come
        self._known: dict[bytes, int] | None = {} if resync else None  # the keys' mod_revisions
        self._behind = resync  # etcd has forgotten what came next, or nothing is known yet
        self._messages: Messages | None = None
        self._begun = False
        self._denied = False
        self._waits = pauses()
        self._trouble: EtcdError | None = None

    async def __aenter__(self) -> Self:
        timeout_s = self._gateway.timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                while not self._begun:
                    await self._receive()
        except TimeoutError as error:
            raise TransportError(f"no watch within {timeout_s:.3g} s: {self._trouble}") from error
        finally:
            if not self._begun:
                self._disconnect()
        self._changes.clear()  # with resync that is the state it began with
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._disconnect()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change.

        Raises:
            Compacted: etcd has forgotten what came next, and the watch does not resynchronise.
            Error: etcd refuses the watch.
        """
        while not self._changes:
            await self._receive()
        return self._changes.popleft()

    async def _receive(self) -> None:
        """Take one message of etcd, or get over what went wrong."""
        try:
            if self._behind:
                await self._resynchronise()
            if self._messages is None:
                self._messages = await self._gateway.open(WATCH_CREATE, self._request())
            self._take(await self._messages.next())
        except EtcdError as error:
            self._disconnect()
            self._behind = isinstance(error, Compacted) and self._known is not None
            if not (self._behind or repeatable(error, WATCH_CREATE) or self._has_new_token(error)):
                raise
            self._trouble = error
            _LOG.warning(
                "watch of %r goes on from revision %s: %s", self._covering, self._next_revision, error
            )
            await asyncio.sleep(next(self._waits))

    def _has_new_token(self, error: EtcdError) -> bool:
        """Forget a token that may be the reason, once: etcd says the same of a token that it forgot."""
        if not isinstance(error, Error) or error.code != PERMISSION_DENIED or self._denied:
            return False
        self._denied = True
        return self._gateway.forget_token()

    def _request(self) -> Json:
        fields = {**key_fields(self._covering), **self._options, "start_revision": self._next_revision}
        fields |= {"progress_notify": True, "fragment": True}
        return {"create_request": encode(WATCH, fields)}

    def _disconnect(self) -> None:
        if self._messages is not None:
            self._messages.close()
        self._messages = None
        self._events = []

    def _take(self, message: Json) -> None:
        if message.get("canceled"):
            raise _cancellation(message)
        revision = Header.parse(message).revision
        events = [_parse_event(event) for event in message.get("events", ())]
        if message.get("created"):
            self._begun = True
            self._denied = False
            self._waits = pauses()
        if self._next_revision is None:
            self._next_revision = revision + 1
        for event in events:
            if self._events and event.kv.mod_revision != self._events[0].kv.mod_revision:
                self._complete()
            if event.kv.mod_revision >= self._next_revision:
                self._events.append(event)
        if not message.get("fragment"):  # otherwise the last revision goes on in the next message
            self._complete()
            if not events and not message.get("created"):
                # etcd's news that nothing else happened up to here, so a compaction up to here does no harm.
                self._next_revision = max(self._next_revision, revision + 1)

    def _complete(self) -> None:
        """Deliver the events of one revision."""
        if not self._events:
            return
        revision = self._events[0].kv.mod_revision
        events = self._events
        if len(self._keys) > 1:  # then what is between them was watched too
            events = [event for event in events if any(event.kv.key in keys for keys in self._keys)]
        self._events = []
        self._next_revision = revision + 1
        if events:
            self._deliver(Change(revision, events))

    def _deliver(self, change: Change) -> None:
        self._changes.append(change)
        if self._known is not None:
            for event in change.events:
                if event.type == "PUT":
                    self._known[event.kv.key] = event.kv.mod_revision
                else:
                    self._known.pop(event.kv.key, None)

    async def _resynchronise(self) -> None:
        """Deliver the difference between the keys that are known and those that there are now."""
        known = self._known or {}
        found: set[bytes] = set()
        events: list[Event] = []
        revision: int | None = None
        for keys in self._keys:
            async for page in pages(self._gateway, keys, revision=revision):
                revision = revision or page.header.revision
                found.update(kv.key for kv in page.kvs)
                events += [Event("PUT", kv, None) for kv in page.kvs if known.get(kv.key) != kv.mod_revision]
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


def _cancellation(message: Json) -> Error:
    compact_revision = int(message.get("compact_revision", 0))
    if compact_revision:
        return Compacted("the watch's next revision has been compacted", compact_revision)
    reason = str(message.get("cancel_reason", "the watch was cancelled"))
    return Error(PERMISSION_DENIED if "permission denied" in reason.lower() else UNAVAILABLE, reason)
