"""Faults between a service and CouchDB, for services that run in processes of their own."""

import asyncio
import concurrent.futures
import contextlib
import math
from collections.abc import Callable, Iterator, Mapping

from aiohttp import web

from tor_async_couchdb.testing.fault_proxy import (
    Fault,
    FaultProxy,
    Request,
    answered,
    changed_first,
    cut_after,
    cut_before,
    cut_within,
    delayed,
)

_READY_TIMEOUT_S = 10.0
_STOP_TIMEOUT_S = 30.0


def _unless_write(fault: Fault) -> Fault:
    async def of_reads(request: Request) -> web.StreamResponse:
        return await (request.forward() if "_bulk_docs" in request.path else fault(request))

    return of_reads


FAULTS: Mapping[str, tuple[Fault, str]] = {
    "connections break before a request arrives": (cut_before, ""),
    "connections break before a write arrives": (cut_before, "_bulk_docs"),
    "connections break after a write was applied": (cut_after, "_bulk_docs"),
    "connections break within the answer to a write": (cut_within, "_bulk_docs"),
    "connections break within the answer to a read": (_unless_write(cut_within), ""),
    "answers take 300 ms": (delayed(0.3), ""),
    "a gateway answers 503": (answered(503), ""),
    "CouchDB answers 500": (answered(500, '{"error": "internal_server_error"}'), ""),
    "another client writes first": (changed_first(), "_bulk_docs"),
}
"""Each fault, and the part of a path that the requests have which meet it."""


def one_in(count: int, fault: Fault) -> Fault:
    """The fault for each `count`th request; the others are forwarded."""
    requests = 0

    async def sometimes(request: Request) -> web.StreamResponse:
        nonlocal requests
        requests += 1
        return await (request.forward() if requests % count else fault(request))

    return sometimes


@contextlib.contextmanager
def faulty_link(target: str, fault: Fault, path_part: str = "") -> Iterator[str]:
    """The URL `target` by way of a proxy where each request with `path_part` in its path meets the fault.

    The proxy runs in a thread of its own until the block ends.
    """
    ready: concurrent.futures.Future[tuple[str, Callable[[], object]]] = concurrent.futures.Future()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with FaultProxy(target) as proxy:
            proxy.inject(fault, path_part, times=math.inf)
            ready.set_result((proxy.url, lambda: loop.call_soon_threadsafe(stop.set)))
            await stop.wait()

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        serving = pool.submit(asyncio.run, serve())
        url, stop = ready.result(timeout=_READY_TIMEOUT_S)
        try:
            yield url
        finally:
            stop()
            serving.result(timeout=_STOP_TIMEOUT_S)
