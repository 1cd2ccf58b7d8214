"""Puts design documents in place without an outage.

A changed design document has no index yet: queries would hang until CouchDB has read every document. So it
is first put under a temporary name, where its functions are compiled and its index is built, and then under
its own. CouchDB finds an index by what the views say, not by their name, so it is there at once.
https://docs.couchdb.org/en/stable/best-practices/views.html#deploying-a-view-change-in-a-live-environment
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from tor_async_couchdb.errors import CouchDBError, ResponseError, TransportError
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.files import DocumentFile

_logger = logging.getLogger(__package__)

# Is told the name of a design document, how many changes its index has seen, and how many there are.
OnProgress = Callable[[str, int, int], None]

_TEMPORARY_SUFFIX = ".being_built"
_QUERY_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.25
_STALLED_AFTER_S = 120.0


def install_design_documents(
    database: AdminDatabase, files: Sequence[DocumentFile], on_progress: OnProgress
) -> None:
    """Creates or upgrades those design documents that differ from what the database has.

    Raises:
        CouchDBError: one can't be compiled or its index not be built, and then none was put in place; or
            CouchDB can't be reached.
    """
    stored = database.fetch(
        [file.document_id for file in files] + [file.document_id + _TEMPORARY_SUFFIX for file in files]
    )
    changed = []
    for file in files:
        leftover = stored.get(file.document_id + _TEMPORARY_SUFFIX)
        if leftover is not None:  # of an installer that was killed
            database.delete_design_document(file.path.stem + _TEMPORARY_SUFFIX, leftover["_rev"])
        if _without_revision(stored.get(file.document_id)) != file.body:
            changed.append(file)
        else:
            _logger.info(
                "No need to put design document '%s' into %s: it is up to date", file.document_id, database
            )
    if changed:
        _switch(database, changed, stored, on_progress)


def _without_revision(document: Document | None) -> Document | None:
    return document and {name: value for name, value in document.items() if name != "_rev"}


def _switch(
    database: AdminDatabase,
    changed: Sequence[DocumentFile],
    stored: dict[str, Document],
    on_progress: OnProgress,
) -> None:
    revisions = {document_id: {"_rev": document["_rev"]} for document_id, document in stored.items()}
    with ExitStack() as temporary_documents:
        for file in changed:
            temporary_documents.enter_context(_temporary(database, file))
        for file in changed:
            _build_index(database, file, file.path.stem + _TEMPORARY_SUFFIX, on_progress)
        refusals = database.write(file.body | revisions.get(file.document_id, {}) for file in changed)
        for file in changed:
            if file.document_id in refusals:
                raise InstallerError(f"{file.path}: {database} refuses it: {refusals[file.document_id]}")
            # An index that no design document has opened is closed with the temporary one, and what CouchDB
            # had not committed of it (3.5.0: the last seconds) would be built again.
            _build_index(database, file, file.path.stem, on_progress)
            _logger.info("Successfully put design document '%s' into %s", file.document_id, database)


@contextmanager
def _temporary(database: AdminDatabase, file: DocumentFile) -> Iterator[None]:
    name = file.path.stem + _TEMPORARY_SUFFIX
    body: Document = {
        member: file.body[member] for member in ("language", "options", "views") if member in file.body
    }
    try:
        revision = database.put_design_document(name, body)
    except ResponseError as error:
        raise InstallerError(f"{file.path}: {error}") from error
    try:
        yield
    finally:
        # The next run deletes what can't be deleted now, and an error that is on its way is the one to tell.
        with suppress(CouchDBError):
            database.delete_design_document(name, revision)


def _build_index(database: AdminDatabase, file: DocumentFile, name: str, on_progress: OnProgress) -> None:
    view = next(iter(file.body.get("views", ())), None)
    if view is None:
        return
    pending, fewest, most, progressed_s = 0, sys.maxsize, 0, time.monotonic()
    while True:
        try:
            if pending == 0:
                with suppress(TransportError):
                    database.query_view(name, view, timeout_s=_QUERY_TIMEOUT_S)
                    return
            else:
                time.sleep(_POLL_INTERVAL_S)
            pending = database.count_pending_updates(name)
        except ResponseError as error:
            raise InstallerError(f"{file.path}: {error}") from error
        if pending < fewest:
            fewest, progressed_s = pending, time.monotonic()
        elif time.monotonic() - progressed_s > _STALLED_AFTER_S:
            raise InstallerError(f"{file.path}: its index made no progress within {_STALLED_AFTER_S:g} s")
        most = max(most, pending)
        on_progress(file.path.stem, most - pending, most)
