"""The interactions: what a service does with fruits."""

from dataclasses import dataclass

from tor_async_couchdb import (
    AsyncDeleter,
    AsyncMergedModelRetriever,
    AsyncMergedModelsRetriever,
    AsyncPersister,
    ChangeSet,
    Database,
    retries,
)

from .model import Color, Fruit


class AsyncFruitRetriever(AsyncMergedModelRetriever[Fruit]):
    """Finds a fruit by its id; one that is in conflict is merged first."""

    def __init__(self, fruit_id: str, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", fruit_id, database=database)


class AsyncFruitsRetriever(AsyncMergedModelsRetriever[Fruit]):
    """Finds all fruits, in the order of their ids; those that are in conflict are merged first."""

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
    """Changes the color of a fruit; `change` is the name of this change, the same in all tries."""

    fruit_id: str
    color: Color
    change: ChangeSet
    database: Database

    @retries.retry(retries.full_jitter(), max_retries=None)
    async def update(self) -> Fruit | None:
        """The changed fruit, None if there is none; ConflictError if the race was lost."""
        fruit = await AsyncFruitRetriever(self.fruit_id, self.database).fetch()
        if fruit is None:
            return None
        changed = fruit.change_color(self.color, self.change)
        return await AsyncPersister(changed, database=self.database).persist()


@dataclass(frozen=True)
class AsyncFruitDeleter:
    """Deletes a fruit."""

    fruit_id: str
    database: Database

    @retries.retry(retries.full_jitter(), max_retries=None)
    async def delete(self) -> Fruit | None:
        """The fruit as it was, None if there was none; ConflictError if the race was lost."""
        fruit = await AsyncFruitRetriever(self.fruit_id, self.database).fetch()
        if fruit is not None:
            await AsyncDeleter(fruit, database=self.database).delete()
        return fruit
