"""The order of an installation: read and check everything, then write."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from tor_async_couchdb.clparserutil import UserPassword
from tor_async_couchdb.errors import CouchDBError, UnauthorizedError
from tor_async_couchdb.installer.database import Database
from tor_async_couchdb.installer.design_documents import OnProgress, install_design_documents
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.files import DocumentFile, read_design_documents, read_seed_documents
from tor_async_couchdb.installer.server import Server
from tor_async_couchdb.tamper import Signer

_logger = logging.getLogger(__package__)


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
    on_progress: OnProgress = lambda name, done, total: None,
) -> None:
    """Installs `database` on the CouchDB at `host` (`http://127.0.0.1:5984`).

    `delete` deletes the database first, with all that is in it. Without `create` that is all. Design
    documents are upgraded where they differ, seed documents that exist are left as they are. When something
    fails, a database that was created here is deleted again, and one that was to be deleted is still there.

    Raises:
        InstallerError: whatever went wrong, in one line that names the file or the host.
    """
    design_files = [] if design_docs_folder is None else read_design_documents(design_docs_folder)
    seed_files = [] if seed_docs_folder is None else read_seed_documents(seed_docs_folder, seed_doc_signer)
    server = Server(host, credentials=credentials, verify_host_ssl_cert=verify_host_ssl_cert)
    with server, _host_named(host, credentials):
        target = Database(server, database)
        server.check()
        if delete:
            if create:
                _rehearse(target, design_files, seed_files)
            _delete(target)
        if create:
            with _created(target):
                install_design_documents(target, design_files, on_progress)
                _install_seed_documents(target, seed_files)


@contextmanager
def _host_named(host: str, credentials: UserPassword | None) -> Iterator[None]:
    try:
        yield
    except InstallerError:
        raise
    except CouchDBError as error:
        wants_credentials = credentials is None and isinstance(error, UnauthorizedError)
        hint = " (use --creds, or COUCHDB_USER and COUCHDB_PASSWORD)" if wants_credentials else ""
        raise InstallerError(f"{host}: {error}{hint}") from error


def _rehearse(
    target: Database, design_files: Sequence[DocumentFile], seed_files: Sequence[DocumentFile]
) -> None:
    """Installs all files on a database that nobody uses, so that none of them can fail after the deletion."""
    if not target.exists():
        return
    rehearsal = Database(target.server, f"{target.name}-rehearsal-{uuid.uuid4().hex}")
    rehearsal.create()
    try:
        install_design_documents(rehearsal, design_files, on_progress=lambda name, done, total: None)
        _install_seed_documents(rehearsal, seed_files)
    finally:
        with suppress(CouchDBError):
            rehearsal.delete()


def _delete(target: Database) -> None:
    if target.exists():
        target.delete()
        _logger.info("Successfully deleted %s", target)
    else:
        _logger.info("No need to delete %s: it doesn't exist", target)


@contextmanager
def _created(target: Database) -> Iterator[None]:
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


def _install_seed_documents(target: Database, files: Sequence[DocumentFile]) -> None:
    stored = target.fetch([file.document_id for file in files])
    missing = [file for file in files if file.document_id not in stored]
    refusals = target.write([file.body for file in missing])
    for file in missing:
        if file.document_id in refusals:
            raise InstallerError(f"{file.path}: {target} refuses it: {refusals[file.document_id]}")
    for file in files:
        if file in missing:
            _logger.info("Successfully put seed document '%s' into %s", file.document_id, target)
        else:
            _logger.info("No need to put seed document '%s' into %s: it exists", file.document_id, target)
