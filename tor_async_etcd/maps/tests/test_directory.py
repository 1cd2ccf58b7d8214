from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID, uuid4

import pytest

from tor_async_etcd import Client, Database, pmap
from tor_async_etcd.testing import EtcdServer


@pmap.table(UUID("5fbf3ee6-6b4f-4b5e-9b0e-2b6c1f2d3e4f"), marshal=dict, unmarshal=dict)
class Users(pmap.MapUuidCbor[dict[str, Any]]): ...


@pmap.table(UUID("d1f2c3b4-0a1b-4c2d-8e3f-405162738495"))
class Fruits(pmap.MapStringString): ...


async def test_table_keeps_its_slot(client: Client, prefix: bytes) -> None:
    db = Database(client, prefix)
    users, fruits = await db.attach_table(Users), await db.attach_table(Fruits)
    assert (users.slot, fruits.slot) == (1, 2)
    assert (await db.attach_table(Users)).slot == 1
    async with db.begin(write=True) as txn:
        users[txn, UUID(int=1)] = {"name": "homer"}
    async with db.begin() as txn:
        assert await (await db.attach_table(Users))[txn, UUID(int=1)] == {"name": "homer"}


async def test_processes_that_attach_at_once_agree(etcd: EtcdServer, prefix: bytes) -> None:
    kinds: list[type[Fruits]] = [
        pmap.table(uuid4())(type(f"Table{number}", (Fruits,), {})) for number in range(6)
    ]

    async def attach_all() -> list[int]:
        async with Client(etcd.url) as client:
            db = Database(client, prefix)
            tables = await asyncio.gather(*[db.attach_table(kind) for kind in kinds])
            return [table.slot for table in tables]

    async with asyncio.timeout(30):
        slots = await asyncio.gather(*[attach_all() for _ in range(4)])
    assert all(each == slots[0] for each in slots)
    assert sorted(slots[0]) == [1, 2, 3, 4, 5, 6]


async def test_class_that_is_not_decorated_is_refused(client: Client) -> None:
    with pytest.raises(TypeError, match=r"MapStringString is not decorated with pmap\.table"):
        await Database(client).attach_table(pmap.MapStringString)
