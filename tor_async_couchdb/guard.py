"""What happens to a document between a model and the database: sealed before a write, opened after a read.

`Guard` is the default and changes nothing. `protection.guard.ProtectingGuard` encrypts, signs, verifies,
decrypts, and compares what it reads with a witness.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.observer import Observer

M = TypeVar("M", bound=Model)

# Makes of a stored document one with the values of its model.
Open = Callable[[Document], Document]


class Sought(NamedTuple):
    """What a read looks for: a model by its `key` in a view, or by its document id if `view` is None."""

    model_class: type[Model] | None
    view: str | None
    key: Any


class History(Protocol):
    """What compares models with a history of them outside of the database; see `Guard` for its methods."""

    async def check_not_rolled_back(
        self,
        model: M | None,
        sought: Sought,
        read: Callable[[], Awaitable[M | None]],
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> M | None:
        """See `Guard.check_not_rolled_back`."""

    async def wrote(self, model: Model) -> None:
        """See `Guard.wrote`."""

    async def deletes(self, model: Model) -> None:
        """See `Guard.deletes`."""

    async def deleted(self, model: Model) -> None:
        """See `Guard.deleted`."""

    async def close(self) -> None:
        """See `Guard.close`."""


class Guard:
    """Stores documents as their models make them, and trusts what it reads.

    Raises:
        TypeError: a model has encrypted properties, which this guard can't encrypt.
    """

    # Whether `check_not_rolled_back` compares anything.
    keeps_history = False

    def sign(self, document: Document) -> Document:
        """The document with a signature, if this guard signs; its values are encrypted already."""
        return document

    def renew(self, document: Document, before: Document) -> Document:
        """The document with a new signature, if this guard signs.

        Only its nonces differ from those of the stored document `before`.

        Raises:
            TamperedError: `before` was tampered with.
        """
        return document

    async def seal(self, model_class: type[Model], document: Document) -> Document:
        """The document as it is stored, made of one with the values of its model.

        Raises:
            SubjectErasedError: the data key of the document's subject was deleted.
            DataKeyError: the data keys can't be used.
            InvalidDocumentError: the document can't be signed.
        """
        _check_nothing_is_encrypted(model_class)
        return document

    async def opener(self, model_class: type[Model], documents: Iterable[Document]) -> Open:
        """Opens any of these documents, without I/O; it fetches what is needed for that beforehand.

        What it returns raises TamperedError for a document with a wrong signature or ciphertext, and
        InvalidDocumentError for one that can't be decrypted.

        Raises:
            DataKeyError: the data keys can't be used.
        """
        _check_nothing_is_encrypted(model_class)
        return _unchanged

    async def check_not_rolled_back(
        self,
        model: M | None,
        sought: Sought,
        read: Callable[[], Awaitable[M | None]],
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> M | None:
        """The model that a read found, or a newer one; None if the read found none.

        `read` reads it again, and `fetch_leaves` reads all leaf revisions of a document, tombstones included.

        Raises:
            TamperedError: the document was deleted, or put back to an older revision, without the service.
            NotYetReplicatedError: changes are missing that another master has merged.
        """
        return model

    async def wrote(self, model: Model) -> None:
        """Called after the model was stored."""

    async def deletes(self, model: Model) -> None:
        """Called before the model is deleted; raises a CouchDBError if it must not be deleted now."""

    async def deleted(self, model: Model) -> None:
        """Called after the model was deleted."""

    def report_tampering(self, error: TamperedError, observer: Observer) -> None:
        """Reports a document that was tampered with, once for each read that met it."""
        observer.tampering_detected(error)

    async def close(self) -> None:
        """Closes what the guard has opened. The database calls it when it is closed."""


def _check_nothing_is_encrypted(model_class: type[Model]) -> None:
    if model_class.decrypted_names:
        raise TypeError(
            f"{model_class.__name__} has encrypted properties: give its database a ProtectingGuard"
        )


def _unchanged(document: Document) -> Document:
    return document
