"""The interactions: what a service does with fruits."""

from dataclasses import dataclass

from tor_async_couchdb import (
    AsyncGroupCommitter,
    AsyncModelRetriever,
    AsyncModelsRetriever,
    AsyncPersister,
    Database,
)

from .model import Color, Fruit


class AsyncFruitRetriever(AsyncModelRetriever[Fruit]):
    """Finds a fruit by its id."""

    def __init__(self, fruit_id: str, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", fruit_id, database=database)


class AsyncFruitsRetriever(AsyncModelsRetriever[Fruit]):
    """Finds all fruits, in the order of their ids."""

    def __init__(self, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", database=database)


@dataclass(frozen=True)
class AsyncFruitCreator:
    """Makes a fruit."""

    color: Color
    database: Database

    async def create(self) -> Fruit:
        return await AsyncPersister(Fruit.create(self.color), database=self.database).persist()


@dataclass(frozen=True)
class AsyncFruitUpdater:
    """Changes the color of a fruit."""

    fruit_id: str
    color: Color
    database: Database

    async def update(self) -> Fruit | None:
        """The changed fruit, None if there is none; ConflictError if the race was lost."""
        fruit = AsyncFruitRetriever(self.fruit_id, self.database)
        return await AsyncGroupCommitter(fruit).commit(lambda fruit: fruit.change_color(self.color))


@dataclass(frozen=True)
class AsyncFruitDeleter:
    """Deletes a fruit."""

    fruit_id: str
    database: Database

    async def delete(self) -> Fruit | None:
        """The fruit as it was, None if there was none; ConflictError if the race was lost."""
        fruit = AsyncFruitRetriever(self.fruit_id, self.database)
        return await AsyncGroupCommitter(fruit).commit(lambda fruit: None)
