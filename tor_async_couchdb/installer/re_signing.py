"""Signs all documents with the primary key, so that an older key, or a Keyczar key set, can be retired."""

from __future__ import annotations

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.rewriting import PAGE_SIZE, OnProgress, Rewritten, rewrite
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import Signer


def re_sign(
    database: AdminDatabase, signer: Signer, on_progress: OnProgress, *, page_size: int = PAGE_SIZE
) -> Rewritten:
    """Signs each live leaf of each document with the signer's primary key, unless it is signed with it.

    A document whose signature does not verify is left as it is: a new signature would hide the tampering.

    Raises:
        CouchDBError: CouchDB can't be asked, or refuses.
        InstallerError: services go on writing with another key.
    """

    def renew(leaf: Document) -> Document:
        if not signing.verify(signer, leaf):
            raise TamperedError(leaf["_id"])
        # A MAC is deterministic: what the primary key signed, it signs the same way again.
        return signing.sign(signer, dict(leaf))

    return rewrite(database, renew, on_progress, page_size=page_size)
