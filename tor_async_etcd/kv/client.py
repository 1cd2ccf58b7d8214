"""The client of an etcd cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self, Unpack

from tor_async_etcd.errors import Failed, OutcomeUnknownError, TransportError
from tor_async_etcd.kv.keyset import KeySet, key_fields
from tor_async_etcd.kv.lease import Lease
from tor_async_etcd.kv.paging import PAGE_SIZE, pages
from tor_async_etcd.kv.transaction import OpGet, OpSet, Transaction, range_fields, set_fields
from tor_async_etcd.kv.watch import Options, Watch
from tor_async_etcd.results import Deleted, Header, Range, Revision, Status, Success, parse_responses
from tor_async_etcd.wire.coalescing import Coalescer, Item
from tor_async_etcd.wire.encoding import (
    KV_COMPACTION,
    KV_DELETE_RANGE,
    KV_PUT,
    KV_RANGE,
    KV_READ_TXN,
    KV_TXN,
    LEASE_LIST,
    STATUS,
    RangeOptions,
)
from tor_async_etcd.wire.gateway import Gateway
from tor_async_etcd.wire.transport import Endpoint, HttpTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Sequence

    from tor_async_etcd.kv.watch import Filter
    from tor_async_etcd.wire.transport import Transport

DEFAULT_URL = "http://127.0.0.1:2379"


class Client:
    """An etcd cluster, reached through the JSON gateways of its members.

        async with Client("http://127.0.0.1:2379") as client:
            await client.set(b"fruit", b"apple")

    Every call takes `timeout_s`, how many seconds it may last, if not as many as the client was given. It
    raises TransportError when no answer came in time, OutcomeUnknownError for a write that may have been
    applied nevertheless, and Error when etcd refused it.
    """

    def __init__(
        self,
        urls: str | Sequence[str] | None = None,
        *,
        timeout_s: float | Callable[[], float] = 10.0,
        username: str | None = None,
        password: str | None = None,
        tls: ssl.SSLContext | None = None,
        require_leader: bool = True,
        coalesce: bool = False,
        transport: Callable[[str, ssl.SSLContext | None], Transport] = HttpTransport,
    ) -> None:
        """Take one URL or those of several members; by default $ETCD_URL, else http://127.0.0.1:2379.

        A URL may have a user and a password, as `username` and `password` do; several have to be the same.
        `timeout_s` is how many seconds a call may last, or a function that is asked at each call, such as
        one that returns what is left of a request's deadline. A call with no time left is not sent.

        A member without a leader refuses requests, unless `require_leader` is False. `tls` has the
        authorities to trust and the client's certificate; without it, an https URL trusts the system's
        authorities. With `coalesce`, concurrent gets of single keys, and concurrent sets, become one request:
        several sets may then share a revision. `transport` makes the transport of one URL; a test can pass
        another one.
        """
        if urls is None:
            urls = os.environ.get("ETCD_URL") or DEFAULT_URL
        if not urls:
            raise ValueError("a client needs the URL of a member")
        if (username is None) != (password is None):
            raise TypeError("username and password belong together")
        endpoints = [Endpoint.parse(url) for url in ([urls] if isinstance(urls, str) else urls)]
        found = {endpoint.credentials for endpoint in endpoints} - {None}
        if username is not None and password is not None:
            found.add((username, password))
        if len(found) > 1:
            raise ValueError("the user and the password are not the same everywhere")
        credentials = found.pop() if found else None
        if credentials is not None and any("\ud800" <= each <= "\udfff" for each in "".join(credentials)):
            raise ValueError("the user and the password must be UTF-8")  # e.g. of the environment
        transports = [transport(endpoint.url, tls) for endpoint in endpoints]
        self.gateway = Gateway(transports, credentials, timeout_s, require_leader)
        self._reads: Coalescer[Range] | None = None
        self._writes: Coalescer[Revision] | None = None
        if coalesce:
            self._reads = Coalescer(self._get_each, distinct=False, lost_error=TransportError)
            self._writes = Coalescer(self._set_each, distinct=True, lost_error=OutcomeUnknownError)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections. Requests in flight fail."""
        await self.gateway.close()

    async def status(self, *, timeout_s: float | None = None) -> Status:
        """Return the state of the member in use. A member without a leader answers too."""
        return Status.parse(await self.gateway.call(STATUS, {}, timeout_s))

    async def get(
        self,
        key: bytes | KeySet,
        range_end: bytes | None = None,
        *,
        timeout_s: float | None = None,
        **options: Unpack[RangeOptions],
    ) -> Range:
        """Return the keys of a key set, as they are now or were at `revision`.

        Reads are linearizable: they see every write that was acknowledged before. With `serializable`, the
        member answers from its own data, which may be older.

        Raises:
            Compacted: etcd no longer keeps `revision`.
        """
        if self._reads is not None and isinstance(key, bytes) and range_end is None and not options:
            return await self._reads.do(Item(key), self._timeout_s(timeout_s))
        fields = range_fields(key, range_end, options)
        return Range.parse(await self.gateway.call(KV_RANGE, fields, timeout_s))

    async def set(
        self,
        key: bytes,
        value: bytes,
        lease: Lease | None = None,
        return_previous: bool = False,
        *,
        keep_value: bool = False,
        keep_lease: bool = False,
        timeout_s: float | None = None,
    ) -> Revision:
        """Set a key, whatever it was before. `keep_value` and `keep_lease` keep its value or its lease."""
        special = lease is not None or return_previous or keep_value or keep_lease
        if self._writes is not None and not special:
            return await self._writes.do(Item(key, value), self._timeout_s(timeout_s))
        fields = set_fields(key, value, lease, return_previous, keep_value, keep_lease)
        return Revision.parse(await self.gateway.call(KV_PUT, fields, timeout_s))

    async def delete(
        self, key: bytes | KeySet, return_previous: bool = False, *, timeout_s: float | None = None
    ) -> Deleted:
        """Delete keys. It is no error if there are none."""
        fields = {**key_fields(key), "prev_kv": return_previous}
        return Deleted.parse(await self.gateway.call(KV_DELETE_RANGE, fields, timeout_s))

    async def submit(self, transaction: Transaction, *, timeout_s: float | None = None) -> Success:
        """Run a transaction.

        Raises:
            Failed: a comparison did not hold. The error has the responses of the failure operations.
        """
        call = KV_TXN if transaction.changes else KV_READ_TXN
        reply = await self.gateway.call(call, transaction.encoded, timeout_s)
        header, responses = Header.parse(reply), parse_responses(reply)
        if not reply.get("succeeded", False):
            raise Failed(header, responses)
        return Success(header, responses)

    def lease(self, ttl_s: int, lease_id: int | None = None, *, timeout_s: float | None = None) -> Lease:
        """Return a lease of `ttl_s` seconds, to enter with `async with` or to await. See Lease.

        Its grant takes `timeout_s` at most. Its id is chosen at random if `lease_id` is None or 0.
        """
        return Lease(self.gateway, ttl_s, lease_id, timeout_s=timeout_s)

    def watch(
        self,
        keys: bytes | KeySet | Sequence[bytes | KeySet],
        *,
        start_revision: int | None = None,
        return_previous: bool = False,
        filters: Sequence[Filter] = (),
        resync: bool = False,
        timeout_s: float | None = None,
    ) -> Watch:
        """Return a watch of keys from now on, or from `start_revision` on, to enter with `async with`.

        Entering it takes `timeout_s` at most. `filters` leave out events: "NOPUT", "NODELETE".

        Several key sets are watched as the smallest range that holds them all, so that their changes come
        grouped by revision; sets that are far apart are cheaper in watches of their own. If etcd denies that
        range to this user, each key set is watched by itself: its changes come in order, but between two key
        sets there is no order, and what happened to both at one revision comes as two changes.

        With `resync` the watch survives a compaction of what comes next, and a replacement of etcd's data,
        with the difference as one change: see Change. It remembers every key that exists.
        """
        several = [keys] if isinstance(keys, bytes | KeySet) else keys
        return Watch(
            self.gateway,
            [KeySet.of(each) for each in several],
            start_revision=start_revision,
            options=Options(return_previous, frozenset(filters), resync),
            timeout_s=timeout_s,
        )

    def pages(
        self,
        keys: KeySet,
        *,
        revision: int | None = None,
        keys_only: bool = False,
        page_size: int = PAGE_SIZE,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Range]:
        """Yield the keys of a key set in order, `page_size` at a time, all as they were at one revision.

        That is `revision`, or the one of the first page. Each page takes `timeout_s` at most.

        Raises:
            Compacted: etcd forgot that revision before the last page was read.
        """
        return pages(
            self.gateway,
            keys,
            revision=revision,
            keys_only=keys_only,
            page_size=page_size,
            timeout_s=timeout_s,
        )

    async def compact(
        self, revision: int, *, physical: bool = False, timeout_s: float | None = None
    ) -> Header:
        """Let etcd forget what was before `revision`. With `physical`, return once its space is free."""
        fields = {"revision": revision, "physical": physical}
        return Header.parse(await self.gateway.call(KV_COMPACTION, fields, timeout_s))

    async def lease_ids(self, *, timeout_s: float | None = None) -> list[int]:
        """Return the ids of all leases."""
        reply = await self.gateway.call(LEASE_LIST, {}, timeout_s)
        return [int(lease["ID"]) for lease in reply.get("leases", ())]

    def _timeout_s(self, timeout_s: float | None) -> float:
        return self.gateway.timeout_s if timeout_s is None else timeout_s

    async def _get_each(self, items: Sequence[Item], timeout_s: float) -> list[Range]:
        """Return what `get` returns of each key, all of one revision."""
        reads = Transaction(success=[OpGet(item.key) for item in items])
        done = await self.submit(reads, timeout_s=timeout_s)
        return [
            Range(found.kvs, done.header, found.count, more=False)
            for found in done.responses
            if isinstance(found, Range)
        ]

    async def _set_each(self, items: Sequence[Item], timeout_s: float) -> list[Revision]:
        """Return what `set` returns of each key, all set at one revision."""
        writes = Transaction(success=[OpSet(item.key, item.value) for item in items])
        done = await self.submit(writes, timeout_s=timeout_s)
        return [Revision(done.header, None) for _ in items]
