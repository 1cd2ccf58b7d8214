"""The interaction: finding out whether something that the service can't work without is well."""

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import NotFoundError
from tor_async_service.operations.health import UnhealthyError

from .model import View


class AsyncViewHealthChecker:
    """Finds out whether a view answers."""

    def __init__(self, view: View, *, database: Database) -> None:
        self._view = view
        self._database = database

    async def check(self) -> None:
        """Returns if it does; UnhealthyError if there is no such view, CouchDBError if it fails."""
        try:
            # No rows: only the index is asked, which has to be up to date to answer.
            await self._database.query_view(self._view.name, limit=0)
        except NotFoundError as error:
            raise UnhealthyError("view gone") from error
