"""The interactions: what a service does with fruits."""

from dataclasses import dataclass

from tor_async_couchdb import (
    AsyncDeleter,
    AsyncMergedModelRetriever,
    AsyncMergedModelsRetriever,
    AsyncPersister,
    Database,
    retries,
)

from .model import Color, Fruit


class AsyncFruitRetriever(AsyncMergedModelRetriever[Fruit]):
    """Finds a fruit by its id, as a fruit of this version; one that is in conflict is merged first."""

    def __init__(self, fruit_id: str, version: type[Fruit], database: Database) -> None:
        super().__init__("fruit_by_fruit_id", fruit_id, database=database)
        self.model_class = version


class AsyncFruitsRetriever(AsyncMergedModelsRetriever[Fruit]):
    """Finds all fruits, in the order of their ids, as fruits of this version."""

    def __init__(self, version: type[Fruit], database: Database) -> None:
        super().__init__("fruit_by_fruit_id", database=database)
        self.model_class = version


@dataclass(frozen=True)
class AsyncFruitCreator:
    """Makes a fruit."""

    color: Color
    version: type[Fruit]
    database: Database

    async def create(self) -> Fruit:
        return await AsyncPersister(self.version.create(self.color), database=self.database).persist()


@dataclass(frozen=True)
class AsyncFruitUpdater:
    """Changes the color of a fruit."""

    fruit_id: str
    color: Color
    version: type[Fruit]
    database: Database

    @retries.retry(retries.full_jitter(), max_retries=None)
    async def update(self) -> Fruit | None:
        """The changed fruit, None if there is none; ConflictError if the race was lost."""
        fruit = await AsyncFruitRetriever(self.fruit_id, self.version, self.database).fetch()
        if fruit is None:
            return None
        return await AsyncPersister(fruit.change_color(self.color), database=self.database).persist()


@dataclass(frozen=True)
class AsyncFruitDeleter:
    """Deletes a fruit."""

    fruit_id: str
    version: type[Fruit]
    database: Database

    @retries.retry(retries.full_jitter(), max_retries=None)
    async def delete(self) -> Fruit | None:
        """The fruit as it was, None if there was none; ConflictError if the race was lost."""
        fruit = await AsyncFruitRetriever(self.fruit_id, self.version, self.database).fetch()
        if fruit is not None:
            await AsyncDeleter(fruit, database=self.database).delete()
        return fruit
