"""Encrypts all documents with the primary data keys, so that the older ones can be retired."""

from __future__ import annotations

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.rewriting import PAGE_SIZE, OnProgress, Rewritten, rewrite
from tor_async_couchdb.model import Model
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.encryption import decrypted, encrypted, is_outdated, needed_keys
from tor_async_couchdb.protection.signing import Signer


def re_encrypt(
    database: AdminDatabase,
    model_class: type[Model],
    data_keys: DataKeys,
    signer: Signer | None,
    on_progress: OnProgress,
    *,
    page_size: int = PAGE_SIZE,
) -> Rewritten:
    """Encrypts each live leaf of the model's type with its subject's primary key, unless it is already.

    Run it on one master only: replication brings the documents to the others, and two runs would make
    conflicts. A document that was tampered with or can't be decrypted is left as it is, and so are those of
    an erased subject.

    Raises:
        CouchDBError: CouchDB can't be asked, or refuses.
        DataKeyError: the data keys can't be used.
        InstallerError: services go on writing with another key.
    """

    def renew(leaf: Document) -> Document:
        return re_encrypted(model_class, leaf, data_keys, signer)

    return rewrite(database, renew, on_progress, page_size=page_size)


def re_encrypted(
    model_class: type[Model], leaf: Document, data_keys: DataKeys, signer: Signer | None
) -> Document:
    """The revision with its values encrypted by the primary key, and signed; the same if it is already.

    Raises:
        TamperedError, InvalidDocumentError: it is not what a service wrote, or there is no key for it.
    """
    if leaf.get("type") != model_class.type_name():
        return leaf
    if signer is not None and not signing.verify(signer, leaf):
        raise TamperedError(leaf["_id"])
    keys = data_keys.fetch(list(needed_keys(model_class, [leaf])))
    readable = decrypted(model_class, leaf, keys)
    key = next(iter(keys.values()), None)
    if key is None or not is_outdated(model_class, leaf, key):
        return leaf
    renewed = encrypted(model_class, readable, key)
    return renewed if signer is None else signing.sign(signer, renewed)
