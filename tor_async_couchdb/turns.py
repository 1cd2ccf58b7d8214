"""Waiting for a lock, and no longer than there is time."""

import asyncio
import contextlib
import math
import time
from collections.abc import AsyncIterator

from tor_async_couchdb.errors import ConnectError


@contextlib.asynccontextmanager
async def turn(
    lock: asyncio.Lock | asyncio.Semaphore, deadline_s: float, complaint: str
) -> AsyncIterator[None]:
    """Has the lock for as long as the block runs. `deadline_s` is on the clock of `time.monotonic`.

    Raises:
        ConnectError: it could not be had before the deadline; its message is the `complaint`.
    """
    try:
        async with asyncio.timeout(None if deadline_s == math.inf else deadline_s - time.monotonic()):
            await lock.acquire()
    except TimeoutError as error:
        raise ConnectError(complaint) from error
    try:
        yield
    finally:
        lock.release()
