"""What a service does with its models in CouchDB: one class an action, named for who does it.

An action is given its database when it is made:

    fruit = await AsyncFruitRetriever(fruit_id, database=database).fetch()

One that was given none uses the settings of this module:

    from tor_async_couchdb.actions import retrieve as async_model_actions
    async_model_actions.database = "http://127.0.0.1:5984/database"
"""

import abc
import dataclasses
import functools
import json
from typing import Any, Generic, TypeVar

from tor_async_couchdb.actions.inspect import (
    AsyncAllViewMetricsRetriever,
    AsyncCouchDBHealthCheck,
    AsyncDatabaseMetricsRetriever,
    AsyncViewMetricsRetriever,
)
from tor_async_couchdb.actions.model_reader import ModelReader
from tor_async_couchdb.actions.write import AsyncDeleter, AsyncPersister
from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.history.witness import record_id_by_document_id, record_id_by_key
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.protection import signing

__all__ = [
    "AsyncAllViewMetricsRetriever",
    "AsyncCouchDBHealthCheck",
    "AsyncDatabaseMetricsRetriever",
    "AsyncDeleter",
    "AsyncModelRetriever",
    "AsyncModelRetrieverByDocumentID",
    "AsyncModelsRetriever",
    "AsyncPersister",
    "AsyncViewMetricsRetriever",
    "BaseAsyncModelRetriever",
]

# The settings of actions that are given no database. A URL is opened for each action on its own, with the
# settings below; a Database is used as it is.
database: str | Database = "http://127.0.0.1:5984/database"
tampering_signer: signing.Signer | None = None
username: str | None = None
password: str | None = None
validate_cert: bool = True

M = TypeVar("M", bound=Model)


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some models, and the key that the next page starts with; None on the last one."""

    models: list[M]
    next_key: Any


class BaseAsyncModelRetriever(ModelReader[M], abc.ABC):
    """Reads what a view finds; design document and view share one name."""

    def __init__(self, design_doc: str, *, database: Database | None = None) -> None:
        super().__init__(database=database)
        self._design_doc = design_doc

    @abc.abstractmethod
    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """CouchDB's options for the view, not yet encoded.

        The most recent of the documents whose key is [a, b, timestamp] is `{"descending": True, "limit": 1,
        "startkey": [a, b, {}], "endkey": [a, b]}`.
        """

    async def _rows(self, connection: Database, **options: Any) -> list[Row]:
        options = {"include_docs": True} | self.get_query_string_key_value_pairs() | options
        return await connection.query_view(self._design_doc, **options)


class AsyncModelRetriever(BaseAsyncModelRetriever[M]):
    """Reads the one model that a view has under `key`: any JSON value, 0, "" and [] among them."""

    def __init__(self, design_doc: str, key: Any, *, database: Database | None = None) -> None:
        super().__init__(design_doc, database=database)
        self._key = key

    @property
    def identity(self) -> tuple[str, str]:
        """What is the same for all who read this model."""
        return self._design_doc, json.dumps(self._key)

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """The key; of several documents under it CouchDB gives the one with the smallest id first."""
        return {"key": self._key, "limit": 1}

    async def fetch(self) -> M | None:
        """The model, or None if there is no such model.

        Raises:
            InvalidDocumentError: the document does not fit the model.
            TamperedError: the document's signature is missing or wrong, or its witness says otherwise.
        """
        record_id = record_id_by_key(self.model_class, self._design_doc, self._key)
        async with self._connected() as connection:
            read = functools.partial(self._read, connection)
            return await self._confirmed(connection, await read(), record_id, read)

    async def _read(self, connection: Database) -> M | None:
        doc = await self._find(connection)
        return None if doc is None else await self._verified_model(connection, doc)

    async def _find(self, connection: Database) -> Document | None:
        model_class = self.model_class
        name = None if model_class is None else model_class.unique_keys.get(self._design_doc)
        if model_class is not None and name is not None and isinstance(self._key, str):
            wanted = {"type": model_class.type_name(), name: self._key}
            return await connection.find(
                self._design_doc, self._key, lambda doc: wanted.items() <= doc.items()
            )
        return await self._find_by_view(connection)

    async def _find_by_view(self, connection: Database) -> Document | None:
        docs = _docs(await self._rows(connection))
        return docs[0] if docs else None


class AsyncModelsRetriever(BaseAsyncModelRetriever[M]):
    """Reads the models that a view has from `start_key` to `end_key`, both included; None is open.

    A document that does not fit the model or was tampered with is left out, and logged and counted;
    `request_context` has how many were tampered with.
    """

    def __init__(
        self,
        design_doc: str,
        start_key: Any = None,
        end_key: Any = None,
        *,
        limit: int | None = None,
        skip: int = 0,
        descending: bool = False,
        database: Database | None = None,
    ) -> None:
        super().__init__(design_doc, database=database)
        bounds = {"startkey": start_key, "endkey": end_key, "limit": limit}
        self._options: dict[str, Any] = {name: bound for name, bound in bounds.items() if bound is not None}
        self._options |= {"skip": skip, "descending": descending}

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """The range, its direction and its bounds."""
        return self._options

    async def fetch(self) -> list[M]:
        """The models in the order of their keys."""
        async with self._connected() as connection:
            return await self._valid_models(connection, _docs(await self._rows(connection)))

    async def fetch_page(self, size: int) -> Page[M]:
        """At most `size` of the models; for a view whose keys are unique.

        Of several documents under one key it takes the one with the smallest id, as all others do.
        """
        async with self._connected() as connection:
            rows = await self._rows(connection, limit=size + 1)
            unique_rows = [row for i, row in enumerate(rows) if i == 0 or row.key != rows[i - 1].key]
            is_last = len(rows) <= size
            if len(unique_rows) == 1 and not is_last:  # more documents under one key than a page holds
                return await self.fetch_page(size * 2)
            next_key = None if is_last else unique_rows.pop().key
            return Page(await self._valid_models(connection, _docs(unique_rows)), next_key)


def _docs(rows: list[Row]) -> list[Document]:
    """The rows' documents; one that was deleted since the view was read has none."""
    return [row.doc for row in rows if row.doc is not None and not row.doc.get("_deleted")]


class AsyncModelRetrieverByDocumentID(ModelReader[M]):
    """Reads the model that is stored under a document's id."""

    def __init__(self, document_id: str, *, database: Database | None = None) -> None:
        super().__init__(database=database)
        self._document_id = document_id

    async def fetch(self) -> M | None:
        """The model, or None if there is no such document; raises as `AsyncModelRetriever.fetch` does."""
        record_id = record_id_by_document_id(self.model_class, self._document_id)
        async with self._connected() as connection:
            read = functools.partial(self._read_document, connection, self._document_id)
            return await self._confirmed(connection, await read(), record_id, read)
