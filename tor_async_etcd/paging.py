"""Large reads, in pages at one revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .keyset import KeySet

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .client import Client
    from .results import Range

PAGE_SIZE = 500


async def pages(
    client: Client, keys: KeySet, *, revision: int | None = None, keys_only: bool = False
) -> AsyncIterator[Range]:
    """Yield the keys of a key set in order, all as they were at `revision`, or that of the first page.

    Raises:
        Compacted: that revision was forgotten before the last page was read.
    """
    start = keys.key
    while True:
        page = await client.get(
            KeySet(start, keys.range_end),
            revision=revision or 0,
            limit=PAGE_SIZE,
            keys_only=keys_only,
        )
        yield page
        if not page.more:
            return
        revision = revision or page.header.revision
        start = page.kvs[-1].key + b"\0"
