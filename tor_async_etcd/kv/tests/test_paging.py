from __future__ import annotations

import pytest

from tor_async_etcd import Client, Compacted, KeySet
from tor_async_etcd.testing import EtcdServer


async def test_pages_show_one_revision_though_keys_change_meanwhile(client: Client, prefix: bytes) -> None:
    keys = [prefix + b"%d" % number for number in range(5)]
    for key in keys:
        await client.set(key, b"old")
    seen = []
    async for page in client.pages(KeySet(prefix, prefix=True), page_size=2):
        seen += page.kvs
        await client.set(keys[4], b"new")
        await client.delete(keys[3])
        await client.set(prefix + b"9", b"new")
    assert [(kv.key, kv.value) for kv in seen] == [(key, b"old") for key in keys]


async def test_pages_fail_when_their_revision_is_compacted() -> None:
    with EtcdServer() as server:
        async with Client(server.url) as client:
            for key in (b"a", b"b", b"c"):
                await client.set(key, b"")
            pages = client.pages(KeySet(b"", prefix=True), page_size=1)
            assert (await anext(pages)).kvs[0].key == b"a"
            changed = await client.set(b"a", b"again")
            await client.compact(changed.header.revision)
            with pytest.raises(Compacted):
                await anext(pages)
