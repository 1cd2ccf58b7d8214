import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb import async_model_actions, tamper
from tor_async_couchdb.async_model_actions import (
    AsyncAllViewMetricsRetriever,
    AsyncCouchDBHealthCheck,
    AsyncDatabaseMetricsRetriever,
    AsyncDeleter,
    AsyncModelRetriever,
    AsyncModelRetrieverByDocumentID,
    AsyncModelsRetriever,
    AsyncPersister,
    AsyncViewMetricsRetriever,
    BaseAsyncModelRetriever,
)
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConnectError, TamperedError, UnauthorizedError
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.things import Documents, Thing

VIEW = "thing_by_key"


class ThingRetriever(AsyncModelRetriever[Thing]):
    """Finds a thing by its key."""


class ThingsRetriever(AsyncModelsRetriever[Thing]):
    """Finds things by a range of keys."""


class ThingByIDRetriever(AsyncModelRetrieverByDocumentID[Thing]):
    """Finds a thing by its document's id."""


class MostRecentThingRetriever(BaseAsyncModelRetriever[Thing]):
    """Finds the thing with the greatest key by a query of its own."""

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        return {"descending": True, "limit": 1}

    async def fetch(self) -> Thing:
        async with self._connected() as action:
            (thing,) = await action._opened_all([row.doc for row in await action._rows() if row.doc])
            return thing


@pytest.fixture(autouse=True)
def default_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Restores the module's settings after the test."""
    for name in ("database", "tampering_signer", "username", "password", "validate_cert"):
        monkeypatch.setattr(async_model_actions, name, getattr(async_model_actions, name))


@pytest.fixture
def configured(couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents) -> Documents:
    """The documents of the database that the settings name."""
    async_model_actions.database = proxy.url
    async_model_actions.username = couchdb.username
    async_model_actions.password = couchdb.password
    documents.put_view()
    return documents


@contextlib.contextmanager
def signing_by(path: Path) -> Iterator[None]:
    tamper.new_key_set(path)
    async_model_actions.tampering_signer = tamper.TamperingSigner.from_file(path)
    try:
        yield
    finally:
        async_model_actions.tampering_signer = None


def test_settings_have_the_documented_defaults() -> None:
    assert async_model_actions.database == "http://127.0.0.1:5984/database"
    assert async_model_actions.tampering_signer is None
    assert async_model_actions.username is None
    assert async_model_actions.password is None
    assert async_model_actions.validate_cert is True


async def test_retrievers_without_a_database_use_the_settings(configured: Documents) -> None:
    things = [await AsyncPersister(Thing(key=key)).persist() for key in ("a", "b", "c")]
    assert things[0].id is not None
    assert configured.get(things[0].id)["key"] == "a"
    assert await ThingByIDRetriever(things[0].id).fetch() == things[0]
    assert await ThingRetriever(VIEW, "b").fetch() == things[1]
    assert await ThingsRetriever(VIEW, "b").fetch() == things[1:]
    assert await MostRecentThingRetriever(VIEW).fetch() == things[2]
    page = await ThingsRetriever(VIEW).fetch_page(2)
    assert page.models == things[:2]
    assert (await ThingsRetriever(VIEW).fetch_page(2, page.next)).models == things[2:]


async def test_writers_without_a_database_use_the_settings(configured: Documents) -> None:
    thing = await AsyncPersister(Thing(key="a")).persist()
    changed = await AsyncPersister(thing.replace(count=1)).persist()
    assert await ThingRetriever(VIEW, "a").fetch() == changed
    await AsyncDeleter(changed).delete()
    assert await ThingRetriever(VIEW, "a").fetch() is None


async def test_metrics_without_a_database_use_the_settings(configured: Documents) -> None:
    await AsyncCouchDBHealthCheck().check()
    metrics = await AsyncDatabaseMetricsRetriever().fetch()
    assert (metrics.database, metrics.doc_count) == (configured.name, 1)
    assert [view.design_doc for view in await AsyncAllViewMetricsRetriever().fetch()] == [VIEW]
    assert (await AsyncViewMetricsRetriever(VIEW).fetch()).design_doc == VIEW


async def test_signer_of_the_settings_signs_and_verifies(configured: Documents, tmp_path: Path) -> None:
    unsigned = configured.put_thing("unsigned")
    with signing_by(tmp_path / "keys.json"):
        signed = await AsyncPersister(Thing(key="signed")).persist()
        assert await ThingRetriever(VIEW, "signed").fetch() == signed
        with pytest.raises(TamperedError):
            await ThingByIDRetriever(unsigned["_id"]).fetch()
    assert signed.id is not None
    assert tamper.SIGNATURE_PROPERTY_NAME in configured.get(signed.id)


async def test_settings_are_read_when_the_action_runs(couchdb: CouchDBServer, proxy: FaultProxy) -> None:
    check = AsyncCouchDBHealthCheck()
    async_model_actions.database = proxy.url
    with pytest.raises(UnauthorizedError):
        await check.check()
    async_model_actions.username = couchdb.username
    async_model_actions.password = couchdb.password
    await check.check()


async def test_database_in_the_settings_is_used_as_it_is(database: Database) -> None:
    async_model_actions.database = database
    async_model_actions.password = "wrong"
    for _ in range(2):
        await AsyncCouchDBHealthCheck().check()


async def test_database_that_an_action_is_given_comes_before_the_settings(database: Database) -> None:
    async_model_actions.database = "http://127.0.0.1:1/absent"
    await AsyncCouchDBHealthCheck(database=database).check()
    with pytest.raises(ConnectError):
        await AsyncCouchDBHealthCheck().check()
