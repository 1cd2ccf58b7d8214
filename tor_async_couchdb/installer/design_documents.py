"""Puts design documents in place without an outage.

A changed design document has no index yet: queries would hang until CouchDB has read every document. So it
is first stored under a temporary name, where CouchDB compiles its functions and builds its index, and then
under its own name. CouchDB finds an index by the views' functions, not by their name, so it is used at once.
https://docs.couchdb.org/en/stable/best-practices/views.html#deploying-a-view-change-in-a-live-environment

Several installers may do so at the same time. Each deletes only the temporary documents that it has stored,
and a document that another one has put in place is as good as its own.
"""

from __future__ import annotations

import functools
import json
import logging
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

from tor_async_couchdb.errors import ConflictError, CouchDBError, ResponseError, TransportError
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
    stored = database.fetch([file.document_id for file in files])
    changed = []
    for file in files:
        if _is_stored(file, stored):
            _logger.info(
                "No need to put design document '%s' into %s: it is up to date", file.document_id, database
            )
        else:
            changed.append(file)
    if changed:
        build_index = functools.partial(_build_index, database, on_progress, sleep, now)
        _switch(database, changed, stored, build_index)


def _is_stored(file: DocumentFile, stored: dict[str, Document]) -> bool:
    document = stored.get(file.document_id)
    return document is not None and _text(document) == _text(file.body)


def _text(document: Document) -> str:
    # As JSON, because true and 1 are equal to Python.
    return json.dumps({name: document[name] for name in document if name != "_rev"}, sort_keys=True)


def _switch(
    database: AdminDatabase,
    changed: Sequence[DocumentFile],
    stored: dict[str, Document],
    build_index: _BuildIndex,
) -> None:
    revisions = {document_id: {"_rev": document["_rev"]} for document_id, document in stored.items()}
    with ExitStack() as temporary_documents:
        names = [temporary_documents.enter_context(_temporary(database, file)) for file in changed]
        for file, name in zip(changed, names, strict=True):
            build_index(file, name)
        refusals = database.write(file.body | revisions.get(file.document_id, {}) for file in changed)
        # Another installer may have put the same document meanwhile.
        found = database.fetch(refusals) if refusals else {}
        for file in changed:
            if file.document_id in refusals and not _is_stored(file, found):
                raise InstallerError(f"{file.path}: {database} refuses it: {refusals[file.document_id]}")
            # The index is opened through the new document before the temporary one is deleted. Otherwise
            # CouchDB closes it, and builds what it had not committed (3.5.0: the last seconds) again.
            build_index(file, file.path.stem)
            _logger.info("Successfully put design document '%s' into %s", file.document_id, database)


@contextmanager
def _temporary(database: AdminDatabase, file: DocumentFile) -> Iterator[str]:
    """Stores a design document under a temporary name, which it yields, and deletes what it has stored."""
    body: Document = {
        member: file.body[member] for member in ("language", "options", "views") if member in file.body
    }
    name = file.path.stem + _TEMPORARY_SUFFIX
    try:
        try:
            revision = database.put_design_document(name, body)
        except ConflictError:
            # Of another installer that runs, or was killed: nothing shows which, so it is left alone.
            _logger.warning("Design document '_design/%s' of another installer stays in %s", name, database)
            name = f"{name}-{uuid.uuid4().hex}"
            revision = database.put_design_document(name, body)
    except ResponseError as error:
        raise InstallerError(f"{file.path}: {error}") from error
    try:
        yield name
    finally:
        try:
            database.delete_design_document(name, revision)
        except CouchDBError as error:  # it must not hide an error that is being raised
            _logger.warning("Can't delete design document '_design/%s' from %s: %s", name, database, error)


class _OnePartitionOnlyError(Exception):
    """A view can be asked for one partition at a time, as is the default in a partitioned database."""


def _query_view(database: AdminDatabase, name: str, view: str, partition: str | None) -> None:
    if partition is not None:
        database.query_view(name, view, timeout_s=_QUERY_TIMEOUT_S, partition=partition)
        return
    try:
        database.query_view(name, view, timeout_s=_QUERY_TIMEOUT_S)
    except ResponseError as error:
        if error.status == 400 and database.is_partitioned():
            raise _OnePartitionOnlyError from error
        raise


def _build_index(
    database: AdminDatabase,
    on_progress: OnProgress,
    sleep: Callable[[float], None],
    now: Callable[[], float],
    file: DocumentFile,
    name: str,
) -> None:
    """Waits until the index of `file`, which is stored as `name`, is built in each shard."""
    view = next((view for view, body in file.body.get("views", {}).items() if "map" in body), None)
    if view is None:
        return
    partitions: list[str | None] = [None]
    pending, fewest, most, progressed_s = 0, sys.maxsize, 0, now()
    while partitions:
        try:
            if pending == 0:
                with suppress(TransportError):
                    _query_view(database, name, view, partitions[-1])
                    partitions.pop()
                    continue
            else:
                sleep(_POLL_INTERVAL_S)
            pending = database.count_pending_updates(name)
        except _OnePartitionOnlyError:
            partitions = [*database.one_partition_per_shard()]
            continue
        except ResponseError as error:
            raise InstallerError(f"{file.path}: {error}") from error
        if pending < fewest:
            fewest, progressed_s = pending, now()
        elif now() - progressed_s > _STALLED_AFTER_S:
            raise InstallerError(f"{file.path}: its index made no progress within {_STALLED_AFTER_S:g} s")
        most = max(most, pending)
        on_progress(file.path.stem, most - pending, most)
