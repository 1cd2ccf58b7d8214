"""The interactions: what a service does with fruits. What is sensitive is hashed here, or encrypted below."""

from tor_async_couchdb.actions.group_commit import AsyncGroupCommitter
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever, AsyncModelsRetriever, AsyncPersister
from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.protection.folder import Protector

from .model import Color, Fruit, Owner
from .owner_action import hash_of_email


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
    """Makes a new fruit, with or without an owner."""

    def __init__(
        self, color: Color, owner: Owner | None, protection: Protector, *, database: Database
    ) -> None:
        self._color = color
        self._owner = owner
        self._protection = protection
        self._database = database

    async def create(self) -> Fruit:
        """The fruit that was made; ForgottenError if its owner has been forgotten."""
        fruit = Fruit.create(self._color)
        if self._owner is not None:
            email_hash = hash_of_email(self._owner.email, self._protection)
            pin_hash = await self._protection.slow_hasher.hash(self._owner.pin)
            fruit = fruit.given_to(self._owner, email_hash=email_hash, pin_hash=pin_hash)
        return await AsyncPersister(fruit, database=self._database).persist()


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
