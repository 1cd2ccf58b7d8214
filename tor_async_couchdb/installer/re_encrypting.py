"""Encrypts a database anew by the primary data keys, so that the older ones can be retired."""

from __future__ import annotations

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.rewriting import OnProgress, Rewritten, rewrite
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
) -> Rewritten:
    """Encrypts each live leaf of the model's type by its subject's primary key, unless that has been done.

    It writes what no merge would: run it for one master, and replication brings it to the others. A document
    that was tampered with, or can't be decrypted, is left as it is; so is that of a subject that was
    forgotten. Raises as `rewrite` does, and DataKeyError.
    """

    def renew(leaf: Document) -> Document:
        return re_encrypted(model_class, leaf, data_keys, signer)

    return rewrite(database, renew, on_progress)


def re_encrypted(
    model_class: type[Model], leaf: Document, data_keys: DataKeys, signer: Signer | None
) -> Document:
    """A revision with ciphertexts of the primary key, signed; the same if there is nothing to do.

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
