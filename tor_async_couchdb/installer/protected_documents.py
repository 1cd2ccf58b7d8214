"""Opens and seals the documents of a model without an event loop, as the guard of a service does."""

from __future__ import annotations

from tor_async_couchdb.errors import SubjectErasedError, TamperedError
from tor_async_couchdb.installer.admin import Document
from tor_async_couchdb.model import Model
from tor_async_couchdb.protection import encryption, signing
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.signing import Signer


class ProtectedDocuments:
    """The documents of a model that are signed, encrypted, or both; None for what they are not."""

    def __init__(self, model_class: type[Model], signer: Signer | None, data_keys: DataKeys | None) -> None:
        self._model_class = model_class
        self._signer = signer
        self._data_keys = data_keys

    def open(self, document: Document) -> Document:
        """The document with the values of its model.

        Raises:
            TamperedError, InvalidDocumentError: it is not what a service wrote, or there is no key for it.
            DataKeyError: the data keys can't be used.
        """
        if self._signer is not None and not signing.verify(self._signer, document):
            raise TamperedError(document["_id"])
        if self._data_keys is None:
            return document
        keys = self._data_keys.fetch(list(encryption.needed_keys(self._model_class, [document])))
        return encryption.decrypted(self._model_class, document, keys)

    def seal(self, document: Document) -> Document:
        """The document as it is stored.

        Raises:
            InvalidDocumentError: the document names no subject, or it can't be signed.
            DataKeyError: the data keys can't be used.
        """
        names = self._model_class.encrypted_names
        if self._data_keys is not None and any(document.get(name) is not None for name in names):
            key = self._data_keys.fetch_or_make(encryption.subject_of(self._model_class, document))
            if key is None:
                raise SubjectErasedError(document["_id"])
            document = encryption.encrypted(self._model_class, document, key)
        return document if self._signer is None else signing.sign(self._signer, document)
