"""Rewrites all documents of a model as its own version writes them, while services use them."""

from __future__ import annotations

import time
from collections.abc import Callable

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.guard import Open
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.rewriting import PAGE_SIZE, OnProgress, Rewritten, rewrite
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME, is_of_model

# Makes of a document with the values of its model the one that is stored.
Seal = Callable[[Document], Document]

ANOTHER_VERSION = "services still write as another version: upgrade them first"


def migrate(
    database: AdminDatabase,
    model_class: type[Model],
    on_progress: OnProgress,
    *,
    open_document: Open = dict,
    seal: Seal = dict,
    max_writes_per_s: float | None = None,
    page_size: int = PAGE_SIZE,
    sleep: Callable[[float], None] = time.sleep,
) -> Rewritten:
    """Rewrites each live leaf that the model reads and would have written otherwise.

    That is a leaf of a type in `Model.reads`. Going back is the same with the class of the older version, as
    long as that reads the newer one. All other documents are counted as current.

    `open_document` verifies and decrypts a stored document, and `seal` encrypts and signs it again. A
    document that was tampered with or that the model can't read is left as it is. Run it on one master only:
    replication brings the documents to the others, and two runs would make conflicts.

    Raises:
        CouchDBError: CouchDB can't be asked, or refuses.
        InstallerError: services go on writing as another version.
    """

    def renew(leaf: Document) -> Document:
        if leaf.get("type") not in model_class.reads:
            return leaf
        readable = open_document(leaf)
        own = model_class.from_doc(readable).as_doc_for_store()
        before = {name: value for name, value in readable.items() if is_of_model(name)}
        if own == before:
            return leaf
        renewed = seal(own)
        if SIGNATURE_PROPERTY_NAME in leaf and SIGNATURE_PROPERTY_NAME not in renewed:
            raise InvalidDocumentError("is signed, so a key set is needed", document_id=leaf["_id"])
        return renewed

    return rewrite(
        database,
        renew,
        on_progress,
        page_size=page_size if max_writes_per_s is None else max(1, min(page_size, int(max_writes_per_s))),
        max_writes_per_s=max_writes_per_s,
        outpaced=ANOTHER_VERSION,
        sleep=sleep,
    )
