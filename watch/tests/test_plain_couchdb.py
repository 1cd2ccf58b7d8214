from collections.abc import AsyncIterator

import aiohttp
import pytest

from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy, answered
from tor_async_couchdb.tests.things import Documents
from watch.plain_couchdb import MissingError, PlainDatabase, PlainDatabaseError

FRUIT_BY_FRUIT_ID = "function(doc) { if (doc.fruit_id) { emit(doc.fruit_id, null); } }"
DEEP = ["[" * 1500 + "]" * 1500, '{"a":' * 1100 + "7" + "}" * 1100]


@pytest.fixture
async def plain(couchdb: CouchDBServer, proxy: FaultProxy) -> AsyncIterator[PlainDatabase]:
    async with aiohttp.ClientSession() as session:
        yield PlainDatabase(proxy.url, session, username=couchdb.username, password=couchdb.password)


@pytest.mark.parametrize("deep", DEEP)
async def test_lists_leave_out_what_cannot_be_decoded(
    plain: PlainDatabase, documents: Documents, deep: str
) -> None:
    view = {"fruit_by_fruit_id": {"map": FRUIT_BY_FRUIT_ID}}
    documents.put(_id="_design/fruit_by_fruit_id", language="javascript", views=view)
    documents.put_json(f'{{"_id": "deep", "fruit_id": "a", "x": {deep}}}')
    documents.put(_id="sound", fruit_id="b", updated_on="2026")
    documents.delete(documents.put(_id="deleted"))
    assert [document["_id"] for document in await plain.recent(5)] == ["sound"]
    assert (await plain.fruit("b"))["_id"] == "sound"
    for missing in ("a", "c"):
        with pytest.raises(MissingError):
            await plain.fruit(missing)
    with pytest.raises(PlainDatabaseError, match="nested too deeply"):
        await plain.get("deep")
    assert (await plain.get("sound"))["fruit_id"] == "b"


@pytest.mark.parametrize("deep", DEEP)
async def test_leaf_that_cannot_be_decoded_hides_no_other(
    plain: PlainDatabase, documents: Documents, deep: str
) -> None:
    leaves = [
        f'{{"_id": "a", "_rev": "1-{name}", "n": {value}}}' for name, value in (("b", "7"), ("c", deep))
    ]
    documents.put_json(*leaves, new_edits=False)
    assert [leaf["n"] for leaf in await plain.leaves("a")] == [7]


@pytest.mark.parametrize(
    "answer",
    [
        "{}",
        "[]",
        "null",
        "7",
        '{"rows": 7, "results": {}}',
        '[{"ok": {"n": 1}}]',
        '{"results": [{"doc": 7}]}',
    ],
)
async def test_answer_that_is_not_couchdbs_is_an_error(
    plain: PlainDatabase, proxy: FaultProxy, answer: str
) -> None:
    proxy.inject(answered(200, answer), times=4)
    for asked in (plain.recent(5), plain.fruit("a"), plain.get("a")):
        with pytest.raises(PlainDatabaseError):
            await asked
    if answer != "[]":  # no leaves
        with pytest.raises(PlainDatabaseError):
            await plain.leaves("a")
