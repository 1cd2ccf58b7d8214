from __future__ import annotations

import pytest

from tor_async_etcd import (
    Branch,
    Client,
    Comp,
    CompCreated,
    CompLease,
    CompModified,
    CompValue,
    CompVersion,
    Deleted,
    Error,
    Failed,
    KeySet,
    Op,
    OpDel,
    OpGet,
    OpSet,
    OpTransaction,
    Range,
    Revision,
    Transaction,
)


async def test_success_branch_is_done_when_all_holds(client: Client, prefix: bytes) -> None:
    key = prefix + b"a"
    await client.set(key, b"1")
    done = await client.submit(
        Transaction([CompValue(key, "==", b"1")], [OpSet(key, b"2", return_previous=True), OpGet(key)])
    )
    put, got = done.responses
    assert isinstance(put, Revision)
    assert put.previous is not None
    assert put.previous.value == b"1"
    assert isinstance(got, Range)
    assert got.kvs[0].value == b"2"
    assert got.kvs[0].mod_revision == done.header.revision


async def test_failure_branch_is_done_and_raised_when_something_does_not_hold(
    client: Client, prefix: bytes
) -> None:
    key = prefix + b"a"
    await client.set(key, b"1")
    with pytest.raises(Failed) as failed:
        await client.submit(
            Transaction([CompValue(key, "==", b"x")], [OpDel(key)], [OpDel(key, return_previous=True)])
        )
    [deleted] = failed.value.responses
    assert isinstance(deleted, Deleted)
    assert [kv.value for kv in deleted.previous] == [b"1"]


async def test_every_comparison_compares_what_it_says(client: Client, prefix: bytes) -> None:
    key, missing = prefix + b"a", prefix + b"missing"
    created = (await client.set(key, b"1")).header.revision
    modified = (await client.set(key, b"2")).header.revision
    holds: list[Comp] = [
        CompValue(key, "==", b"2"),
        CompValue(key, ">", b"1"),
        CompVersion(key, "==", 2),
        CompVersion(key, "!=", 1),
        CompCreated(key, "==", created),
        CompModified(key, "==", modified),
        CompModified(key, "<", modified + 1),
        CompLease(key, "==", 0),
        CompModified(missing, "==", 0),
        CompCreated(missing, "==", 0),
        CompModified(KeySet(prefix, prefix=True), "<", modified + 1),
    ]
    await client.submit(Transaction(holds))
    fails: list[Comp] = [
        CompValue(key, "<", b"2"),
        CompValue(missing, "==", b""),
        CompVersion(key, ">", 2),
        CompCreated(key, "!=", created),
        CompModified(KeySet(prefix, prefix=True), "<", modified),
        CompLease(key, ">", 0),
    ]
    for comparison in fails:
        with pytest.raises(Failed):
            await client.submit(Transaction([comparison]))


async def test_transaction_inside_a_transaction_has_its_own_branches(client: Client, prefix: bytes) -> None:
    key = prefix + b"a"
    inner = Transaction([CompVersion(key, "==", 5)], [OpDel(key)], [OpSet(key, b"inner")])
    done = await client.submit(Transaction(success=[OpTransaction(inner)]))
    [branch] = done.responses
    assert isinstance(branch, Branch)
    assert not branch.succeeded
    assert (await client.get(key)).kvs[0].value == b"inner"


async def test_same_key_twice_is_refused_by_etcd(client: Client, prefix: bytes) -> None:
    with pytest.raises(Error, match="duplicate key"):
        await client.submit(Transaction(success=[OpSet(prefix, b"1"), OpSet(prefix, b"2")]))


def test_what_is_no_comparison_or_operation_is_refused() -> None:
    with pytest.raises(TypeError, match="not a Comp"):
        Transaction(compare=[OpGet(b"a")])  # type: ignore[list-item]  # that is the point
    with pytest.raises(TypeError, match="not a Op"):
        Transaction(success=[CompVersion(b"a", "==", 1)])  # type: ignore[list-item]  # that is the point
    with pytest.raises(TypeError, match="not one of == != > <"):
        CompVersion(b"a", ">=", 1)
    with pytest.raises(TypeError, match="bytes"):
        OpSet(b"a", "text")  # type: ignore[arg-type]  # that is the point


def test_parts_print_all_that_they_hold() -> None:
    parts: list[Op | Comp] = [OpGet(b"a", limit=5), OpSet(b"a", b"v"), CompModified(b"a", "==", 7)]
    assert "limit=5" in repr(parts[0])
    assert "value=b'v'" in repr(parts[1])
    assert "mod_revision=7" in repr(parts[2])
    assert repr(parts[1]) in repr(Transaction(success=[OpSet(b"a", b"v")]))


def test_only_a_transaction_of_reads_changes_nothing() -> None:
    assert not Transaction([CompVersion(b"a", "==", 1)], [OpGet(b"a")]).changes
    assert Transaction(success=[OpGet(b"a"), OpDel(b"a")]).changes
    assert Transaction(failure=[OpSet(b"a", b"b")]).changes
