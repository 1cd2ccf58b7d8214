import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.conflicts.plan import child
from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError, TamperedError, UnmergeableError
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request
from tor_async_couchdb.tests.baskets import BLUE, MERGED, RED, Basket, Conflicts, FragileBasket, body
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.things import Documents, Thing, inline


@dataclasses.dataclass
class Counting(Observer):
    found: int = 0
    merged: int = 0
    superseded: int = 0
    failed: int = 0

    def conflict_found(self) -> None:
        self.found += 1

    def conflict_merged(self, superseded_count: int) -> None:
        self.merged += 1
        self.superseded += superseded_count

    def conflict_failed(self, error: CouchDBError) -> None:
        self.failed += 1


class Signer:
    def sign(self, doc: Mapping[str, Any]) -> str:
        return f"signature of {len(signing.signed_bytes(doc))} bytes"

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        return signature == self.sign(doc)


async def test_conflicting_revisions_become_one(connect: Connect, conflicts: Conflicts) -> None:
    counting = Counting()
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    resolver = ConflictResolver([Basket], database=connect(observer=counting))
    document = await resolver.resolve(document_id)
    assert document is not None
    assert document.items() >= MERGED.items()
    assert conflicts.live_leaves(document_id) == [document]
    assert counting == Counting(found=1, merged=1, superseded=1, failed=0)


async def test_document_without_a_conflict_is_returned_without_a_write(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    stored = conflicts.documents.put(type="unknown_v1.0", key=1)
    resolver = ConflictResolver([Basket], database=database)
    assert await resolver.resolve(stored["_id"]) == stored
    assert await resolver.resolve("absent") is None
    assert {request.method for request in proxy.requests} == {"GET"}


async def test_change_during_a_merge_is_merged_too(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))

    async def change_first(request: Request) -> Any:
        leaf = conflicts.live_leaves(document_id)[0]
        conflicts.documents.put(**leaf | {"updated_on": 3, "color": "green", "change_counts": {"east": 3}})
        return await request.forward()

    proxy.inject(change_first, "_bulk_docs")
    document = await ConflictResolver([Basket], database=database).resolve(document_id)
    assert document is not None
    assert document["color"] == "green"
    assert document["change_counts"]["east"] == 3
    assert conflicts.live_leaves(document_id) == [document]


async def test_change_of_a_merged_leaf_is_a_conflict(database: Database, conflicts: Conflicts) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    leaves = conflicts.live_leaves(document_id)
    await ConflictResolver([Basket], database=database).resolve(document_id)
    for leaf in leaves:
        with pytest.raises(CouchDBError, match="conflict"):
            await database.save(leaf)


async def test_conflict_of_an_unknown_type_is_left_as_it_is(connect: Connect, conflicts: Conflicts) -> None:
    counting = Counting()
    document_id = await conflicts.make(body(**RED, type="other_v1.0"), body(**BLUE, type="other_v1.0"))
    before = conflicts.all_leaves(document_id)
    resolver = ConflictResolver([Basket], database=connect(observer=counting))
    with pytest.raises(UnmergeableError, match=r"other_v1\.0"):
        await resolver.resolve(document_id)
    assert conflicts.all_leaves(document_id) == before
    assert counting == Counting(found=1, failed=1)


async def test_conflict_with_a_tampered_leaf_is_left_as_it_is(connect: Connect, conflicts: Conflicts) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    before = conflicts.all_leaves(document_id)
    resolver = ConflictResolver([Basket], database=connect(guard=ProtectingGuard(signer=Signer())))
    with pytest.raises(TamperedError):
        await resolver.resolve(document_id)
    assert conflicts.all_leaves(document_id) == before


async def test_merged_document_is_signed(connect: Connect, conflicts: Conflicts) -> None:
    document_id = await conflicts.make_signed(Signer(), body(**RED), body(**BLUE))
    resolver = ConflictResolver([Basket], database=connect(guard=ProtectingGuard(signer=Signer())))
    document = await resolver.resolve(document_id)
    assert document is not None
    assert signing.verify(Signer(), document)


@pytest.mark.parametrize(("model_class", "survives"), [(Basket, True), (FragileBasket, False)])
async def test_deletion_loses_against_a_change_unless_the_model_keeps_it(
    database: Database, conflicts: Conflicts, model_class: type[Basket], survives: bool
) -> None:
    document_id = await conflicts.make(body(**RED, type=model_class.type_name()), {"_deleted": True})
    document = await ConflictResolver([model_class], database=database).resolve(document_id)
    assert (document is not None) is survives
    assert len(conflicts.live_leaves(document_id)) == survives


async def test_deletion_is_kept_whatever_the_order_of_the_leaves(
    database: Database, conflicts: Conflicts
) -> None:
    resolver = ConflictResolver([FragileBasket], database=database)
    # The names of these revisions sort before and after that of the tombstone.
    for color in ("red", "blue", "green", "black"):
        changed = body(color=color, type=FragileBasket.type_name())
        assert await resolver.resolve(await conflicts.make(changed, {"_deleted": True})) is None


async def test_tombstone_of_a_merge_is_not_taken_for_a_deletion(
    database: Database, conflicts: Conflicts
) -> None:
    fragile = FragileBasket.type_name()
    document_id = await conflicts.make(body(**RED, type=fragile), body(**BLUE, type=fragile))
    resolver = ConflictResolver([FragileBasket], database=database)
    assert await resolver.resolve(document_id) is not None
    assert await resolver.resolve(document_id) is not None


def test_model_without_merge_strategies_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Thing\.count declares no merge strategy"):
        ConflictResolver([Thing], database=Database("http://127.0.0.1:1/absent"))


