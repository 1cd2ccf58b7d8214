"""The guard of a service that signs, encrypts, or compares what it reads with a witness."""

import collections
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.guard import Guard, History, Open, Sought
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.encryption import Encryption
from tor_async_couchdb.protection.signing import Signer

M = TypeVar("M", bound=Model)

_MAX_ALARMS = 10_000  # some 150 bytes each

_logger = logging.getLogger(__name__)


class ProtectingGuard(Guard):
    """Signs by `signer`, encrypts by `encryption`, and compares with `witness`; each may be None.

        Database(url, guard=ProtectingGuard(signer=TamperingSigner.from_file("keys.json")))

    It logs each document that was tampered with once, as long as it is among the last `max_alarms` of them.
    """

    def __init__(
        self,
        *,
        signer: Signer | None = None,
        encryption: Encryption | None = None,
        witness: History | None = None,
        max_alarms: int = _MAX_ALARMS,
    ) -> None:
        self._signer = signer
        self._encryption = encryption
        self._witness = witness
        self._max_alarms = max_alarms
        # Documents whose tampering was logged; the oldest are forgotten first.
        self._alarmed: collections.OrderedDict[str, None] = collections.OrderedDict()

    @property
    def keeps_history(self) -> bool:  # type: ignore[override]  # a constant of the base class
        """Whether there is a witness."""
        return self._witness is not None

    def sign(self, document: Document) -> Document:
        """See `Guard.sign`."""
        return document if self._signer is None else signing.sign(self._signer, document)

    async def seal(self, model_class: type[Model], document: Document) -> Document:
        """See `Guard.seal`."""
        if self._encryption is None:
            document = await super().seal(model_class, document)
        else:
            document = await self._encryption.encrypted(model_class, document)
        return self.sign(document)

    async def opener(self, model_class: type[Model], documents: Iterable[Document]) -> Open:
        """See `Guard.opener`."""
        if self._encryption is None:
            decrypt = await super().opener(model_class, documents)
        else:
            decrypt = await self._encryption.decrypter(model_class, documents)
        signer = self._signer
        if signer is None:
            return decrypt

        def open_document(document: Document) -> Document:
            if not signing.verify(signer, document):
                raise TamperedError(str(document.get("_id")))
            return decrypt(document)

        return open_document

    async def check_not_rolled_back(
        self,
        model: M | None,
        sought: Sought,
        read: Callable[[], Awaitable[M | None]],
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> M | None:
        """See `Guard.check_not_rolled_back`."""
        if self._witness is None:
            return model
        return await self._witness.check_not_rolled_back(model, sought, read, fetch_leaves)

    async def wrote(self, model: Model) -> None:
        """See `Guard.wrote`."""
        if self._witness is not None:
            await self._witness.wrote(model)

    async def deletes(self, model: Model) -> None:
        """See `Guard.deletes`."""
        if self._witness is not None:
            await self._witness.deletes(model)

    async def deleted(self, model: Model) -> None:
        """See `Guard.deleted`."""
        if self._witness is not None:
            await self._witness.deleted(model)

    def report_tampering(self, error: TamperedError, observer: Observer) -> None:
        """See `Guard.report_tampering`."""
        if error.document_id not in self._alarmed:
            self._alarmed[error.document_id] = None
            if len(self._alarmed) > self._max_alarms:
                self._alarmed.popitem(last=False)
            _logger.critical("ALARM: %s", error)
        super().report_tampering(error, observer)

    async def close(self) -> None:
        """Closes the witness."""
        if self._witness is not None:
            await self._witness.close()
