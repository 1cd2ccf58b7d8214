import pytest

from tor_async_couchdb import async_model_actions
from tor_async_couchdb.async_model_actions import AsyncCouchDBHealthCheck, AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConnectError, UnauthorizedError
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.testing.fault_proxy import FaultProxy
from tor_async_couchdb.tests.things import Documents, Thing, ThingByIDRetriever


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The module's settings, which are put back after the test."""
    for name in ("database", "tampering_signer", "username", "password", "validate_cert"):
        monkeypatch.setattr(async_model_actions, name, getattr(async_model_actions, name))
    return monkeypatch


def test_settings_have_the_defaults_that_are_documented() -> None:
    assert async_model_actions.database == "http://127.0.0.1:5984/database"
    assert async_model_actions.tampering_signer is None
    assert async_model_actions.username is None
    assert async_model_actions.password is None
    assert async_model_actions.validate_cert is True


async def test_action_without_a_database_uses_the_settings(
    couchdb: CouchDBServer, proxy: FaultProxy, documents: Documents
) -> None:
    async_model_actions.database = proxy.url
    async_model_actions.tampering_signer = None
    async_model_actions.username = couchdb.username
    async_model_actions.password = couchdb.password
    async_model_actions.validate_cert = True

    thing = await AsyncPersister(Thing(key="a")).persist()
    assert thing.id is not None
    assert documents.get(thing.id)["key"] == "a"
    assert await ThingByIDRetriever(thing.id).fetch() == thing
    await AsyncCouchDBHealthCheck().check()


async def test_settings_are_read_when_the_action_acts(couchdb: CouchDBServer, proxy: FaultProxy) -> None:
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