# Attachments of the first revision: text, which CouchDB compresses, no content, and bytes.
BASE = {"base.txt": b"base " * 100, "empty": b"", "a name/with: \u00fc?": bytes(range(256))}


async def make_attached(
    conflicts: Conflicts, database: Database, *attached: Mapping[str, bytes] | None, base_id: str = "basket"
) -> str:
    """A document with a leaf for each of `attached`, unless that is None; its id.

    The leaf has these attachments beside those of the first revision.
    """
    base = conflicts.documents.put(
        **body(), _id=base_id, _attachments={name: inline(content) for name, content in BASE.items()}
    )
    stubs = conflicts.documents.get(base_id)["_attachments"]
    colors = ["red", "blue", "green"]
    bodies = [
        body(color=color, updated_on=number)
        | {"_attachments": stubs | {name: inline(content, revpos=2) for name, content in each.items()}}
        for number, (color, each) in enumerate(zip(colors, attached, strict=False), 1)
        if each is not None
    ]
    await database.revisions.insert([child(base, each) for each in bodies])
    return base_id


async def test_merge_has_the_attachments_of_all_leaves(database: Database, conflicts: Conflicts) -> None:
    attached = [{"a.txt": b"a" * 1000, "b.bin": b"\x00"}, {"c.txt": b"c"}, {"d/e.txt": b"d", "f": b""}]
    document_id = await make_attached(conflicts, database, *attached)
    document = await ConflictResolver([Basket], database=database).resolve(document_id)
    assert document is not None
    assert conflicts.live_leaves(document_id) == [document]
    expected = BASE | attached[0] | attached[1] | attached[2]
    assert conflicts.documents.attachments(document_id) == expected


async def test_each_master_merges_attachments_to_the_same_revision(
    couchdb: CouchDBServer, connect: Connect, database: Database, conflicts: Conflicts
) -> None:
    attached = [{"a": b"one", "b": b"1"}, {"a": b"two"}, {"a": b"three", "c": b"3"}]
    document_id = await make_attached(conflicts, database, *attached)
    with couchdb.new_database() as url:
        other = connect(url)
        others = Conflicts(other, Documents(couchdb, url), couchdb)
        assert await make_attached(others, other, *attached) == document_id
        assert others.all_leaves(document_id) == conflicts.all_leaves(document_id)
        for each in (database, other):
            await ConflictResolver([Basket], database=each).resolve(document_id)
        assert others.all_leaves(document_id) == conflicts.all_leaves(document_id)
        contents = others.documents.attachments(document_id)
        assert contents == conflicts.documents.attachments(document_id)
    assert contents.keys() == BASE.keys() | {"a", "b", "c"}
    assert contents["a"] in (b"one", b"two", b"three")


async def test_data_of_attachments_is_fetched_only_if_the_parent_lacks_them(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    resolver = ConflictResolver([Basket], database=database)
    await resolver.resolve(await make_attached(conflicts, database, {}, {}))
    assert not any("attachments=true" in request.path for request in proxy.requests)
    assert conflicts.documents.attachments("basket") == BASE
    document_id = await make_attached(conflicts, database, {"a": b"1"}, {"b": b"2"}, {}, base_id="other")
    await resolver.resolve(document_id)
    fetched = [request.path for request in proxy.requests if "attachments=true" in request.path]
    assert 1 <= len(set(fetched)) == len(fetched) <= 2
    assert conflicts.documents.attachments("other") == BASE | {"a": b"1", "b": b"2"}


@pytest.mark.parametrize("only", [0, 1])
async def test_merged_attachments_are_replicated_to_a_master_that_has_one_leaf(
    couchdb: CouchDBServer, connect: Connect, database: Database, conflicts: Conflicts, only: int
) -> None:
    attached: list[Mapping[str, bytes] | None] = [{"a": b"one"}, {"b": b"two"}]
    document_id = await make_attached(conflicts, database, *attached)
    await ConflictResolver([Basket], database=database).resolve(document_id)
    with couchdb.new_database() as url:
        target = connect(url)
        targets = Conflicts(target, Documents(couchdb, url), couchdb)
        leaf = [each if number == only else None for number, each in enumerate(attached)]
        await make_attached(targets, target, *leaf)
        replicate(couchdb, conflicts.documents.name, targets.documents.name)
        assert [leaf["_rev"] for leaf in targets.all_leaves(document_id)] == [
            leaf["_rev"] for leaf in conflicts.all_leaves(document_id)
        ]
        assert targets.documents.attachments(document_id) == BASE | {"a": b"one", "b": b"two"}


def replicate(couchdb: CouchDBServer, source: str, target: str) -> None:
    auth = {"basic": {"username": couchdb.username, "password": couchdb.password}}
    job = {
        name: {"url": f"{couchdb.url}/{database}", "auth": auth}
        for name, database in (("source", source), ("target", target))
    }
    assert couchdb.succeed("POST", "_replicate", json=job).json()["ok"]


async def test_change_of_a_merged_document_keeps_its_attachments(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await make_attached(conflicts, database, {"a": b"one"}, {"b": b"two"})
    document = await ConflictResolver([Basket], database=database).resolve(document_id)
    assert document is not None
    await AsyncPersister(Basket.from_doc(document).replace(color="black"), database=database).persist()
    assert conflicts.documents.get(document_id)["color"] == "black"
    assert conflicts.documents.attachments(document_id) == BASE | {"a": b"one", "b": b"two"}


async def test_document_without_attachments_is_merged_without_any(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    document = await ConflictResolver([Basket], database=database).resolve(document_id)
    assert document is not None
    assert "_attachments" not in document
