"""Waiting for a condition, with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    """Return once the condition holds. Raises TimeoutError if it never does."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - etcd has no event for what is waited for
            await asyncio.sleep(0.01)
