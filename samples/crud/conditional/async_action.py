"""The interactions: what a service does with fruits."""

from collections.abc import Callable
from dataclasses import dataclass

from tor_async_couchdb import (
    AsyncConditionalCommitter,
    AsyncModelRetriever,
    AsyncModelsRetriever,
    AsyncPersister,
    Database,
)

from .model import Color, Fruit

# Whether a fruit still is as the client has seen it.
IsAsSeen = Callable[[Fruit], bool]


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
    """Makes a fruit, under the client's id if it gives one."""

    color: Color
    database: Database
    fruit_id: str | None = None

    async def create(self) -> Fruit:
        """The new fruit; ChangedError if there is one under the client's id."""
        if self.fruit_id is None:
            return await AsyncPersister(Fruit.create(self.color), database=self.database).persist()
        fruit = AsyncFruitRetriever(self.fruit_id, self.database)
        return await AsyncConditionalCommitter(fruit).create(Fruit.create(self.color, self.fruit_id))


@dataclass(frozen=True)
class AsyncFruitUpdater:
    """Changes the color of a fruit that the client has seen."""

    fruit_id: str
    color: Color
    is_as_seen: IsAsSeen
    database: Database

    async def update(self) -> Fruit | None:
        """The changed fruit, None if there is none; ChangedError if somebody was faster."""
        fruit = AsyncConditionalCommitter(AsyncFruitRetriever(self.fruit_id, self.database))
        return await fruit.commit(lambda fruit: fruit.change_color(self.color), if_so=self.is_as_seen)


@dataclass(frozen=True)
class AsyncFruitDeleter:
    """Deletes a fruit that the client has seen."""

    fruit_id: str
    is_as_seen: IsAsSeen
    database: Database

    async def delete(self) -> Fruit | None:
        """The fruit as it was, None if there was none; ChangedError if somebody was faster."""
        fruit = AsyncConditionalCommitter(AsyncFruitRetriever(self.fruit_id, self.database))
        return await fruit.commit(lambda fruit: None, if_so=self.is_as_seen)
