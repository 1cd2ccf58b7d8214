from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_etcd import Client, ConflictError, Database, InvalidDataError, UniqueError, pmap
from tor_async_etcd.testing import EtcdServer
from tor_async_etcd.tests.amounts import examples


@pytest.fixture
def db(client: Client, prefix: bytes) -> Database:
    return Database(client, prefix)


def people() -> tuple[pmap.MapOidJson[Any], pmap.MapStringOid, pmap.Map[tuple[str, int], int]]:
    """Return a map of people with a unique index of their names and another index of their cities."""
    table: pmap.MapOidJson[Any] = pmap.MapOidJson(1, marshal=dict, unmarshal=dict)
    by_name = pmap.MapStringOid(2)
    by_city = pmap.MapStringOidOid(3)
    table.attach_index(by_name, lambda person: person["name"])
    table.attach_index(by_city, lambda person: person.get("city"), unique=False)
    return table, by_name, by_city


async def test_map_reads_what_was_set_and_none_for_the_rest(db: Database) -> None:
    fruits = pmap.MapStringString(1)
    async with db.begin(write=True) as txn:
        fruits[txn, "apple"] = "green"
        fruits[txn, ""] = ""
        assert await fruits[txn, "apple"] == "green"
    async with db.begin(write=True) as txn:
        assert await fruits[txn, ""] == ""
        assert await fruits[txn, "pear"] is None
        del fruits[txn, "apple"]
        del fruits[txn, "pear"]
        assert await fruits[txn, "apple"] is None
    async with db.begin() as txn:
        assert [item async for item in fruits.select(txn)] == [("", "")]


async def test_select_takes_ranges_and_prefixes_and_a_limit_in_order(db: Database) -> None:
    numbers = pmap.MapOidOid(1)
    words = pmap.MapStringOid(2)
    async with db.begin(write=True) as txn:
        for number in (300, 2, 10, 1):
            numbers[txn, number] = number
        for word in ("ab", "a", "b", "abc", "ac"):
            words[txn, word] = len(word)
        assert [key async for key, _ in numbers.select(txn)] == [1, 2, 10, 300]
        assert [key async for key, _ in numbers.select(txn, 2, 300)] == [2, 10]
        assert [key async for key, _ in numbers.select(txn, from_key=3)] == [10, 300]
        assert [key async for key, _ in numbers.select(txn, to_key=3)] == [1, 2]
        assert [key async for key, _ in numbers.select(txn, 5, 5)] == []
        assert [key async for key, _ in numbers.select(txn, limit=3)] == [1, 2, 10]
        assert [key async for key, _ in numbers.select(txn, limit=0)] == []
        assert [key async for key, _ in words.select(txn, prefix="ab")] == ["ab", "abc"]
        assert [key async for key, _ in words.select(txn, prefix="a", from_key="abb")] == ["abc", "ac"]


async def test_slots_do_not_meet(db: Database) -> None:
    first, second, last = pmap.MapBinaryBinary(1), pmap.MapBinaryBinary(2), pmap.MapBinaryBinary(2**16 - 2)
    async with db.begin(write=True) as txn:
        first[txn, b"\xff\xff"] = b"1"
        second[txn, b""] = b"2"
        last[txn, b"\xff"] = b"3"
        assert [item async for item in first.select(txn)] == [(b"\xff\xff", b"1")]
        assert [item async for item in second.select(txn)] == [(b"", b"2")]
        assert [item async for item in last.select(txn)] == [(b"\xff", b"3")]


@pytest.mark.parametrize("slot", [0, -1, 2**16 - 1, "1"])
def test_slot_that_is_none_is_refused(slot: int) -> None:
    with pytest.raises(ValueError, match="is not a slot"):
        pmap.MapStringString(slot)


async def test_other_bytes_name_the_slot_and_the_key(db: Database) -> None:
    async with db.begin(write=True) as txn:
        pmap.MapStringString(7)[txn, "apple"] = "no number"
    async with db.begin() as txn:
        with pytest.raises(InvalidDataError, match=r"slot 7 .* at the key b'apple'"):
            await pmap.MapStringOid(7)[txn, "apple"]
        with pytest.raises(InvalidDataError, match="slot 7 has the key b'apple'"):
            await anext(pmap.MapOidString(7).select(txn))


