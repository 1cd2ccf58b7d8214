"""The interaction: counting the fruits."""

from dataclasses import dataclass

from tor_async_couchdb import Database

from .model import FruitCensus


@dataclass(frozen=True)
class AsyncFruitCensusTaker:
    """Counts the fruits of each color; CouchDB has the sums in its index."""

    database: Database

    async def take(self) -> FruitCensus:
        """The census as it is now."""
        rows = await self.database.query_view("fruit_by_color", reduce=True, group=True)
        return FruitCensus({row.key: row.value for row in rows})
