"""Actions on a database as a whole: is it well, and how large are it and its views?"""

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.actions.metrics import DatabaseMetrics, Sizes, ViewMetrics
from tor_async_couchdb.documents.database import Database


class AsyncCouchDBHealthCheck(AsyncAction):
    """Asks CouchDB whether the database is there and takes the credentials."""

    async def check(self) -> None:
        """Returns if all is well.

        Raises:
            NotFoundError: there is no such database.
            UnauthorizedError, ForbiddenError: the credentials were refused.
            TransportError: CouchDB can't be reached.
        """
        async with self._connected() as connection:
            await connection.information()


class AsyncViewMetricsRetriever(AsyncAction):
    """Reads the size of one design document's index."""

    def __init__(self, design_doc: str, *, database: Database | None = None) -> None:
        super().__init__(database=database)
        self._design_doc = design_doc

    async def fetch(self) -> ViewMetrics:
        """The metrics; NotFoundError if there is no such design document."""
        async with self._connected() as connection:
            information = await connection.view_information(self._design_doc)
            return ViewMetrics(self._design_doc, Sizes.from_information(information))


class AsyncAllViewMetricsRetriever(AsyncAction):
    """Reads the sizes of the indexes of all design documents."""

    async def fetch(self) -> list[ViewMetrics]:
        """The metrics in the order of the design documents' names."""
        async with self._connected() as connection:
            # One at a time: metrics are not worth a burst of requests, however many views there are.
            return [
                await AsyncViewMetricsRetriever(name, database=connection).fetch()
                for name in await connection.design_doc_names()
            ]


class AsyncDatabaseMetricsRetriever(AsyncAction):
    """Reads the sizes of a database and of all its views."""

    async def fetch(self) -> DatabaseMetrics:
        """The metrics."""
        async with self._connected() as connection:
            information = await connection.information()
            return DatabaseMetrics(
                database=connection.name,
                doc_count=information["doc_count"],
                sizes=Sizes.from_information(information),
                view_metrics=await AsyncAllViewMetricsRetriever(database=connection).fetch(),
            )
