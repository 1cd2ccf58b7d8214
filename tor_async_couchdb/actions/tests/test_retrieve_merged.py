from pathlib import Path
from typing import Annotated

import pytest

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.retrieve import AsyncPersister
from tor_async_couchdb.actions.retrieve_merged import AsyncMergedModelRetriever, AsyncMergedModelsRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import CouchDBError, InvalidDocumentError, TamperedError
from tor_async_couchdb.model.properties import Immutable, UniqueKey
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.baskets import BLUE, MERGED, RED, Basket, Conflicts, body

VIEW = "thing_by_key"


class BasketRetriever(AsyncMergedModelRetriever[Basket]):
    """Finds a basket."""


class BasketsRetriever(AsyncMergedModelsRetriever[Basket]):
    """Finds baskets."""


async def test_who_reads_a_conflict_gets_the_merged_model_and_can_change_it(
    database: Database, conflicts: Conflicts
) -> None:
    conflicts.documents.put_view()
    document_id = await conflicts.make(body(**RED), body(**BLUE))
    basket = await BasketRetriever(VIEW, "k", database=database).fetch()
    assert basket is not None
    assert basket.as_doc_for_store().items() >= MERGED.items()
    await AsyncPersister(basket, database=database).persist()
    assert len(conflicts.live_leaves(document_id)) == 1


class KeyedBasket(Basket, tag="keyed_basket_v1.0"):
    key: Annotated[str, Immutable(), UniqueKey(VIEW)]


class KeyedBasketRetriever(AsyncMergedModelRetriever[KeyedBasket]):
    model_class = KeyedBasket


async def test_a_unique_key_hides_no_conflict(database: Database, conflicts: Conflicts) -> None:
    conflicts.documents.put_view()
    bodies = [body(**properties, type=KeyedBasket.type_name()) for properties in (RED, BLUE)]
    await conflicts.make(*bodies)
    basket = await KeyedBasketRetriever(VIEW, "k", database=database).fetch()
    assert basket is not None
    assert basket.change_counts == MERGED["change_counts"]


async def test_who_reads_what_is_not_in_conflict_asks_no_more_than_others(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    conflicts.documents.put_view()
    conflicts.documents.put(**body())
    assert await BasketRetriever(VIEW, "k", database=database).fetch() is not None
    assert await BasketRetriever(VIEW, "absent", database=database).fetch() is None
    assert len(proxy.requests) == 2


async def test_a_list_has_what_was_merged_and_not_what_can_not_be(
    database: Database, conflicts: Conflicts
) -> None:
    conflicts.documents.put_view()
    conflicts.documents.put(**body(key="a"))
    await conflicts.make(body(**RED), body(**BLUE))
    await conflicts.make(body(key="x"), body(key="y"))
    baskets = await BasketsRetriever(VIEW, database=database).fetch()
    assert [(basket.key, basket.color) for basket in baskets] == [("a", "red"), ("k", "blue")]


async def test_who_reads_what_can_not_be_merged_is_told_so(database: Database, conflicts: Conflicts) -> None:
    conflicts.documents.put_view()
    await conflicts.make(body(key="x"), body(key="x", type="other_v1.0"))
    with pytest.raises(InvalidDocumentError):
        await BasketRetriever(VIEW, "x", database=database).fetch()


class Noting(Observer):
    def __init__(self) -> None:
        self.told: list[str] = []

    def tampering_detected(self, error: TamperedError) -> None:
        self.told.append(f"detected {error.document_id}")

    def document_left_out(self, error: CouchDBError) -> None:
        self.told.append(f"left out: {type(error).__name__}")


async def test_a_tampered_leaf_of_a_conflict_is_left_out_of_a_list_counted_and_an_alarm(
    database: Database, conflicts: Conflicts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conflicts.documents.put_view()
    signing.new_key_set(tmp_path / "keys.json")
    signer = database.tampering_signer = TamperingSigner.from_file(tmp_path / "keys.json")
    observer = database.observer = Noting()
    good = await conflicts.make_signed(signer, body(**RED), body(**BLUE))
    bad = await conflicts.make_signed(signer, body(**RED, key="z"), body(**BLUE, key="z"))
    for leaf in conflicts.live_leaves(bad)[:1]:
        conflicts.documents.put(**leaf | {"color": "black"})
    with deadline.within() as context:
        for _ in range(2):
            baskets = await BasketsRetriever(VIEW, database=database).fetch()
            assert [basket.id for basket in baskets] == [good]
    assert context.tampered_count == 2
    assert observer.told == [f"detected {bad}", "left out: TamperedError"] * 2
    with pytest.raises(TamperedError, match=bad):
        await BasketRetriever(VIEW, "z", database=database).fetch()
    assert observer.told[4:] == [f"detected {bad}"]
    alarms = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert alarms == [f"ALARM: tampering detected in document {bad!r}"]
