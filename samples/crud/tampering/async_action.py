"""The interactions: what a service does with fruits. Whoever loses a race waits and tries again."""

from tor_async_couchdb.actions.retrieve import (
    AsyncDeleter,
    AsyncModelRetriever,
    AsyncModelsRetriever,
    AsyncPersister,
)
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.retries.policy import RetryStrategy, full_jitter

from .model import Color, Fruit


class AsyncFruitRetriever(AsyncModelRetriever[Fruit]):
    """Finds a fruit by its id."""

    model_class = Fruit

    def __init__(self, fruit_id: str, *, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", fruit_id, database=database)


class AsyncFruitsRetriever(AsyncModelsRetriever[Fruit]):
    """Finds all fruits, in the order of their ids, from `first_fruit_id` on."""

    model_class = Fruit

    def __init__(self, first_fruit_id: str | None = None, *, database: Database) -> None:
        super().__init__("fruit_by_fruit_id", first_fruit_id, database=database)


class AsyncFruitCreator:
    """Makes a new fruit."""

    def __init__(self, color: Color, *, database: Database) -> None:
        self._color = color
        self._database = database

    async def create(self) -> Fruit:
        """The fruit that was made."""
        return await AsyncPersister(Fruit.create(self._color), database=self._database).persist()


class AsyncFruitUpdater:
    """Changes the color of a fruit."""

    def __init__(self, fruit_id: str, color: Color, *, database: Database) -> None:
        self._fruit_id = fruit_id
        self._color = color
        self._database = database

    async def update(self) -> Fruit | None:
        """The changed fruit, or None if there is none; ConflictError if it was lost until the deadline."""
        return await RetryStrategy(full_jitter(), max_retries=None).run(self._try_to_update)

    async def _try_to_update(self) -> Fruit | None:
        fruit = await AsyncFruitRetriever(self._fruit_id, database=self._database).fetch()
        if fruit is None:
            return None
        return await AsyncPersister(fruit.change_color(self._color), database=self._database).persist()


class AsyncFruitDeleter:
    """Deletes a fruit."""

    def __init__(self, fruit_id: str, *, database: Database) -> None:
        self._fruit_id = fruit_id
        self._database = database

    async def delete(self) -> Fruit | None:
        """The fruit as it was, or None if there is none; ConflictError if it was lost until the deadline."""
        return await RetryStrategy(full_jitter(), max_retries=None).run(self._try_to_delete)

    async def _try_to_delete(self) -> Fruit | None:
        fruit = await AsyncFruitRetriever(self._fruit_id, database=self._database).fetch()
        if fruit is not None:
            await AsyncDeleter(fruit, database=self._database).delete()
        return fruit
