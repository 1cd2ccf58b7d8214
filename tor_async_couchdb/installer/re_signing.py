"""Signs a database anew by the primary key, so that an older key, or a Keyczar key set, can be retired."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from tor_async_couchdb import tamper
from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.installer.database import Database, Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.tamper import SIGNATURE_PROPERTY_NAME, Signer

_PAGE_SIZE = 500
# A document that a service changes at the same moment is left to the next pass. More than a few passes are
# needed only where services go on signing with another key.
_MAX_PASSES = 10

# Called with the number of documents seen so far and that of all.
OnProgress = Callable[[int, int], None]


@dataclass
class ReSigned:
    """What became of the revisions, by number, and of the documents that were left as they are, by id."""

    written: int = 0
    current: int = 0
    tampered: set[str] = field(default_factory=set)
    refused: dict[str, str] = field(default_factory=dict)


def re_sign(database: Database, signer: Signer, on_progress: OnProgress) -> ReSigned:
    """Signs each live leaf of each document by the signer's primary key, unless that has been done.

    Services may go on using the database. What is interrupted goes on when it is called again: it writes only
    what is left. A document whose signature does not verify is left as it is, as signing it would launder it.

    Raises:
        CouchDBError: CouchDB can't be asked, or refuses.
        InstallerError: after many passes there are still documents that another key has just signed.
    """
    result = ReSigned()
    for _ in range(_MAX_PASSES):
        written = result.written
        result = ReSigned(written=written)
        is_done = True
        for leaves in _pages(database, on_progress):
            outdated = _outdated(leaves, signer, result)
            is_done = is_done and not outdated
            _write(database, outdated, result)
        if is_done:
            return result
    raise InstallerError(f"{database}: services still sign by another key: give them the key set first")


def _pages(database: Database, on_progress: OnProgress) -> Iterator[list[Document]]:
    total = database.count_documents()
    seen = 0
    document_ids = database.document_ids(None, _PAGE_SIZE)
    while document_ids:
        yield [leaf for leaf in database.fetch_leaves(document_ids) if not leaf.get("_deleted")]
        seen += len(document_ids)
        on_progress(min(seen, total), total)
        document_ids = database.document_ids(document_ids[-1], _PAGE_SIZE)


def _outdated(leaves: Sequence[Document], signer: Signer, result: ReSigned) -> list[Document]:
    """Those leaves that another key signed, as they have to be written."""
    outdated = []
    for leaf in leaves:
        document_id = leaf["_id"]
        if document_id.startswith("_design/"):
            continue
        if not tamper.verify(signer, leaf):
            result.tampered.add(document_id)
            continue
        try:
            signed = tamper.sign(signer, dict(leaf))
        except InvalidDocumentError as error:
            result.refused[document_id] = error.reason
            continue
        # A MAC is deterministic: what the primary key signed, it signs the same way again.
        if signed[SIGNATURE_PROPERTY_NAME] == leaf[SIGNATURE_PROPERTY_NAME]:
            result.current += 1
        else:
            outdated.append(signed)
    return outdated


def _write(database: Database, documents: Sequence[Document], result: ReSigned) -> None:
    refusals = database.write(documents) if documents else {}
    for document_id, reason in refusals.items():
        if not reason.startswith("conflict:"):
            raise InstallerError(f"{database} refuses document '{document_id}': {reason}")
    result.written += len(documents) - len(refusals)
