"""A witness: it remembers, outside of a database, how far each document of it had come.

A signature can't show that a document was put back to an older signed revision, or deleted: nothing that is
left in the database is wrong. The witness keeps a signed record of each model: how often it has been changed
(the sum of its `Counter` properties), and whether it exists. A model that falls behind its record was
tampered with.

The record is written after the document. So a crash between the two leaves one change uncovered, and never
raises a false alarm. A `Witness` is for one database: to it a replica that lags behind looks like a rollback.
Several databases that replicate need the one in `masters_witness`.
"""

from __future__ import annotations

import abc
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar

from tor_async_couchdb.errors import ConflictError, CouchDBError, NotFoundError, TamperedError
from tor_async_couchdb.model.model import Document, Model
from tor_async_couchdb.model.properties import Counter
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import Signer

if TYPE_CHECKING:
    from tor_async_couchdb.documents.database import Database

_logger = logging.getLogger(__name__)

_TYPE = "witness_v1.0"

# What a record says of the document. Of two records with the same count the later of these states holds.
_EXISTS = "exists"
_MAY_BE_DELETED = "may be deleted"
_DELETED = "deleted"
_STATES = (_EXISTS, _MAY_BE_DELETED, _DELETED)

M = TypeVar("M", bound=Model)


class WitnessStore(Protocol):
    """Keeps a witness's records, out of reach of who administers the witnessed database."""

    async def fetch(self, record_id: str) -> Document | None:
        """The record, with its `_rev`, or None."""

    async def save(self, record: Document) -> None:
        """Writes a record; ConflictError if its `_rev` is not the current one."""

    async def close(self) -> None:
        """Called when the witnessed database is closed."""


class DatabaseWitnessStore:
    """Keeps a witness's records in a CouchDB database of their own; best on another server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, record_id: str) -> Document | None:
        """See `WitnessStore.fetch`."""
        try:
            return await self._database.fetch(record_id)
        except NotFoundError as error:
            if error.reason in ("missing", "deleted"):
                return None
            raise

    async def save(self, record: Document) -> None:
        """See `WitnessStore.save`."""
        await self._database.save(record)

    async def close(self) -> None:
        """Closes the database."""
        await self._database.close()


class BaseWitness(abc.ABC):
    """What all witnesses do: keep records that `signer` signs in a store, and compare models with them."""

    def __init__(self, store: WitnessStore, signer: Signer) -> None:
        self._store = store
        self._signer = signer

    async def close(self) -> None:
        """Closes the store."""
        await self._store.close()

    @abc.abstractmethod
    async def wrote(self, model: Model) -> None:
        """Remembers a model that has been stored. If it can't, it logs that: the model is stored."""

    @abc.abstractmethod
    async def deletes(self, model: Model) -> None:
        """Remembers that the model is about to be deleted; raises a CouchDBError if it can't."""

    @abc.abstractmethod
    async def deleted(self, model: Model) -> None:
        """Remembers that the model has been deleted. If it can't, it logs that."""

    async def confirmed(
        self, model: M | None, record_id: str, read: Callable[[], Awaitable[M | None]]
    ) -> M | None:
        """The model that was read, or what it has become meanwhile; `read` reads it again.

        What the record says of the model was true when the record was written, which is before it was read.
        So a model that is read later must not be behind it, and one that was read before may be.

        Raises:
            TamperedError: the model, or the record itself.
        """
        record = await self._fetch(record_id)
        while record is not None and self._is_behind(model, record):
            model = await read()
            record_before, record = record, await self._fetch(record_id)
            # If the record was written meanwhile, so was the model, or it was deleted: look again.
            if record == record_before and self._is_behind(model, record_before):
                await self._accuse(model, record_before)
        return model

    @abc.abstractmethod
    def _is_behind(self, model: Model | None, record: Document) -> bool:
        """Whether the model, or that there is none, contradicts the record."""

    async def _accuse(self, model: Model | None, record: Document) -> NoReturn:
        """Raises the error for a model that is behind its record."""
        raise TamperedError(record["document_id"])

    async def _remember_afterwards(self, model: Model, remembering: Awaitable[None]) -> None:
        try:
            await remembering
        except CouchDBError as error:
            _logger.error("document %r is not covered by the witness: %s", model.id, error)

    async def _remember(
        self, record_id: str, following: Callable[[Document | None], Document | None]
    ) -> None:
        """Writes the record that follows the one that is there, if there is one to follow."""
        while True:
            record = await self._fetch(record_id)
            new = following(record)
            if new is None:
                return
            new["_id"] = record_id
            if record is not None:
                new["_rev"] = record["_rev"]
            # Who loses to somebody else that remembers the same model looks again.
            with contextlib.suppress(ConflictError):
                await self._store.save(signing.sign(self._signer, new))
                return

    async def _fetch(self, record_id: str) -> Document | None:
        record = await self._store.fetch(record_id)
        if record is not None and not (
            record.get("_id") == record_id and signing.verify(self._signer, record)
        ):
            raise TamperedError(record_id)
        return record


class Witness(BaseWitness):
    """Remembers the models of one database, and tells whether one has fallen behind."""

    async def wrote(self, model: Model) -> None:
        """See `BaseWitness.wrote`."""
        await self._remember_afterwards(model, self._remember_state(model, _EXISTS))

    async def deletes(self, model: Model) -> None:
        """See `BaseWitness.deletes`."""
        await self._remember_state(model, _MAY_BE_DELETED)

    async def deleted(self, model: Model) -> None:
        """See `BaseWitness.deleted`."""
        await self._remember_afterwards(model, self._remember_state(model, _DELETED))

    async def _remember_state(self, model: Model, state: str) -> None:
        new = {
            "type": _TYPE,
            "document_id": model.id,
            "change_count": _change_count(model),
            "state": state,
        }
        await self._remember(
            record_id_of(model),
            lambda record: None if record is not None and _order(new) <= _order(record) else dict(new),
        )

    def _is_behind(self, model: Model | None, record: Document) -> bool:
        if model is None:
            return bool(record["state"] == _EXISTS)
        return bool(record["state"] == _DELETED or _change_count(model) < record["change_count"])


def record_id_of(model: Model) -> str:
    """The id of a model's record: by its unique key if it has one, as this is what it is asked for by."""
    for view, name in model.unique_keys.items():
        return f"{view}/{getattr(model, name)}"
    return f"id/{model.id}"


def record_id_by_key(model_class: type[Model] | None, view: str, key: object) -> str | None:
    """The id of the record of the model that has a key in a view; None if that key doesn't tell it."""
    if model_class is None or next(iter(model_class.unique_keys), None) != view:
        return None
    return f"{view}/{key}"


def record_id_by_document_id(model_class: type[Model] | None, document_id: str) -> str | None:
    """The id of the record of the model with this document id; None if it is under a unique key."""
    return None if model_class is None or model_class.unique_keys else f"id/{document_id}"


def _change_count(model: Model) -> int:
    count = 0
    for declared in type(model).properties.values():
        if isinstance(declared.merge, Counter):
            value: Any = getattr(model, declared.name)
            count += sum(value.values()) if isinstance(value, Mapping) else value
    return count


def _order(record: Document) -> tuple[int, int]:
    return record["change_count"], _STATES.index(record["state"])
