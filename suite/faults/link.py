"""The way from the services to CouchDB, by proxies that can do harm."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Self

import requests
from aiohttp import web

from suite.background import EventLoopThread
from tor_async_couchdb.testing.fault_proxy import Fault, FaultProxy, Request

Harm = Callable[[Request], Awaitable[web.StreamResponse | None]]
"""What happens to a request; None if it goes on its way."""

_TIMEOUT_S = 10.0
_MEASURED_REQUESTS = 40


def late(seconds: float) -> Harm:
    """Each request arrives that much later."""

    async def harm(_: Request) -> None:
        await asyncio.sleep(seconds)

    return harm


def one_in(count: int, fault: Fault, path_part: str = "") -> Harm:
    """Each `count`th request with `path_part` in its path meets the fault."""
    met = 0

    async def harm(request: Request) -> web.StreamResponse | None:
        nonlocal met
        met += path_part in request.path
        return await fault(request) if path_part in request.path and met % count == 0 else None

    return harm


def percent(share: float, fault: Fault) -> Harm:
    """So many of a hundred requests meet the fault, evenly spread."""
    due = 0.0

    async def harm(request: Request) -> web.StreamResponse | None:
        nonlocal due
        due += share
        if due < 100:
            return None
        due -= 100
        return await fault(request)

    return harm


class Link:
    """Proxies in front of the servers at these URLs, inside `with`. Their harms, by name, add up."""

    def __init__(self, urls: Sequence[str], loop: EventLoopThread) -> None:
        self._loop = loop
        self._proxies = {url: FaultProxy(url, is_forgetful=True) for url in urls}
        self._harms: dict[str, Harm] = {}
        self._stack = AsyncExitStack()
        self._is_open = False

    def __enter__(self) -> Self:
        for proxy in self._proxies.values():
            proxy.inject(self._pass, times=float("inf"))
        self.accept()
        return self

    def __exit__(self, *error: object) -> None:
        self.refuse()

    def put(self, name: str, harm: Harm) -> None:
        """Adds a harm, or replaces the one of this name."""
        self._harms = self._harms | {name: harm}

    def remove(self, name: str) -> None:
        """Removes a harm, if it is there."""
        self._harms = {each: harm for each, harm in self._harms.items() if each != name}

    def refuse(self) -> None:
        """Closes all connections and refuses new ones until `accept()`."""
        if self._is_open:
            self._is_open = False
            self._loop.run(self._stack.aclose(), _TIMEOUT_S)

    def accept(self) -> None:
        """Takes connections again, at the same addresses."""
        if not self._is_open:
            self._loop.run(self._enter(), _TIMEOUT_S)
            self._is_open = True

    def through(self, urls: str) -> str:
        """URLs of databases, separated by commas, by way of the proxies."""
        for url, proxy in self._proxies.items():
            urls = urls.replace(f"{url}/", f"{proxy.url.rstrip('/')}/")
        return urls

    def cost_ms(self) -> float:
        """By how many milliseconds the proxies delay a request: the difference of two medians."""
        url, proxy = next(iter(self._proxies.items()))
        direct_s, through_s = [], []
        with requests.Session() as session:
            for _ in range(_MEASURED_REQUESTS):  # in turn, so that what else the machine does meets both
                direct_s.append(_duration_s(session, url))
                through_s.append(_duration_s(session, proxy.url))
        return (statistics.median(through_s) - statistics.median(direct_s)) * 1000

    async def _enter(self) -> None:
        for proxy in self._proxies.values():
            await self._stack.enter_async_context(proxy)

    async def _pass(self, request: Request) -> web.StreamResponse:
        for harm in self._harms.values():
            response = await harm(request)
            if response is not None:
                return response
        return await (request.relay() if "feed=" in request.path else request.forward())


def _duration_s(session: requests.Session, url: str) -> float:
    started_s = time.perf_counter()
    session.get(url, timeout=_TIMEOUT_S).close()
    return time.perf_counter() - started_s
