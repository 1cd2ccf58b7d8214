"""Actions that read models.

    class AsyncFruitRetriever(AsyncModelRetriever[Fruit]):
        def __init__(self, fruit_id: str, database: Database) -> None:
            super().__init__("fruit_by_fruit_id", fruit_id, database=database)

    fruit = await AsyncFruitRetriever(fruit_id, database).fetch()

A model that does not exist is None, and no error.
"""

import abc
import asyncio
import dataclasses
import functools
import logging
from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar, get_args

import msgspec

from tor_async_couchdb.actions.action import AsyncAction
from tor_async_couchdb.documents.database import Database, Row
from tor_async_couchdb.errors import (
    CouchDBError,
    InvalidDocumentError,
    NotFoundError,
    NotYetReplicatedError,
    TamperedError,
)
from tor_async_couchdb.guard import Open, Sought
from tor_async_couchdb.model import Document, Model

# CouchDB's reasons for a 404 on a document; a missing database or view has others, and is an error.
_NO_SUCH_DOCUMENT = ("missing", "deleted")

_NO_LIMIT = 1_000_000_000

# For these errors a list leaves the document out and succeeds.
_BAD_DOCUMENT = (InvalidDocumentError, NotYetReplicatedError, TamperedError)

_logger = logging.getLogger(__name__)

M = TypeVar("M", bound=Model)


@dataclasses.dataclass(frozen=True, slots=True)
class Cursor:
    """A place in a view: the row of this document under this key."""

    key: Any
    document_id: str


@dataclasses.dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """Some models, and where the next page starts; None on the last page."""

    models: list[M]
    next: Cursor | None


class BaseAsyncModelRetriever(AsyncAction, abc.ABC, Generic[M]):
    """Makes models of documents. A subclass names its model once: `AsyncModelRetriever[Fruit]`."""

    # Unless a subclass names its model, it has to override `create_model_from_doc`.
    model_class: type[M] = Model  # type: ignore[assignment]

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for base in cls.__dict__.get("__orig_bases__", ()):
            for argument in get_args(base):
                if isinstance(argument, type) and issubclass(argument, Model):
                    cls.model_class = argument  # type: ignore[assignment]  # mypy can't know that it is M

    def create_model_from_doc(self, doc: Document) -> M:
        """The model that a document holds. Override it where the document's type decides the class."""
        if self.model_class is Model:
            raise TypeError(f"{type(self).__name__} needs a model class: AsyncModelRetriever[Fruit]")
        return self.model_class.from_doc(doc)

    async def _read_document(self, document_id: str) -> M | None:
        try:
            doc = await self.database.fetch(document_id)
        except NotFoundError as error:
            if error.reason in _NO_SUCH_DOCUMENT:
                return None
            raise
        return await self._opened(doc)

    async def _opened(self, doc: Document) -> M:
        open_document = await self.database.guard.opener(self.model_class, [doc])
        return self.create_model_from_doc(open_document(doc))

    async def _opened_all(self, docs: Sequence[Document]) -> list[M]:
        """The models of those documents that fit and were not tampered with."""
        docs = [doc for doc in docs if self._has_id_or_is_left_out(doc)]
        open_document = await self.database.guard.opener(self.model_class, docs)
        opening = [self._opened_or_left_out(doc, open_document) for doc in docs]
        # Without a history nothing is waited for, and tasks would only cost time.
        models = (
            await asyncio.gather(*opening)
            if self.database.guard.keeps_history
            else [await each for each in opening]
        )
        return [model for model in models if model is not None]

    def _has_id_or_is_left_out(self, doc: Document) -> bool:
        # It may be a view's value, and what that is, a map function decides.
        if isinstance(doc.get("_id"), str):
            return True
        self._leave_out(InvalidDocumentError("has no _id, so it is none that is stored"))
        return False

    async def _opened_or_left_out(self, doc: Document, open_document: Open) -> M | None:
        try:
            return await self.database.guard.check_not_rolled_back(
                self.create_model_from_doc(open_document(doc)),
                Sought(self.model_class, None, doc["_id"]),
                functools.partial(self._read_document, doc["_id"]),
                self.database.fetch_leaves,
            )
        except _BAD_DOCUMENT as error:
            self._leave_out(error)
            return None

    def _leave_out(self, error: CouchDBError) -> None:
        if isinstance(error, TamperedError):
            self.database.guard.report_tampering(error, self.database.observer)
        else:
            _logger.error("left out of a list: %s", error)
        self.database.observer.document_left_out(error)


class _OneModelRetriever(BaseAsyncModelRetriever[M]):
    """Reads one model."""

    async def fetch(self) -> M | None:
        """The model, or None if there is none.

        Raises:
            InvalidDocumentError: the document does not fit the model.
            TamperedError: the signature is missing or wrong, or the witness has seen a newer document.
            NotYetReplicatedError: changes that another master has merged are missing.
        """
        try:
            return await self.database.guard.check_not_rolled_back(
                await self._read(), self._sought(), self._read, self.database.fetch_leaves
            )
        except TamperedError as error:
            self.database.guard.report_tampering(error, self.database.observer)
            raise

    @abc.abstractmethod
    async def _read(self) -> M | None:
        """The model as the database has it."""

    @abc.abstractmethod
    def _sought(self) -> Sought:
        """What this retriever looks for."""


