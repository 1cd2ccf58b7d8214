import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest

from tor_async_couchdb.conflicts.resolver import ConflictResolver
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError, TamperedError, UnmergeableError
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request
from tor_async_couchdb.tests.baskets import BLUE, MERGED, RED, Basket, Conflicts, FragileBasket, body
from tor_async_couchdb.tests.things import Thing


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


async def test_conflicting_revisions_become_one(database: Database, conflicts: Conflicts) -> None:
    database.observer = counting = Counting()
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    document = await ConflictResolver([Basket], database=database).resolve(document_id)
    assert document is not None
    assert document.items() >= MERGED.items()
    assert conflicts.live_leaves(document_id) == [document]
    assert counting == Counting(found=1, merged=1, superseded=1, failed=0)


async def test_what_is_not_in_conflict_is_given_as_it_is_and_costs_no_write(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    stored = conflicts.documents.put(type="unknown_v1.0", key=1)
    resolver = ConflictResolver([Basket], database=database)
    assert await resolver.resolve(stored["_id"]) == stored
    assert await resolver.resolve("absent") is None
    assert {request.method for request in proxy.requests} == {"GET"}


async def test_a_change_that_came_in_between_is_merged_too(
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


async def test_who_would_change_a_revision_that_was_merged_meets_a_conflict(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    leaves = conflicts.live_leaves(document_id)
    await ConflictResolver([Basket], database=database).resolve(document_id)
    for leaf in leaves:
        with pytest.raises(CouchDBError, match="conflict"):
            await database.save(leaf)


async def test_an_unknown_type_is_left_as_it_is(database: Database, conflicts: Conflicts) -> None:
    database.observer = counting = Counting()
    document_id = await conflicts.make(body(**RED, type="other_v1.0"), body(**BLUE, type="other_v1.0"))
    before = conflicts.all_leaves(document_id)
    with pytest.raises(UnmergeableError, match=r"other_v1\.0"):
        await ConflictResolver([Basket], database=database).resolve(document_id)
    assert conflicts.all_leaves(document_id) == before
    assert counting == Counting(found=1, failed=1)


async def test_a_conflict_with_a_tampered_leaf_is_left_as_it_is(
    database: Database, conflicts: Conflicts
) -> None:
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    database.tampering_signer = Signer()
    before = conflicts.all_leaves(document_id)
    with pytest.raises(TamperedError):
        await ConflictResolver([Basket], database=database).resolve(document_id)
    assert conflicts.all_leaves(document_id) == before


async def test_a_merged_document_is_signed(database: Database, conflicts: Conflicts) -> None:
    document_id = await conflicts.make_signed(Signer(), body(**RED), body(**BLUE))
    database.tampering_signer = Signer()
    document = await ConflictResolver([Basket], database=database).resolve(document_id)
    assert document is not None
    assert signing.verify(Signer(), document)


@pytest.mark.parametrize(("model_class", "survives"), [(Basket, True), (FragileBasket, False)])
async def test_a_deletion_loses_against_a_change_unless_the_type_lets_it_win(
    database: Database, conflicts: Conflicts, model_class: type[Basket], survives: bool
) -> None:
    document_id = await conflicts.make(body(**RED, type=model_class.type_name()), {"_deleted": True})
    document = await ConflictResolver([model_class], database=database).resolve(document_id)
    assert (document is not None) is survives
    assert len(conflicts.live_leaves(document_id)) == survives


async def test_a_deletion_wins_whatever_the_order_of_the_leaves(
    database: Database, conflicts: Conflicts
) -> None:
    resolver = ConflictResolver([FragileBasket], database=database)
    for color in ("red", "blue", "green", "black"):  # whose revisions come before and after the tombstone's
        changed = body(color=color, type=FragileBasket.type_name())
        assert await resolver.resolve(await conflicts.make(changed, {"_deleted": True})) is None


async def test_what_a_merge_deleted_is_no_deletion(database: Database, conflicts: Conflicts) -> None:
    fragile = FragileBasket.type_name()
    document_id = await conflicts.make(body(**RED, type=fragile), body(**BLUE, type=fragile))
    resolver = ConflictResolver([FragileBasket], database=database)
    assert await resolver.resolve(document_id) is not None
    assert await resolver.resolve(document_id) is not None


def test_a_model_that_does_not_say_how_it_merges_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Thing\.count has to be a dict"):
        ConflictResolver([Thing], database=Database("http://127.0.0.1:1/absent"))
