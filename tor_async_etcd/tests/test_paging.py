from __future__ import annotations

import pytest

from tor_async_etcd import Client, Compacted, KeySet, paging
from tor_async_etcd.testing import EtcdServer


async def test_pages_show_one_revision_though_keys_change_meanwhile(
    client: Client, prefix: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 2)
    keys = [prefix + b"%d" % number for number in range(5)]
    for key in keys:
        await client.set(key, b"old")
    seen = []
    async for page in paging.pages(client, KeySet(prefix, prefix=True)):
        seen += page.kvs
        await client.set(keys[4], b"new")
        await client.delete(keys[3])
        await client.set(prefix + b"9", b"new")
    assert [(kv.key, kv.value) for kv in seen] == [(key, b"old") for key in keys]


async def test_pages_fail_when_their_revision_is_compacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 1)
    with EtcdServer() as server:
        async with Client(server.url) as client:
            for key in (b"a", b"b", b"c"):
                await client.set(key, b"")
            pages = paging.pages(client, KeySet(b"", prefix=True))
            assert (await anext(pages)).kvs[0].key == b"a"
            changed = await client.set(b"a", b"again")
            await client.compact(changed.header.revision)
            with pytest.raises(Compacted):
                await anext(pages)
