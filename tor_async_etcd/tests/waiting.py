"""Waiting for a condition, with a deadline; and conditions to wait for."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Awaitable, Callable

from tor_async_etcd.testing import EtcdServer


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20.0) -> None:
    """Return once the condition holds. Raises TimeoutError if it never does."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - etcd has no event for what is waited for
            await asyncio.sleep(0.01)


async def watchers_are(etcd: EtcdServer, count: int) -> bool:
    """Return whether etcd has so many watches."""
    url = etcd.url + "/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read().decode())  # noqa: S310
    [line] = [line for line in text.splitlines() if line.startswith("etcd_debugging_mvcc_watcher_total ")]
    return int(line.split()[1]) == count
