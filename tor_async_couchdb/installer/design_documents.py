"""Puts design documents in place without an outage.

A changed design document has no index yet: queries would hang until CouchDB has read every document. So it
is first stored under a temporary name, where CouchDB compiles its functions and builds its index, and then
under its own name. CouchDB finds an index by the views' functions, not by their name, so it is used at once.
https://docs.couchdb.org/en/stable/best-practices/views.html#deploying-a-view-change-in-a-live-environment
"""

from __future__ import annotations

import functools
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

# Called with the name of a design document, the number of changes in its index, and that of all changes.
OnProgress = Callable[[str, int, int], None]

# Waits until the index of a design document in a file, which is stored under a name, is built.
_BuildIndex = Callable[[DocumentFile, str], None]

_TEMPORARY_SUFFIX = ".being_built"
_QUERY_TIMEOUT_S = 1.0
_POLL_INTERVAL_S = 0.25
_STALLED_AFTER_S = 120.0


def install_design_documents(
    database: AdminDatabase,
    files: Sequence[DocumentFile],
    on_progress: OnProgress,
    *,
    sleep: Callable[[float], None] = time.sleep,
    now: Callable[[], float] = time.monotonic,
) -> None:
    """Creates or upgrades those design documents that differ from what the database has.

    Raises:
        CouchDBError: one does not compile, or its index can't be built, and then none was put in place; or
            CouchDB can't be reached.
    """
    stored = database.fetch(
        [file.document_id for file in files] + [file.document_id + _TEMPORARY_SUFFIX for file in files]
    )
    changed = []
    for file in files:
        leftover = stored.get(file.document_id + _TEMPORARY_SUFFIX)
        if leftover is not None:  # by an installer that was killed
            database.delete_design_document(file.path.stem + _TEMPORARY_SUFFIX, leftover["_rev"])
        if _without_revision(stored.get(file.document_id)) != file.body:
            changed.append(file)
        else:
            _logger.info(
                "No need to put design document '%s' into %s: it is up to date", file.document_id, database
            )
    if changed:
        build_index = functools.partial(_build_index, database, on_progress, sleep, now)
        _switch(database, changed, stored, build_index)


def _without_revision(document: Document | None) -> Document | None:
    return document and {name: value for name, value in document.items() if name != "_rev"}


def _switch(
    database: AdminDatabase,
    changed: Sequence[DocumentFile],
    stored: dict[str, Document],
    build_index: _BuildIndex,
) -> None:
    revisions = {document_id: {"_rev": document["_rev"]} for document_id, document in stored.items()}
    with ExitStack() as temporary_documents:
        for file in changed:
            temporary_documents.enter_context(_temporary(database, file))
        for file in changed:
            build_index(file, file.path.stem + _TEMPORARY_SUFFIX)
        refusals = database.write(file.body | revisions.get(file.document_id, {}) for file in changed)
        for file in changed:
            if file.document_id in refusals:
                raise InstallerError(f"{file.path}: {database} refuses it: {refusals[file.document_id]}")
            # The index is opened through the new document before the temporary one is deleted. Otherwise
            # CouchDB closes it, and builds what it had not committed (3.5.0: the last seconds) again.
            build_index(file, file.path.stem)
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
        # The next run deletes what can't be deleted now; an error that is being raised must not be hidden.
        with suppress(CouchDBError):
            database.delete_design_document(name, revision)


def _build_index(
    database: AdminDatabase,
    on_progress: OnProgress,
    sleep: Callable[[float], None],
    now: Callable[[], float],
    file: DocumentFile,
    name: str,
) -> None:
    view = next(iter(file.body.get("views", ())), None)
    if view is None:
        return
    pending, fewest, most, progressed_s = 0, sys.maxsize, 0, now()
    while True:
        try:
            if pending == 0:
                with suppress(TransportError):
                    database.query_view(name, view, timeout_s=_QUERY_TIMEOUT_S)
                    return
            else:
                sleep(_POLL_INTERVAL_S)
            pending = database.count_pending_updates(name)
        except ResponseError as error:
            raise InstallerError(f"{file.path}: {error}") from error
        if pending < fewest:
            fewest, progressed_s = pending, now()
        elif now() - progressed_s > _STALLED_AFTER_S:
            raise InstallerError(f"{file.path}: its index made no progress within {_STALLED_AFTER_S:g} s")
        most = max(most, pending)
        on_progress(file.path.stem, most - pending, most)
