"""The actions under the names, and with the settings, that the original had.

    from tor_async_couchdb import async_model_actions
    async_model_actions.database = "http://127.0.0.1:5984/database"
    model = await AsyncFruitRetriever(fruit_id).fetch()

An action that is given no database uses the settings of this module. If `database` is a URL, each action
opens and closes its own connections; give actions a `Database` instead where speed matters.
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any, Self, TypeVar, cast

from tor_async_couchdb.actions import inspect, retrieve, write
from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.model import Model
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import Signer

__all__ = [
    "AsyncAllViewMetricsRetriever",
    "AsyncCouchDBHealthCheck",
    "AsyncDatabaseMetricsRetriever",
    "AsyncDeleter",
    "AsyncModelRetriever",
    "AsyncModelRetrieverByDocumentID",
    "AsyncModelsRetriever",
    "AsyncPersister",
    "AsyncViewMetricsRetriever",
    "BaseAsyncModelRetriever",
]

# The settings of actions that are given no database.
database: str | Database = "http://127.0.0.1:5984/database"
tampering_signer: Signer | None = None
username: str | None = None
password: str | None = None
validate_cert: bool = True

M = TypeVar("M", bound=Model)


class _Configurable(AsyncAction):
    """An action that may be given no database."""

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Self]:
        """The action on the database that it was given, or else on the configured one."""
        if cast("Database | None", self.database) is not None:
            yield self
        elif isinstance(database, Database):
            yield self.on(database)
        else:
            async with Database(
                database,
                username=username,
                password=password,
                validate_cert=validate_cert,
                guard=ProtectingGuard(signer=tampering_signer),
            ) as connection:
                yield self.on(connection)


class BaseAsyncModelRetriever(retrieve.AsyncViewRetriever[M], _Configurable):
    """Reads what a view finds, by a query that a subclass gives."""

    def __init__(self, design_doc: str, *, database: Database | None = None) -> None:
        super().__init__(design_doc, database=cast("Database", database))


class AsyncModelRetriever(retrieve.AsyncModelRetriever[M], _Configurable):
    """Reads the one model under a key in a view."""

    def __init__(self, design_doc: str, key: Any, *, database: Database | None = None) -> None:
        super().__init__(design_doc, key, database=cast("Database", database))

    async def fetch(self) -> M | None:
        """See `retrieve.AsyncModelRetriever.fetch`."""
        async with self._connected() as action:
            return await super(AsyncModelRetriever, action).fetch()


class AsyncModelRetrieverByDocumentID(retrieve.AsyncModelRetrieverByDocumentID[M], _Configurable):
    """Reads the model that is stored under a document's id."""

    def __init__(self, document_id: str, *, database: Database | None = None) -> None:
        super().__init__(document_id, database=cast("Database", database))

    async def fetch(self) -> M | None:
        """See `retrieve.AsyncModelRetrieverByDocumentID.fetch`."""
        async with self._connected() as action:
            return await super(AsyncModelRetrieverByDocumentID, action).fetch()


class AsyncModelsRetriever(retrieve.AsyncModelsRetriever[M], _Configurable):
    """Reads the models of a range of keys in a view."""

    def __init__(
        self,
        design_doc: str,
        start_key: Any = None,
        end_key: Any = None,
        *,
        database: Database | None = None,
        **options: Any,
    ) -> None:
        super().__init__(design_doc, start_key, end_key, database=cast("Database", database), **options)

    async def fetch(self) -> list[M]:
        """See `retrieve.AsyncModelsRetriever.fetch`."""
        async with self._connected() as action:
            return await super(AsyncModelsRetriever, action).fetch()

    async def fetch_page(self, size: int, start: retrieve.Cursor | None = None) -> retrieve.Page[M]:
        """See `retrieve.AsyncModelsRetriever.fetch_page`."""
        async with self._connected() as action:
            return await super(AsyncModelsRetriever, action).fetch_page(size, start)


class AsyncPersister(write.AsyncPersister[M], _Configurable):
    """Writes a model."""

    def __init__(self, model: M, *, database: Database | None = None) -> None:
        super().__init__(model, database=cast("Database", database))

    async def persist(self) -> M:
        """See `write.AsyncPersister.persist`."""
        async with self._connected() as action:
            return await super(AsyncPersister, action).persist()


class AsyncDeleter(write.AsyncDeleter, _Configurable):
    """Deletes a model."""

    def __init__(self, model: Model, *, database: Database | None = None) -> None:
        super().__init__(model, database=cast("Database", database))

    async def delete(self) -> None:
        """See `write.AsyncDeleter.delete`."""
        async with self._connected() as action:
            return await super(AsyncDeleter, action).delete()


class AsyncCouchDBHealthCheck(inspect.AsyncCouchDBHealthCheck, _Configurable):
    """Asks CouchDB whether the database is well."""

    def __init__(self, *, database: Database | None = None) -> None:
        super().__init__(database=cast("Database", database))

    async def check(self) -> None:
        """See `inspect.AsyncCouchDBHealthCheck.check`."""
        async with self._connected() as action:
            return await super(AsyncCouchDBHealthCheck, action).check()


class AsyncViewMetricsRetriever(inspect.AsyncViewMetricsRetriever, _Configurable):
    """Reads the size of one design document's index."""

    def __init__(self, design_doc: str, *, database: Database | None = None) -> None:
        super().__init__(design_doc, database=cast("Database", database))

    async def fetch(self) -> inspect.ViewMetrics:
        """See `inspect.AsyncViewMetricsRetriever.fetch`."""
        async with self._connected() as action:
            return await super(AsyncViewMetricsRetriever, action).fetch()


class AsyncAllViewMetricsRetriever(inspect.AsyncAllViewMetricsRetriever, _Configurable):
    """Reads the sizes of the indexes of all design documents."""

    def __init__(self, *, database: Database | None = None) -> None:
        super().__init__(database=cast("Database", database))

    async def fetch(self) -> list[inspect.ViewMetrics]:
        """See `inspect.AsyncAllViewMetricsRetriever.fetch`."""
        async with self._connected() as action:
            return await super(AsyncAllViewMetricsRetriever, action).fetch()


class AsyncDatabaseMetricsRetriever(inspect.AsyncDatabaseMetricsRetriever, _Configurable):
    """Reads the sizes of a database and of all its views."""

    def __init__(self, *, database: Database | None = None) -> None:
        super().__init__(database=cast("Database", database))

    async def fetch(self) -> inspect.DatabaseMetrics:
        """See `inspect.AsyncDatabaseMetricsRetriever.fetch`."""
        async with self._connected() as action:
            return await super(AsyncDatabaseMetricsRetriever, action).fetch()
