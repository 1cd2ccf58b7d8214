"""The interactions: what a service does with fruits."""

import uuid
from dataclasses import dataclass

from tor_async_couchdb import (
    AsyncAppender,
    AsyncPartsPagesRetriever,
    AsyncPartsRetriever,
    Database,
    Journal,
)

from .model import Color, Fruit

_VIEW = "fruit_history_by_fruit_id"


class AsyncFruitRetriever(AsyncPartsRetriever[Fruit]):
    """Finds a fruit by its id."""

    def __init__(self, fruit_id: str, database: Database, update: str = "true") -> None:
        super().__init__(_VIEW, fruit_id, update=update, database=database)


class AsyncFruitsRetriever(AsyncPartsPagesRetriever[Fruit]):
    """Finds all fruits, in the order of their ids."""

    def __init__(self, database: Database, update: str = "true") -> None:
        super().__init__(_VIEW, update=update, database=database)


@dataclass(frozen=True)
class AsyncFruitCreator:
    """Makes a fruit."""

    color: Color
    journal: Journal
    database: Database

    async def create(self) -> Fruit:
        fruit = AsyncFruitRetriever(uuid.uuid4().hex, self.database)
        appender = AsyncAppender(fruit, self.journal)
        return await appender.begin(lambda entry: Fruit.create(fruit.key, self.color, entry))


@dataclass(frozen=True)
class AsyncFruitUpdater:
    """Changes the color of a fruit."""

    fruit_id: str
    color: Color
    journal: Journal
    database: Database

    async def update(self) -> Fruit | None:
        """The fruit after this change, None if there is none."""
        fruit = AsyncAppender(AsyncFruitRetriever(self.fruit_id, self.database), self.journal)
        changed = await fruit.append(lambda entry: Fruit.change_color(self.fruit_id, self.color, entry))
        return changed.after if changed and changed.after.is_there else None


@dataclass(frozen=True)
class AsyncFruitDeleter:
    """Deletes a fruit."""

    fruit_id: str
    journal: Journal
    database: Database

    async def delete(self) -> Fruit | None:
        """The fruit as it was, None if there was none, or if another deletion was earlier."""
        fruit = AsyncAppender(AsyncFruitRetriever(self.fruit_id, self.database), self.journal)
        changed = await fruit.append(lambda entry: Fruit.delete(self.fruit_id, entry))
        return changed.before if changed and changed.before.is_there else None
