"""Conditional changes: the caller has seen a model, and changes or creates it only if nobody was faster.

The condition holds for the revision that is replaced, because the model is read once and written once: a
change that comes in between is a conflict, and nothing is read again and repeated.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.actions.retrieve import AsyncModelRetriever
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.errors import ChangedError, ConflictError
from tor_async_couchdb.model import Model

M = TypeVar("M", bound=Model)


class AsyncConditionalCommitter(AsyncAction, Generic[M]):
    """Changes, deletes or creates the model that a retriever finds, once.

    fruit = AsyncFruitRetriever(fruit_id, database)
    await AsyncConditionalCommitter(fruit).commit(Fruit.ripen, if_so=lambda fruit: fruit.rev == rev)
    """

    def __init__(self, retriever: AsyncModelRetriever[M]) -> None:
        super().__init__(database=retriever.database)
        self._retriever = retriever

    async def commit(self, change: Callable[[M], M | None], *, if_so: Callable[[M], bool]) -> M | None:
        """The changed model; the model as it was if `change` returns None, which deletes it; None: no model.

        Raises:
            ChangedError: `if_so` is false of the model, or another caller was faster.
            OutcomeUnknownError: the change may or may not have been written.
        """
        model = await self._retriever.fetch()
        if model is None:
            return None
        if not if_so(model):
            raise ChangedError(model)
        changed = change(model)
        try:
            if changed is None:
                await AsyncDeleter(model, database=self.database).delete()
                return model
            return await AsyncPersister(changed, database=self.database).persist()
        except ConflictError as error:
            current = await self._retriever.fetch()
            if current is None:
                return None
            raise ChangedError(current) from error

    async def create(self, model: M) -> M:
        """The model as it is stored, created if the retriever finds none.

        Its document needs an `id` that follows from the key: only that lets one of several callers win.

        Raises:
            ChangedError: there is such a model already, or another document has the id.
            OutcomeUnknownError: the model may or may not have been written.
            ValueError: the model has no id, or has been stored.
        """
        if model.id is None or model.rev is not None:
            raise ValueError("a model to create needs an id and no rev")
        current = await self._retriever.fetch()
        if current is not None:
            raise ChangedError(current)
        try:
            return await AsyncPersister(model, database=self.database).persist()
        except ConflictError as error:
            raise ChangedError(await self._retriever.fetch()) from error
