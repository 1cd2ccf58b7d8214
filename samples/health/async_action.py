"""The interaction: checking something that the service can't work without."""

from dataclasses import dataclass

from tor_async_couchdb import Database, NotFoundError
from tor_async_service import UnhealthyError

from .model import View


@dataclass(frozen=True)
class AsyncViewHealthChecker:
    """Checks whether a view answers."""

    view: View
    database: Database

    async def check(self) -> None:
        """Returns if it does; UnhealthyError if there is no such view, CouchDBError if it fails."""
        try:
            # No rows are read, but the index has to be up to date to answer.
            await self.database.query_view(self.view.name, limit=0)
        except NotFoundError as error:
            raise UnhealthyError("view gone") from error
