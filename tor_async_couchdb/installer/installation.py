"""The order of an installation: read and check everything, then write."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tor_async_couchdb.errors import CouchDBError, ResponseError, TransportError, UnauthorizedError
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.design_documents import OnProgress, install_design_documents
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.files import DocumentFile, read_design_documents, read_seed_documents
from tor_async_couchdb.installer.option_types import UserPassword

if TYPE_CHECKING:
    from tor_async_couchdb.protection.signing import Signer

_logger = logging.getLogger(__package__)


def _ignore_progress(name: str, done: int, total: int) -> None:
    pass


def install(
    host: str,
    database: str,
    *,
    credentials: UserPassword | None = None,
    verify_host_ssl_cert: bool = True,
    design_docs_folder: str | os.PathLike[str] | None = None,
    seed_docs_folder: str | os.PathLike[str] | None = None,
    seed_doc_signer: Signer | None = None,
    delete: bool = False,
    create: bool = True,
    on_progress: OnProgress = _ignore_progress,
) -> None:
    """Installs `database` on the CouchDB at `host`, for instance `http://127.0.0.1:5984`.

    With `delete` the database is first deleted with all that is in it; without `create` nothing else is done.
    If the installation fails, a database that it created is deleted again.

    Raises:
        InstallerError: the installation failed; the message is one line that names the file or the host.
    """
    design_files = [] if design_docs_folder is None else read_design_documents(design_docs_folder)
    seed_files = [] if seed_docs_folder is None else read_seed_documents(seed_docs_folder, seed_doc_signer)
    with opened_server(host, credentials, verify_host_ssl_cert=verify_host_ssl_cert) as server:
        target = AdminDatabase(server, database)
        server.check()
        if delete:
            _delete(target, design_files, seed_files, is_rehearsed=create)
        if create:
            _create(target, design_files, seed_files, on_progress)


@contextmanager
def opened_server(
    host: str, credentials: UserPassword | None, *, verify_host_ssl_cert: bool
) -> Iterator[AdminClient]:
    """A connection to CouchDB, whose errors become InstallerErrors that name the host."""
    try:
        with AdminClient(host, credentials=credentials, verify_host_ssl_cert=verify_host_ssl_cert) as server:
            yield server
    except (TransportError, ResponseError) as error:
        wants_credentials = credentials is None and isinstance(error, UnauthorizedError)
        hint = " (use --creds, or COUCHDB_USER and COUCHDB_PASSWORD)" if wants_credentials else ""
        raise InstallerError(f"{host}: {error}{hint}") from error


def _delete(
    target: AdminDatabase,
    design_files: Sequence[DocumentFile],
    seed_files: Sequence[DocumentFile],
    *,
    is_rehearsed: bool,
) -> None:
    if not target.exists():
        _logger.info("No need to delete %s: it doesn't exist", target)
        return
    if is_rehearsed:
        # On a database that nothing uses: if a document fails there, the old database is still intact.
        rehearsal = AdminDatabase(target.server, f"{target.name}-rehearsal-{uuid.uuid4().hex}")
        _create(rehearsal, design_files, seed_files, on_progress=_ignore_progress)
        rehearsal.delete()
    target.delete()
    _logger.info("Successfully deleted %s", target)


def _create(
    target: AdminDatabase,
    design_files: Sequence[DocumentFile],
    seed_files: Sequence[DocumentFile],
    on_progress: OnProgress,
) -> None:
    with _created(target):
        install_design_documents(target, design_files, on_progress)
        _install_seed_documents(target, seed_files)


@contextmanager
def _created(target: AdminDatabase) -> Iterator[None]:
    if target.exists():
        _logger.info("No need to create %s: it exists", target)
        yield
        return
    target.create()
    _logger.info("Successfully created %s", target)
    try:
        yield
    except BaseException:
        with suppress(CouchDBError):
            target.delete()
        raise


def _install_seed_documents(target: AdminDatabase, files: Sequence[DocumentFile]) -> None:
    stored = target.fetch([file.document_id for file in files])
    missing = [file for file in files if file.document_id not in stored]
    refusals = target.write([file.body for file in missing]) if missing else {}
    for file in missing:
        if file.document_id in refusals:
            raise InstallerError(f"{file.path}: {target} refuses it: {refusals[file.document_id]}")
    for file in files:
        if file in missing:
            _logger.info("Successfully put seed document '%s' into %s", file.document_id, target)
        else:
            _logger.info("No need to put seed document '%s' into %s: it exists", file.document_id, target)
