"""Large reads, in pages at one revision."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tor_async_etcd.kv.keyset import KeySet, key_fields
from tor_async_etcd.results import Range
from tor_async_etcd.wire.encoding import KV_RANGE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tor_async_etcd.wire.gateway import Gateway

PAGE_SIZE = 500


async def pages(
    gateway: Gateway,
    keys: KeySet,
    *,
    revision: int | None = None,
    keys_only: bool = False,
    page_size: int = PAGE_SIZE,
    timeout_s: float | None = None,
) -> AsyncIterator[Range]:
    """Yield the keys of a key set in order, all as they were at `revision`, or at that of the first page.

    Raises:
        Compacted: etcd forgot that revision before the last page was read.
    """
    start = keys.key
    while True:
        fields = key_fields(KeySet(start, keys.range_end))
        options = {"revision": revision, "limit": page_size, "keys_only": keys_only}
        page = Range.parse(await gateway.call(KV_RANGE, {**fields, **options}, timeout_s))
        yield page
        if not page.more:
            return
        revision = revision or page.header.revision
        start = page.kvs[-1].key + b"\0"
