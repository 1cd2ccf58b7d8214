import math
from collections.abc import Callable
from typing import Annotated

import pytest
from aiohttp import web

from tor_async_couchdb.actions.conditional import AsyncConditionalCommitter
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ChangedError, OutcomeUnknownError
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import UniqueKey
from tor_async_couchdb.testing.fault_proxy import FaultProxy, Request, changed_first, cut_after, cut_before
from tor_async_couchdb.tests.things import THING_BY_KEY, Documents

VIEW = "thing_by_key"


class Thing(Model, tag="thing_v1.0"):
    key: Annotated[str, UniqueKey(VIEW)]
    count: int = 0


class Retriever(AsyncModelRetriever[Thing]):
    """Finds a thing by its key."""


def committer(database: Database, key: str = "a") -> AsyncConditionalCommitter[Thing]:
    return AsyncConditionalCommitter(Retriever(VIEW, key, database=database))


def counted(thing: Thing) -> Thing:
    return thing.replace(count=thing.count + 1)


def seen(thing: Thing) -> Callable[[Thing], bool]:
    return lambda current: current.rev == thing.rev


@pytest.fixture
async def thing(database: Database, documents: Documents) -> Thing:
    documents.put(_id=f"_design/{VIEW}", **THING_BY_KEY)
    return await committer(database).create(Thing(id="a", key="a"))


async def test_change_of_what_the_caller_has_seen_is_written(
    database: Database, documents: Documents, thing: Thing
) -> None:
    changed = await committer(database).commit(counted, if_so=seen(thing))
    assert changed is not None
    assert changed.count == 1
    assert documents.get("a")["_rev"] == changed.rev


async def test_change_of_something_older_is_refused_with_what_is_there(
    database: Database, documents: Documents, thing: Thing
) -> None:
    changed = await committer(database).commit(counted, if_so=seen(thing))
    with pytest.raises(ChangedError) as refused:
        await committer(database).commit(counted, if_so=seen(thing))
    assert refused.value.current == changed
    assert documents.get("a")["count"] == 1


@pytest.mark.parametrize("change", [counted, lambda thing: None], ids=["change", "deletion"])
async def test_lost_race_is_not_repeated_even_if_the_condition_holds_again(
    database: Database,
    documents: Documents,
    proxy: FaultProxy,
    thing: Thing,
    change: Callable[[Thing], Thing | None],
) -> None:
    proxy.requests.clear()
    proxy.inject(changed_first(lambda document: document | {"count": 7}), "_bulk_docs")
    with pytest.raises(ChangedError) as refused:
        await committer(database).commit(change, if_so=lambda current: True)
    assert refused.value.current.count == 7
    assert documents.get("a")["count"] == 7
    assert len([request for request in proxy.requests if "_bulk_docs" in request.path]) == 1


async def test_model_that_is_deleted_between_read_and_write_is_none(
    database: Database, proxy: FaultProxy, thing: Thing
) -> None:
    proxy.inject(changed_first(lambda document: document | {"_deleted": True}), "_bulk_docs")
    assert await committer(database).commit(counted, if_so=seen(thing)) is None
    assert await committer(database).commit(counted, if_so=seen(thing)) is None


async def test_deletion_answers_the_model_as_it_was(database: Database, thing: Thing) -> None:
    assert await committer(database).commit(lambda thing: None, if_so=seen(thing)) == thing
    assert await Retriever(VIEW, "a", database=database).fetch() is None


async def test_model_is_created_once(database: Database, thing: Thing) -> None:
    with pytest.raises(ChangedError) as refused:
        await committer(database).create(Thing(id="a", key="a", count=5))
    assert refused.value.current == thing


async def test_model_is_created_again_after_its_deletion(database: Database, thing: Thing) -> None:
    await committer(database).commit(lambda thing: None, if_so=seen(thing))
    again = await committer(database).create(Thing(id="a", key="a", count=5))
    assert again.rev != thing.rev
    assert await Retriever(VIEW, "a", database=database).fetch() == again


async def test_of_two_creators_that_both_see_nothing_one_wins(
    database: Database, proxy: FaultProxy, thing: Thing
) -> None:
    proxy.inject(
        changed_first(lambda document: document | {"type": "thing_v1.0", "key": "b", "count": 3}),
        "_bulk_docs",
    )
    with pytest.raises(ChangedError) as refused:
        await committer(database, "b").create(Thing(id="b", key="b"))
    assert refused.value.current.count == 3


async def test_id_that_another_document_has_is_refused(
    database: Database, documents: Documents, thing: Thing
) -> None:
    documents.put(_id="b", type="other_v1.0")
    with pytest.raises(ChangedError) as refused:
        await committer(database, "b").create(Thing(id="b", key="b"))
    assert refused.value.current is None
    assert documents.get("b")["type"] == "other_v1.0"


@pytest.mark.parametrize("model", [Thing(key="c"), Thing(id="c", rev="1-a", key="c")])
async def test_model_without_an_id_or_with_a_revision_is_not_created(
    database: Database, thing: Thing, model: Thing
) -> None:
    with pytest.raises(ValueError, match="needs an id and no rev"):
        await committer(database, "c").create(model)


async def test_change_of_unknown_outcome_is_said_to_be_that(
    database: Database, proxy: FaultProxy, documents: Documents, thing: Thing
) -> None:
    async def applied_and_then_nothing(request: Request) -> web.StreamResponse:
        proxy.inject(cut_before, times=math.inf)
        return await cut_after(request)

    proxy.inject(applied_and_then_nothing, "_bulk_docs")
    with pytest.raises(OutcomeUnknownError):
        await committer(database).commit(counted, if_so=seen(thing))
    assert documents.get("a")["count"] == 1
