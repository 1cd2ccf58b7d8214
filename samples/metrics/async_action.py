"""The interaction: counting the fruits."""

from tor_async_couchdb.documents.database import Database

from .model import FruitCensus


class AsyncFruitCensusTaker:
    """Counts the fruits of each color; CouchDB has the sums ready in its index."""

    def __init__(self, *, database: Database) -> None:
        self._database = database

    async def take(self) -> FruitCensus:
        """The census as it is now."""
        rows = await self._database.query_view("fruit_by_color", reduce=True, group=True)
        return FruitCensus({row.key: row.value for row in rows})
