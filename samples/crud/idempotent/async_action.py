"""The interactions: what a service does with fruits."""

from dataclasses import dataclass

from tor_async_couchdb import (
    AsyncFirstPersister,
    AsyncLastingDeleter,
    AsyncLastingModelRetriever,
    AsyncModelsRetriever,
    AsyncPersister,
    Database,
    KeyUse,
    retries,
)

from .model import Color, Fruit


class AsyncFruitRetriever(AsyncLastingModelRetriever[Fruit]):
    """Finds a fruit by its id, which its document has too."""


class AsyncFruitsRetriever(AsyncModelsRetriever[Fruit]):
    """Finds all fruits, in the order of their ids."""

    def __init__(self, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", database=database)


@dataclass(frozen=True)
class AsyncFruitCreator:
    """Makes a fruit, once for each key."""

    color: Color
    use: KeyUse
    database: Database

    async def create(self) -> Fruit:
        """The fruit that the first request under this key has made, as it was then."""
        fruit = AsyncFruitRetriever(self.use.key, database=self.database)
        first = await AsyncFirstPersister(Fruit.create(self.color, self.use), fruit).persist()
        return first.as_created(self.color, self.use)


@dataclass(frozen=True)
class AsyncFruitUpdater:
    """Changes the color of a fruit, once for each key."""

    fruit_id: str
    color: Color
    use: KeyUse
    database: Database

    @retries.retry(retries.full_jitter(), max_retries=None)
    async def update(self) -> Fruit | None:
        """The fruit after the first request under this key, None if there is none to change."""
        fruit = await AsyncFruitRetriever(self.fruit_id, database=self.database).fetch_also_deleted()
        if fruit is None or fruit.is_done_with(self.use):
            return fruit and fruit.after(self.use, self.color)
        return await AsyncPersister(
            fruit.change_color(self.color, self.use), database=self.database
        ).persist()


@dataclass(frozen=True)
class AsyncFruitDeleter:
    """Deletes a fruit, once for each key."""

    fruit_id: str
    use: KeyUse
    database: Database

    @retries.retry(retries.full_jitter(), max_retries=None)
    async def delete(self) -> Fruit | None:
        """The fruit after the first request under this key, None if there was none to delete."""
        fruit = await AsyncFruitRetriever(self.fruit_id, database=self.database).fetch_also_deleted()
        if fruit is None or fruit.is_done_with(self.use):
            return fruit and fruit.after(self.use)
        return await AsyncLastingDeleter(fruit.delete(self.use), database=self.database).delete()
