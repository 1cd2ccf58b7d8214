"""A witness: it keeps, outside of a database, a record of how far each document had come.

A signature can't show that a document was put back to an older signed revision, or deleted: everything left
in the database is genuine. The witness keeps a signed record of each model, with the number of its changes
and whether it exists. A model that is behind its record was tampered with.

The record is written after the document. A crash between the two leaves one change uncovered, and never
raises a false alarm. A `Witness` is for one database: to it, a replica that lags behind looks like a
rollback. Databases that replicate with each other need a `MastersWitness`.
"""

import abc
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn, Protocol, TypeVar

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import ConflictError, CouchDBError, NotFoundError, TamperedError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.change_sets import count_changes
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME
from tor_async_couchdb.model.properties import CountedOnce, Counter
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import Signer

_logger = logging.getLogger(__name__)

_TYPE = "witness_v1.0"

# The states of a document. Of two records with the same count the one with the later state is valid.
_EXISTS = "exists"
_MAY_BE_DELETED = "may be deleted"
_DELETED = "deleted"
_STATES = (_EXISTS, _MAY_BE_DELETED, _DELETED)

M = TypeVar("M", bound=Model)


class WitnessStore(Protocol):
    """Keeps a witness's records, out of reach of the administrator of the witnessed database."""

    async def fetch(self, record_id: str) -> Document | None:
        """The record with its `_rev`, or None."""

    async def save(self, record: Document) -> None:
        """Writes a record; raises ConflictError if its `_rev` is not the current one."""

    async def close(self) -> None:
        """Closes the store. The guard calls it when the witnessed database is closed."""


class DatabaseWitnessStore:
    """Keeps a witness's records in a CouchDB database of their own, best on another server."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def fetch(self, record_id: str) -> Document | None:
        """See `WitnessStore.fetch`."""
        try:
            record = await self._database.fetch(record_id)
        except NotFoundError as error:
            if error.reason in ("missing", "deleted"):
                return None
            raise
        # They are this database's, and not covered by the signature.
        record.pop(NONCES_PROPERTY_NAME, None)
        return record

    async def save(self, record: Document) -> None:
        """See `WitnessStore.save`."""
        await self._database.save(record)

    async def close(self) -> None:
        """Closes the database."""
        await self._database.close()


class BaseWitness(abc.ABC):
    """Keeps records in a store, signed by `signer`, and compares models with them."""

    def __init__(self, store: WitnessStore, signer: Signer) -> None:
        self._store = store
        self._signer = signer

    async def close(self) -> None:
        """Closes the store."""
        await self._store.close()

    @abc.abstractmethod
    async def wrote(self, model: Model) -> None:
        """Records that the model was stored. A failure is only logged, because the model is stored."""

    @abc.abstractmethod
    async def deletes(self, model: Model) -> None:
        """Records that the model is about to be deleted; raises a CouchDBError if it can't."""

    @abc.abstractmethod
    async def deleted(self, model: Model) -> None:
        """Records that the model was deleted. A failure is only logged."""

    async def check_not_rolled_back(
        self,
        model: M | None,
        sought: Sought,
        read: Callable[[], Awaitable[M | None]],
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> M | None:
        """See `Guard.check_not_rolled_back`.

        A record is older than any read that starts after it was fetched. So a model that is read then must
        not be behind it, and one that was read earlier may be.
        """
        record_id = self._record_id(model, sought)
        if record_id is None:
            return model
        record = await self._fetch(record_id)
        while record is not None and self._is_behind(model, record):
            model = await read()
            record_before, record = record, await self._fetch(record_id)
            # If the record has changed meanwhile, the model was changed or deleted: compare again.
            if record == record_before and self._is_behind(model, record_before):
                await self._raise_for(model, record_before, fetch_leaves)
        return model

    @abc.abstractmethod
    def _record_id(self, model: Model | None, sought: Sought) -> str | None:
        """The id of the record to compare with; None if there can be no record."""

    @abc.abstractmethod
    def _is_behind(self, model: Model | None, record: Document) -> bool:
        """Whether the model, or its absence, contradicts the record."""

    async def _raise_for(
        self,
        model: Model | None,
        record: Document,
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> NoReturn:
        """Raises the error for a model that is behind its record."""
        raise TamperedError(record["document_id"])

    async def _record_afterwards(self, model: Model, recording: Awaitable[None]) -> None:
        try:
            await recording
        except CouchDBError as error:
            _logger.error("document %r is not covered by the witness: %s", model.id, error)

    async def _update(self, record_id: str, following: Callable[[Document | None], Document | None]) -> None:
        """Writes what `following` makes of the current record, unless that is None."""
        while True:
            record = await self._fetch(record_id)
            new = following(record)
            if new is None:
                return
            new["_id"] = record_id
            if record is not None:
                new["_rev"] = record["_rev"]
            # Another process has recorded the same model: read its record and try again.
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
    """The witness of one database."""

    async def wrote(self, model: Model) -> None:
        """See `BaseWitness.wrote`."""
        await self._record_afterwards(model, self._record_state(model, _EXISTS))

    async def deletes(self, model: Model) -> None:
        """See `BaseWitness.deletes`."""
        await self._record_state(model, _MAY_BE_DELETED)

    async def deleted(self, model: Model) -> None:
        """See `BaseWitness.deleted`."""
        await self._record_afterwards(model, self._record_state(model, _DELETED))

    async def _record_state(self, model: Model, state: str) -> None:
        new = {
            "type": _TYPE,
            "document_id": model.id,
            "change_count": _change_count(model),
            "state": state,
        }
        await self._update(
            _record_id_of(model),
            lambda record: None if record is not None and _order(new) <= _order(record) else dict(new),
        )

    def _record_id(self, model: Model | None, sought: Sought) -> str | None:
        if model is not None:
            return _record_id_of(model)
        if sought.model_class is None:
            return None
        first_view = next(iter(sought.model_class.unique_keys), None)
        if sought.view is None:
            return f"id/{sought.key}" if first_view is None else None
        return f"{sought.view}/{sought.key}" if sought.view == first_view else None

    def _is_behind(self, model: Model | None, record: Document) -> bool:
        if model is None:
            return bool(record["state"] == _EXISTS)
        return bool(record["state"] == _DELETED or _change_count(model) < record["change_count"])


def _record_id_of(model: Model) -> str:
    """The id of a model's record: by its unique key if it has one, because readers look for that."""
    for view, name in model.unique_keys.items():
        return f"{view}/{getattr(model, name)}"
    return f"id/{model.id}"


def _change_count(model: Model) -> int:
    count = 0
    for declared in type(model).properties.values():
        value: Any = getattr(model, declared.name)
        if isinstance(declared.merge, Counter):
            count += sum(value.values())
        elif isinstance(declared.merge, CountedOnce):
            count += count_changes(value)
        elif declared.change_count is not None:
            count += value
    return count


def _order(record: Document) -> tuple[int, int]:
    return record["change_count"], _STATES.index(record["state"])
