"""The interactions: what a service does with fruits. Changes that wait for the same one are made together."""

from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever, AsyncModelsRetriever, AsyncPersister
from tor_async_couchdb.documents.database import Database

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
        """The changed fruit, or None if there is none."""
        retriever = AsyncFruitRetriever(self._fruit_id, database=self._database)
        committer = AsyncGroupCommitter(retriever, database=self._database)
        return await committer.commit(lambda fruit: fruit.change_color(self._color))


class AsyncFruitDeleter:
    """Deletes a fruit."""

    def __init__(self, fruit_id: str, *, database: Database) -> None:
        self._fruit_id = fruit_id
        self._database = database

    async def delete(self) -> Fruit | None:
        """The fruit as it was, or None if there is none."""
        retriever = AsyncFruitRetriever(self._fruit_id, database=self._database)
        committer = AsyncGroupCommitter(retriever, database=self._database)
        return await committer.commit(lambda fruit: None)
