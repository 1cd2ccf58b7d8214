from pathlib import Path
from typing import Annotated

import pytest

from tor_async_couchdb.actions.retrieve_merged import AsyncMergedModelRetriever, AsyncMergedModelsRetriever
from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import InvalidDocumentError, TamperedError
from tor_async_couchdb.model.properties import UniqueKey
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.baskets import BLUE, MERGED, RED, Basket, Conflicts, body
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.recording_observer import RecordingObserver

VIEW = "thing_by_key"


class BasketRetriever(AsyncMergedModelRetriever[Basket]):
    """Finds a basket."""


class BasketsRetriever(AsyncMergedModelsRetriever[Basket]):
    """Finds baskets."""


async def test_reader_of_a_conflict_gets_the_merged_model_and_can_change_it(
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
    key: Annotated[str, UniqueKey(VIEW)]


class KeyedBasketRetriever(AsyncMergedModelRetriever[KeyedBasket]):
    """Finds a basket by its unique key."""


async def test_conflict_of_a_document_with_a_unique_key_is_merged(
    database: Database, conflicts: Conflicts
) -> None:
    conflicts.documents.put_view()
    bodies = [body(**properties, type=KeyedBasket.type_name()) for properties in (RED, BLUE)]
    await conflicts.make(*bodies)
    basket = await KeyedBasketRetriever(VIEW, "k", database=database).fetch()
    assert basket is not None
    assert basket.change_counts == MERGED["change_counts"]


async def test_reader_of_a_document_without_a_conflict_makes_one_request(
    database: Database, conflicts: Conflicts, proxy: FaultProxy
) -> None:
    conflicts.documents.put_view()
    conflicts.documents.put(**body())
    assert await BasketRetriever(VIEW, "k", database=database).fetch() is not None
    assert await BasketRetriever(VIEW, "absent", database=database).fetch() is None
    assert len(proxy.requests) == 2


async def test_list_has_merged_models_and_leaves_out_unmergeable_ones(
    database: Database, conflicts: Conflicts
) -> None:
    conflicts.documents.put_view()
    conflicts.documents.put(**body(key="a"))
    await conflicts.make(body(**RED), body(**BLUE))
    await conflicts.make(body(key="x"), body(key="y"))
    baskets = await BasketsRetriever(VIEW, database=database).fetch()
    assert [(basket.key, basket.color) for basket in baskets] == [("a", "red"), ("k", "blue")]


async def test_reader_of_an_unmergeable_document_gets_an_error(
    database: Database, conflicts: Conflicts
) -> None:
    conflicts.documents.put_view()
    await conflicts.make(body(key="x"), body(key="x", type="other_v1.0"))
    with pytest.raises(InvalidDocumentError):
        await BasketRetriever(VIEW, "x", database=database).fetch()


async def test_conflict_with_a_tampered_leaf_is_left_out_of_a_list_and_raises_an_alarm(
    connect: Connect, conflicts: Conflicts, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    conflicts.documents.put_view()
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    observer = RecordingObserver()
    database = connect(guard=ProtectingGuard(signer=signer), observer=observer)
    good = await conflicts.make_signed(signer, body(**RED), body(**BLUE))
    bad = await conflicts.make_signed(signer, body(**RED, key="z"), body(**BLUE, key="z"))
    for leaf in conflicts.live_leaves(bad)[:1]:
        conflicts.documents.put(**leaf | {"color": "black"})
    for _ in range(2):
        baskets = await BasketsRetriever(VIEW, database=database).fetch()
        assert [basket.id for basket in baskets] == [good]
    assert [error.document_id for error in observer.tampered] == [bad, bad]
    assert [type(error) for error in observer.left_out] == [TamperedError, TamperedError]
    with pytest.raises(TamperedError, match=bad):
        await BasketRetriever(VIEW, "z", database=database).fetch()
    assert [error.document_id for error in observer.tampered] == [bad, bad, bad]
    assert len(observer.left_out) == 2
    alarms = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert alarms == [f"ALARM: tampering detected in document {bad!r}"]
