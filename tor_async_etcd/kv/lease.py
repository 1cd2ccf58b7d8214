"""Leases: etcd deletes the keys of a lease when the lease ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Self, TypeVar

from tor_async_etcd.errors import NOT_FOUND, Error, EtcdError, Expired
from tor_async_etcd.results import Header
from tor_async_etcd.wire.encoding import LEASE_GRANT, LEASE_KEEPALIVE, LEASE_REVOKE, LEASE_TIMETOLIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator

    from tor_async_etcd.results import Json
    from tor_async_etcd.wire.gateway import Gateway

T = TypeVar("T")

_logger = logging.getLogger(__name__)
_REVOKE_TIMEOUT_S = 2.0
_LARGEST_ID = 2**63 - 1  # etcd's ids are signed
_CLOCK_CHECK_S = 0.25
# A clock that runs on while the machine is suspended, since etcd's, on another machine, runs on too. On Linux
# the event loop's clock, CLOCK_MONOTONIC, stands still meanwhile.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def time_since_boot() -> float:
    """Return the seconds since the machine was started, including those in which it was suspended."""
    return time.clock_gettime(_CLOCK)


def _random_id() -> int:
    """Return an id from 1 to 2**62."""
    return int.from_bytes(os.urandom(8), "big") // 4 + 1


class Lease:
    """A lease, got from `Client.lease`.

    As a context, it is kept alive in the background and revoked at the end:

        async with client.lease(ttl_s=10) as lease:
            await client.set(b"here", b"me", lease)

    Awaited, `lease = await client.lease(10)`, it is granted, and its caller has to call `refresh`.

    Its time is counted from when the grant, or the renewal, was sent. So the client gives it up before etcd
    does. The time runs on while the machine is suspended: once it wakes up, every method raises Expired, and
    `lost` is done within a quarter of a second. A lost lease stays lost, since its keys may be deleted.
    """

    def __init__(
        self,
        gateway: Gateway,
        ttl_s: int,
        lease_id: int | None = None,
        *,
        timeout_s: float | None = None,
        clock: Callable[[], float] = time_since_boot,
    ) -> None:
        """Use `Client.lease`.

        Raises:
            TypeError: `ttl_s` is not a whole number of seconds, 1 or more, or `lease_id` is no integer.
            ValueError: `lease_id` is not between 0 and 2**63 - 1.
        """
        if not isinstance(ttl_s, int) or isinstance(ttl_s, bool) or ttl_s < 1:
            raise TypeError(f"a lease lives for a whole number of seconds, 1 or more, not {ttl_s!r}")
        if not isinstance(lease_id, int | None) or isinstance(lease_id, bool):
            raise TypeError(f"{lease_id!r} is not the id of a lease: it is no integer")
        if lease_id is not None and not 0 <= lease_id <= _LARGEST_ID:
            raise ValueError(f"{lease_id} is not the id of a lease: it is not between 0 and 2**63 - 1")
        self.ttl_s = ttl_s
        # 0 would let etcd choose an id itself, and a grant whose answer is lost could not be revoked.
        self.lease_id = lease_id or _random_id()
        self.header: Header | None = None
        self._gateway = gateway
        self._timeout_s = timeout_s
        self._clock = clock
        self._keeper: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = math.inf
        self._lost: asyncio.Future[str] | None = None

    def __await__(self) -> Generator[object, None, Self]:
        return self._grant().__await__()

    async def __aenter__(self) -> Self:
        await self._grant()
        self._keeper = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeper
        await asyncio.shield(self._let_go())

    @property
    def lost(self) -> asyncio.Future[str]:
        """A future that is done when the lease is lost; its result is the reason."""
        return asyncio.shield(self._held())

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await the work and return its result; cancel it and raise Expired as soon as the lease is lost."""
        try:
            self._check()
        except Expired:
            work.close()  # otherwise it would take its first step before it could be cancelled
            raise
        lost = self.lost
        task = asyncio.create_task(work)
        try:
            await asyncio.wait({task, lost}, return_when=asyncio.FIRST_COMPLETED)  # type: ignore[type-var]
            if task.done():
                return task.result()
        finally:
            if task.cancel():
                await asyncio.wait([task])
        raise Expired(f"lease {self.lease_id:x}: {lost.result()}")

    async def remaining(self, *, timeout_s: float | None = None) -> int:
        """Return after how many seconds etcd ends the lease. Raises Expired."""
        return int((await self._ask(keys=False, timeout_s=timeout_s))["TTL"])

    async def keys(self, *, timeout_s: float | None = None) -> list[bytes]:
        """Return the keys that have this lease. Raises Expired."""
        reply = await self._ask(keys=True, timeout_s=timeout_s)
        return [a2b_base64(key) for key in reply.get("keys", ())]

    async def refresh(self, *, timeout_s: float | None = None) -> Header:
        """Renew the lease for its whole time. Raises Expired."""
        self._check()
        sent = self._clock()
        reply = await self._gateway.call(LEASE_KEEPALIVE, {"ID": self.lease_id}, timeout_s)
        self._check()
        if int(reply.get("TTL", 0)) <= 0:
            self._lose("etcd does not have it any more")
            self._check()
        self._run_until(sent + int(reply["TTL"]))
        return Header.parse(reply)

    async def revoke(self, *, timeout_s: float | None = None) -> Header:
        """End the lease, and delete its keys. Raises Expired."""
        self._check()
        try:
            reply = await self._gateway.call(LEASE_REVOKE, {"ID": self.lease_id}, timeout_s)
        except Error as error:
            if error.code != NOT_FOUND:
                raise
            self._lose("etcd does not have it any more")
            self._check()
        self._lose("it was revoked")
        return Header.parse(reply)

    async def _ask(self, *, keys: bool, timeout_s: float | None) -> Json:
        self._check()
        reply = await self._gateway.call(LEASE_TIMETOLIVE, {"ID": self.lease_id, "keys": keys}, timeout_s)
        if int(reply.get("TTL", 0)) <= 0:
            self._lose("etcd does not have it any more")
        self._check()
        return reply

    async def _grant(self) -> Self:
        if self._lost is not None:
            raise RuntimeError("a lease is granted once; ask Client.lease for another")
        sent = self._clock()
        call = self._gateway.call(LEASE_GRANT, {"TTL": self.ttl_s, "ID": self.lease_id}, self._timeout_s)
        granting = asyncio.ensure_future(call)
        try:
            reply = await asyncio.shield(granting)
        except asyncio.CancelledError:
            # A revocation that overtakes the grant would leave the lease behind.
            await asyncio.wait([granting], timeout=_REVOKE_TIMEOUT_S)
            granting.cancel()
            await asyncio.shield(self._let_go())
            raise
        self._lost = asyncio.get_running_loop().create_future()
        self.ttl_s = int(reply["TTL"])  # longer than asked for if its elections could take longer
        self.header = Header.parse(reply)
        self._run_until(sent + self.ttl_s)
        return self

    async def _keep_alive(self) -> None:
        pause_s = self.ttl_s / 3
        while True:
            await asyncio.sleep(pause_s)
            try:
                await self.refresh(timeout_s=self.ttl_s / 3)
                pause_s = self.ttl_s / 3
            except Expired:
                return
            except EtcdError as error:
                _logger.warning("lease %x was not refreshed: %s", self.lease_id, error)
                pause_s = self.ttl_s / 20

    async def _let_go(self) -> None:
        try:
            if self._lost is None or not self._lost.done():
                await self._gateway.call(LEASE_REVOKE, {"ID": self.lease_id}, _REVOKE_TIMEOUT_S)
        except EtcdError as error:
            if not isinstance(error, Error) or error.code != NOT_FOUND:
                _logger.warning("lease %x was not revoked, it ends by itself: %s", self.lease_id, error)
        finally:
            if self._lost is not None:
                self._lose("it was given back")

    def _run_until(self, deadline: float) -> None:
        self._deadline = deadline
        if self._timer is None:
            self._watch_the_clock()

    def _watch_the_clock(self) -> None:
        """Look at the clock four times a second: after a suspension the event loop's timers are late."""
        left_s = self._deadline - self._clock()
        if left_s <= 0:
            self._lose("its time ran out")
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(left_s, _CLOCK_CHECK_S), self._watch_the_clock)

    def _lose(self, reason: str) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._held().done():
            self._held().set_result(reason)

    def _held(self) -> asyncio.Future[str]:
        if self._lost is None:
            raise RuntimeError("the lease was not granted yet: await it, or enter it with async with")
        return self._lost

    def _check(self) -> None:
        if self._clock() >= self._deadline:  # the timer may be late
            self._lose("its time ran out")
        if self._held().done():
            raise Expired(f"lease {self.lease_id:x}: {self._held().result()}")