class AsyncModelRetrieverByDocumentID(_OneModelRetriever[M]):
    """Reads the model that is stored under a document's id."""

    def __init__(self, document_id: str, *, database: Database) -> None:
        super().__init__(database=database)
        self._document_id = document_id

    async def _read(self) -> M | None:
        return await self._read_document(self._document_id)

    def _sought(self) -> Sought:
        return Sought(self.model_class, None, self._document_id)


class AsyncViewRetriever(BaseAsyncModelRetriever[M]):
    """Reads what a view finds; the view has the name of its design document."""

    def __init__(self, design_doc: str, *, database: Database) -> None:
        super().__init__(database=database)
        self._design_doc = design_doc

    @abc.abstractmethod
    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """CouchDB's options for the view, as Python values.

        Of documents under keys [a, b, timestamp] the most recent one is found by `{"descending": True,
        "limit": 1, "startkey": [a, b, {}], "endkey": [a, b]}`.
        """

    async def _rows(self, **options: Any) -> list[Row]:
        options = {"include_docs": True} | self.get_query_string_key_value_pairs() | options
        return await self.database.query_view(self._design_doc, **options)


class AsyncModelRetriever(AsyncViewRetriever[M], _OneModelRetriever[M]):
    """Reads the one model under `key` in a view: any JSON value, 0, "" and [] among them."""

    def __init__(self, design_doc: str, key: Any, *, database: Database) -> None:
        super().__init__(design_doc, database=database)
        self._key = key

    @property
    def identity(self) -> Hashable:
        """Equal for two retrievers of one database that find the same model and make the same of it."""
        # As JSON, because 1 and True are equal to Python.
        query = msgspec.json.encode(self.get_query_string_key_value_pairs())
        return type(self), self.model_class, self._design_doc, query

    def get_query_string_key_value_pairs(self) -> dict[str, Any]:
        """The key; of several documents under it CouchDB returns the one with the smallest id."""
        return {"key": self._key, "limit": 1}

    def _sought(self) -> Sought:
        return Sought(self.model_class, self._design_doc, self._key)

    async def _read(self) -> M | None:
        doc = await self._find()
        return None if doc is None else await self._opened(doc)

    async def _find(self) -> Document | None:
        name = self.model_class.unique_keys.get(self._design_doc)
        if name is None or not isinstance(self._key, str):
            return await self._find_by_view()
        types = self.model_class.document_types
        return await self.database.find(
            self._design_doc,
            self._key,
            lambda doc: doc.get(name) == self._key and doc.get("type") in types,
        )

    async def _find_by_view(self) -> Document | None:
        rows = await self._rows()
        if rows and rows[0].key != self._key and "key" in self.get_query_string_key_value_pairs():
            # Unicode collation takes some different keys for equal, such as "José" in its two spellings.
            rows = [row for row in await self._rows(limit=_NO_LIMIT) if row.key == self._key]
        if rows and rows[0].error is not None:
            raise rows[0].error
        docs = _docs(rows)
        return docs[0] if docs else None


class AsyncModelsRetriever(AsyncViewRetriever[M]):
    """Reads the models from `start_key` to `end_key` in a view, both included; None is open.

    A document that does not fit the model or was tampered with is left out; the observer learns of it.
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
        database: Database,
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
        return await self._models_of(await self._rows())

    async def fetch_page(self, size: int, start: Cursor | None = None) -> Page[M]:
        """At most `size` models, from a cursor on, for a view whose keys are unique.

        If several documents share a key, the page has the first of them in the view's order.
        """
        rows: list[Row] = []  # the first row of each key
        without_key: dict[str, Row] = {}  # no page can start at these
        limit, is_last = size + 1, False
        while len(rows) <= size and not is_last:
            window = await self._rows_from(start, limit)
            is_last = len(window) < limit
            for row in window:
                if isinstance(row.key, msgspec.Raw):
                    without_key[str(row.id)] = row
                elif not rows or row.key != rows[-1].key:
                    rows.append(row)
            if window:
                start = _place_of(window[-1])
            limit = size + 2  # the next window begins with the last row of this one
        next_start = _place_of(rows[size]) if len(rows) > size else None
        return Page(await self._models_of([*rows[:size], *without_key.values()]), next_start)

    async def _models_of(self, rows: list[Row]) -> list[M]:
        for row in rows:
            if row.error is not None:
                self._leave_out(row.error)
        return await self._opened_all(_docs(rows))

    async def _rows_from(self, start: Cursor | None, limit: int) -> list[Row]:
        if start is None:
            return await self._rows(limit=limit)
        options = {"startkey": start.key, "startkey_docid": start.document_id, "skip": 0}
        return await self._rows(limit=limit, **options)


def _place_of(row: Row) -> Cursor:
    return Cursor(row.key, str(row.id))


def _docs(rows: list[Row]) -> list[Document]:
    """The documents of the rows; a row whose document was deleted since the view was read has none.

    Rows of which a part can't be decoded are left out.
    """
    return [
        row.doc for row in rows if row.doc is not None and row.error is None and not row.doc.get("_deleted")
    ]
