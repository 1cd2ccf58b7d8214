"""The interaction: finding fruits by a value of which the database has only the hash."""

from samples.crud.basic.model import Color, Fruit
from tor_async_couchdb import AsyncModelsRetriever, Database
from tor_async_couchdb.protection.folder import Protector


def hash_of_color(color: Color, protection: Protector) -> str:
    """The hash by which fruits are found: equal for equal values, and for nobody without the pepper."""
    return protection.pepper.hash("color", color)


class AsyncFruitsByColorRetriever(AsyncModelsRetriever[Fruit]):
    """Finds the fruits with a color, by its hash."""

    def __init__(self, color_hash: str, database: Database) -> None:
        super().__init__("fruit_by_color_hash", color_hash, color_hash, database=database)
