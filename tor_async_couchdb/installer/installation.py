"""The order of an installation: read and check everything, then write."""

from __future__ import annotations

import logging
import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tor_async_couchdb.errors import (
    CouchDBError,
    NotFoundError,
    ResponseError,
    TransportError,
    UnauthorizedError,
)
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.design_documents import OnProgress, install_design_documents
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.files import DocumentFile, read_design_documents, read_seed_documents
from tor_async_couchdb.installer.members import install_member, restrict_to_members
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.wire.login import Login

if TYPE_CHECKING:
    from tor_async_couchdb.protection.signing import Signer

_logger = logging.getLogger(__package__)

# How often an installation begins again because others delete the database.
_MAX_TRIES = 5


def _ignore_progress(name: str, done: int, total: int) -> None:
    pass


def install(
    host: str,
    database: str,
    *,
    credentials: Login | None = None,
    verify_host_ssl_cert: bool = True,
    design_docs_folder: str | os.PathLike[str] | None = None,
    seed_docs_folder: str | os.PathLike[str] | None = None,
    seed_doc_signer: Signer | None = None,
    revs_limit: int | None = None,
    revs_limit_if_new: int | None = None,
    delete: bool = False,
    create: bool = True,
    members_only: bool = False,
    service_user: UserPassword | None = None,
    change_password: bool = False,
    on_progress: OnProgress = _ignore_progress,
) -> None:
    """Installs `database` on the CouchDB at `host`, for instance `http://127.0.0.1:5984`.

    With `delete` the database is first deleted with all that is in it; without `create` nothing else is done.
    Several installations may run at the same time. What is already as it should be is left alone, and so are
    seed documents that were changed or deleted. If the installation fails, the database stays as it is then:
    others may use it already.

    `revs_limit` is how many revisions of a document's history CouchDB remembers by name; without it a
    database that is created here gets `revs_limit_if_new`, or CouchDB's own 1,000. A longer history makes the
    writes of a document that changes all the time slower and the file larger. Between two databases that
    replicate, a document must not change more often than that while they are apart: otherwise CouchDB takes
    the newer revision for a conflict.

    With `members_only` all others but administrators are shut out of the database; see `members`. The
    `service_user` becomes a member, and is created if there is none. Its password is only changed with
    `change_password`.

    Raises:
        InstallerError: the installation failed; the message is one line that names the file or the host.
    """
    design_files = [] if design_docs_folder is None else read_design_documents(design_docs_folder)
    seed_files = [] if seed_docs_folder is None else read_seed_documents(seed_docs_folder, seed_doc_signer)
    with opened_server(host, credentials, verify_host_ssl_cert=verify_host_ssl_cert) as server:
        target = AdminDatabase(server, database)
        server.check()
        if service_user is not None and create:  # first, so that nothing is deleted if it fails
            install_member(
                target,
                service_user,
                change_password=change_password,
                verify_host_ssl_cert=verify_host_ssl_cert,
            )
        is_partitioned = False
        if delete:
            try:
                is_partitioned = target.is_partitioned()  # the new database is like the old one
            except NotFoundError:
                _logger.info("No need to delete %s: it doesn't exist", target)
            else:
                _delete(target, design_files, seed_files, is_rehearsed=create, is_partitioned=is_partitioned)
        if create:
            _create(
                target,
                design_files,
                seed_files,
                on_progress,
                is_partitioned=is_partitioned,
                members_only=members_only or service_user is not None,
                revs_limit=revs_limit,
                revs_limit_if_new=revs_limit_if_new,
            )


@contextmanager
def opened_server(
    host: str, credentials: Login | None, *, verify_host_ssl_cert: bool
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
    is_partitioned: bool,
) -> None:
    if is_rehearsed:
        _rehearse(target, design_files, seed_files, is_partitioned=is_partitioned)
    target.delete()
    _logger.info("Successfully deleted %s", target)


def _create(
    target: AdminDatabase,
    design_files: Sequence[DocumentFile],
    seed_files: Sequence[DocumentFile],
    on_progress: OnProgress,
    *,
    is_partitioned: bool,
    members_only: bool,
    revs_limit: int | None,
    revs_limit_if_new: int | None,
) -> None:
    """Creates and fills the database, and begins again if another installer deletes it meanwhile."""
    is_created = False
    for tries in range(1, _MAX_TRIES + 1):
        try:
            is_created = _ensure_exists(target, is_partitioned=is_partitioned) or is_created
            if members_only:
                restrict_to_members(target)
            _fill(target, design_files, seed_files, on_progress)
            limit = revs_limit_if_new if revs_limit is None and is_created else revs_limit
            if limit is not None:
                target.set_revs_limit(limit)
        except CouchDBError as error:
            if tries < _MAX_TRIES and _may_be_of_a_deletion(error):
                continue
            if is_created:
                raise _stays(target, error) from error
            raise
        else:
            return


def _may_be_of_a_deletion(error: CouchDBError) -> bool:
    """Whether the database may be one that another installer, with `delete`, deletes just now.

    CouchDB answers 404 then, or 500 with a reason that depends on which of the vanishing files it needs.
    """
    return any(
        isinstance(each, ResponseError) and each.status in (404, 500) for each in (error, error.__cause__)
    )


def _stays(target: AdminDatabase, error: CouchDBError) -> InstallerError:
    # Others may have written into the database since it was created, so it is never deleted again.
    where = "" if isinstance(error, InstallerError) else f"{target.server.host}: "
    return InstallerError(f"{where}{error} ({target} was created and stays, not complete)")


def _ensure_exists(target: AdminDatabase, *, is_partitioned: bool) -> bool:
    """Creates the database unless it exists; returns whether this call did."""
    if target.exists() or not target.create(is_partitioned=is_partitioned):
        _logger.info("No need to create %s: it exists", target)
        return False
    _logger.info("Successfully created %s", target)
    return True


def _rehearse(
    target: AdminDatabase,
    design_files: Sequence[DocumentFile],
    seed_files: Sequence[DocumentFile],
    *,
    is_partitioned: bool,
) -> None:
    """Installs into a database that nothing uses: if a document fails there, the target is still intact."""
    rehearsal = AdminDatabase(target.server, f"{target.name}-rehearsal-{uuid.uuid4().hex}")
    rehearsal.create(is_partitioned=is_partitioned)
    try:
        _fill(rehearsal, design_files, seed_files, _ignore_progress)
    finally:
        with suppress(CouchDBError):  # it must not hide an error that is being raised
            rehearsal.delete()


def _fill(
    target: AdminDatabase,
    design_files: Sequence[DocumentFile],
    seed_files: Sequence[DocumentFile],
    on_progress: OnProgress,
) -> None:
    install_design_documents(target, design_files, on_progress)
    _install_seed_documents(target, seed_files)


def _install_seed_documents(target: AdminDatabase, files: Sequence[DocumentFile]) -> None:
    states = target.states([file.document_id for file in files])
    missing = [file for file in files if file.document_id not in states]
    refusals = target.write([file.body for file in missing]) if missing else {}
    if refusals:  # another installer may have put some of them meanwhile
        states |= target.states(refusals)
    for file in files:
        if state := states.get(file.document_id):
            _logger.info("No need to put seed document '%s' into %s: it %s", file.document_id, target, state)
        elif file.document_id in refusals:
            raise InstallerError(f"{file.path}: {target} refuses it: {refusals[file.document_id]}")
        else:
            _logger.info("Successfully put seed document '%s' into %s", file.document_id, target)