async def test_indexes_follow_every_change(db: Database) -> None:
    table, by_name, by_city = people()
    async with db.begin(write=True) as txn:
        table[txn, 1] = {"name": "Ann", "city": "Rome"}
        table[txn, 2] = {"name": "Bob", "city": "Rome"}
        table[txn, 3] = {"name": "Cy"}
        assert await by_name[txn, "Bob"] == 2
    async with db.begin(write=True) as txn:
        table[txn, 1] = {"name": "Anna", "city": "Oslo"}
        del table[txn, 3]
        del table[txn, 99]
    async with db.begin() as txn:
        assert [item async for item in by_name.select(txn)] == [("Anna", 1), ("Bob", 2)]
        assert [item async for item in by_city.select(txn)] == [(("Oslo", 1), 1), (("Rome", 2), 2)]
        assert [oid async for _, oid in by_city.select(txn, prefix="Rome")] == [2]


async def test_unique_value_that_another_key_has_is_refused_and_nothing_is_written(db: Database) -> None:
    table, by_name, _ = people()

    async with db.begin(write=True) as txn:
        table[txn, 1] = {"name": "Ann"}
    with pytest.raises(UniqueError, match="slot 2 has 'Ann' already"):
        await add_another_ann(db, table)
    async with db.begin() as txn:
        assert await table[txn, 2] is None
        assert await by_name[txn, "Ann"] == 1


async def add_another_ann(db: Database, table: pmap.MapOidJson[Any]) -> None:
    async with db.begin(write=True) as txn:
        table[txn, 2] = {"name": "Ann"}


async def test_unique_error_that_was_caught_still_keeps_the_transaction_from_committing(db: Database) -> None:
    table, by_name, _ = people()
    txn = db.begin(write=True)
    table[txn, 1] = {"name": "Ann"}
    table[txn, 2] = {"name": "Ann"}
    with pytest.raises(UniqueError):
        await by_name[txn, "Ann"]
    with pytest.raises(UniqueError):
        await txn.__aexit__(None)
    async with db.begin() as check:
        assert [item async for item in table.select(check)] == []


async def test_two_keys_can_swap_a_unique_value(db: Database) -> None:
    table, by_name, _ = people()
    async with db.begin(write=True) as txn:
        table[txn, 1], table[txn, 2] = {"name": "Ann"}, {"name": "Bob"}
    async with db.begin(write=True) as txn:
        table[txn, 1], table[txn, 2] = {"name": "Bob"}, {"name": "Ann"}
    async with db.begin() as txn:
        assert [item async for item in by_name.select(txn)] == [("Ann", 2), ("Bob", 1)]


async def test_of_two_that_add_the_same_unique_value_one_is_told(db: Database) -> None:
    table, _, _ = people()
    one, other = db.begin(write=True), db.begin(write=True)
    table[one, 1] = {"name": "Ann"}
    table[other, 2] = {"name": "Ann"}
    await other.settle()
    await one.__aexit__(None)
    with pytest.raises(ConflictError):
        await other.__aexit__(None)


PEOPLE = st.fixed_dictionaries(
    {"name": st.sampled_from("ABC"), "city": st.sampled_from(["Rome", "Oslo", None])}
)
CHANGES = st.lists(st.tuples(st.integers(1, 3), PEOPLE | st.none() | st.just("look")), max_size=8)


@examples
@given(transactions=st.lists(CHANGES, max_size=4))
async def test_indexes_are_always_those_of_the_values(
    etcd: EtcdServer, transactions: list[list[tuple[int, Any]]]
) -> None:
    table, by_name, by_city = people()
    async with Client(etcd.url) as client:
        db = Database(client, uuid4().bytes)
        for changes in transactions:
            try:
                async with db.begin(write=True) as txn:
                    for oid, person in changes:
                        if person == "look":
                            await by_name[txn, "A"]
                        elif person is None:
                            del table[txn, oid]
                        else:
                            table[txn, oid] = person
            except UniqueError:
                continue
        async with db.begin() as txn:
            stored = [item async for item in table.select(txn)]
            names = [item async for item in by_name.select(txn)]
            cities = [key async for key, _ in by_city.select(txn)]
    assert names == sorted((person["name"], oid) for oid, person in stored)
    assert cities == sorted((person["city"], oid) for oid, person in stored if person["city"] is not None)


def test_uuids_are_keys_in_the_order_of_their_numbers() -> None:
    assert pmap.MapUuidString(1).key.encode(UUID(int=1)) < pmap.MapUuidString(1).key.encode(UUID(int=2))
