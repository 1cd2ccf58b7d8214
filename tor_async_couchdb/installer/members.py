"""Who may use a database: its members, who read and write documents, and are no administrators.

The members of a database are the users that have one role. So `_security` names no user: it has no revisions,
and of two installers that add different users at once one would undo what the other did. Each adds the role.

https://docs.couchdb.org/en/stable/api/database/security.html
https://docs.couchdb.org/en/stable/intro/security.html#users-documents
"""

from __future__ import annotations

import logging
import time
from typing import Any

import msgspec

from tor_async_couchdb.errors import ConflictError, NotFoundError, UnauthorizedError
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase, Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.wire.login import SessionLogin

_logger = logging.getLogger(__package__)

_USERS = "_users"
_ADMINISTRATOR = "_admin"
_MAX_TRIES = 5
# CouchDB remembers for a moment that there was no such user, or that it was in conflict.
_PAUSES_S = (0.0, 0.5, 1.0)
_ALL_COPIES = "3"  # as many as a cluster keeps by default; one node ignores it


class _Security(msgspec.Struct, frozen=True):
    members: dict[str, list[str]] = {}


class _User(msgspec.Struct, frozen=True):
    roles: list[str]


class _Session(msgspec.Struct, frozen=True):
    user: _User = msgspec.field(name="userCtx")


def member_role(database_name: str) -> str:
    """The role of a database's members; a token can have it too, in its claim `_couchdb.roles`."""
    return f"{database_name}:member"


def restrict_to_members(database: AdminDatabase) -> None:
    """Lets only members and administrators use a database, and only administrators change design documents.

    What others have set stays: further members and administrators.

    Raises:
        InstallerError: another client goes on changing `_security`.
    """
    role = member_role(database.name)
    for _ in range(_MAX_TRIES):
        security, members = _security(database)
        if role in members.get("roles", []):
            _logger.info("No need to let members use %s: they may", database)
            return
        members |= {"roles": [*members.get("roles", []), role]}
        administrators = security.get("admins", {"roles": [_ADMINISTRATOR]})
        body = security | {"admins": administrators, "members": members}
        database.server.ask("PUT", database.name, "_security", body=body)
        _, members = _security(database)
        if role in members.get("roles", []):
            _logger.info("Successfully let members use %s", database)
            return
    raise InstallerError(f"{database}: another client goes on changing its _security")


def _security(database: AdminDatabase) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """Who may use the database, with what this code does not know, and the names and roles of its members."""
    security = database.server.ask_for(dict[str, Any], "GET", database.name, "_security")
    try:
        return security, msgspec.convert(security, _Security).members
    except msgspec.ValidationError as error:
        raise InstallerError(f"{database}: its _security is not as CouchDB describes it: {error}") from error


def install_member(
    database: AdminDatabase,
    user: UserPassword,
    *,
    change_password: bool = False,
    verify_host_ssl_cert: bool = True,
) -> None:
    """Creates a user that is a member of a database and nothing else, or makes a member of an existing user.

    An existing user keeps its other roles; its password is only changed with `change_password`.

    Raises:
        InstallerError: the user has another password, or is an administrator.
    """
    role = member_role(database.name)
    database.server.ensure_exists(_USERS)
    for tries in range(1, _MAX_TRIES + 1):
        try:
            _install_once(database.server, user, role, change_password, verify_host_ssl_cert)
        except ConflictError:  # another installer has changed the user: look again
            if tries == _MAX_TRIES:
                raise
        else:
            return


def delete_user(server: AdminClient, name: str) -> None:
    """Deletes a user; one that does not exist is no error."""
    stored = server.fetch_document(_USERS, _document_id(name))
    if stored is not None:
        server.ask("DELETE", _USERS, _document_id(name), query={"rev": stored["_rev"]})


def _install_once(
    server: AdminClient, user: UserPassword, role: str, change_password: bool, verify_host_ssl_cert: bool
) -> None:
    stored = server.fetch_document(_USERS, _document_id(user.user))
    if stored is None:
        _create(server, user, role, verify_host_ssl_cert)
        return
    roles = _roles_of(server, user, verify_host_ssl_cert)
    if roles is not None and _ADMINISTRATOR in roles:
        raise InstallerError(f"{server.host}: user '{user.user}' is an administrator of the server")
    if roles is None and not change_password:
        raise InstallerError(
            f"{server.host}: user '{user.user}' exists and has another password: give that one, or use"
            " --changepassword=true"
        )
    if roles is not None and role in roles:
        _logger.info("No need to change user '%s': it has the role and the password", user.user)
        return
    password = {} if roles is not None else {"password": user.password}
    changed = {"roles": list(dict.fromkeys([*stored.get("roles", []), role]))}
    _put(server, user.user, stored | changed | password)
    _logger.info("Successfully changed user '%s'", user.user)


def _create(server: AdminClient, user: UserPassword, role: str, verify_host_ssl_cert: bool) -> None:
    body = {"name": user.user, "type": "user", "roles": [role], "password": user.password}
    _put(server, user.user, body)
    roles = _roles_of(server, user, verify_host_ssl_cert)
    # An administrator of the server is none of its users, and has another password.
    if roles is None or _ADMINISTRATOR in roles:
        delete_user(server, user.user)
        raise InstallerError(
            f"{server.host}: user '{user.user}' could not be made: it is an administrator of the server, or"
            " that is the stand-in, which has one user"
        )
    _logger.info("Successfully created user '%s'", user.user)


def _document_id(name: str) -> str:
    return f"org.couchdb.user:{name}"


def _put(server: AdminClient, name: str, body: Document) -> None:
    server.ask("PUT", _USERS, _document_id(name), body=body)


def _roles_of(server: AdminClient, user: UserPassword, verify_host_ssl_cert: bool) -> list[str] | None:
    """The roles that the user has; None if CouchDB refuses the password, and not only for a moment.

    Five wrong passwords lock a user out: only where there was a conflict one is tried more than twice.
    """
    roles = None
    for pause_s in _PAUSES_S:
        time.sleep(pause_s)
        was_in_conflict = _end_conflict(server, user.user)
        roles = _roles_in_session(server, user, verify_host_ssl_cert)
        if roles is not None or (pause_s and not was_in_conflict):
            break
    return roles


def _end_conflict(server: AdminClient, name: str) -> bool:
    """Merges the leaves of a user that two installers have made or changed on a cluster at the same time.

    Returns whether there ever was such a conflict. CouchDB refuses the password of a user that is in one.
    """

    def fetch(**options: str) -> Document:
        document: Document = server.ask("GET", _USERS, _document_id(name), query=options)
        return document

    try:
        stored = fetch(conflicts="true", deleted_conflicts="true", r=_ALL_COPIES)
        losers, ended = stored.pop("_conflicts", []), stored.pop("_deleted_conflicts", [])
        if not losers:
            return bool(ended)
        leaves = [stored, *(fetch(rev=rev) for rev in losers)]
        roles = [role for leaf in leaves for role in leaf.get("roles", [])]
        merged = stored | {"roles": list(dict.fromkeys(roles))}
        if merged != stored:
            _put(server, name, merged)
        for rev in losers:
            server.ask("DELETE", _USERS, _document_id(name), query={"rev": rev})
    except (ConflictError, NotFoundError):  # another installer does it
        pass
    return True


def _roles_in_session(
    server: AdminClient, user: UserPassword, verify_host_ssl_cert: bool
) -> list[str] | None:
    """The roles that the user has; None if CouchDB refuses the password."""
    login = SessionLogin(user.user, user.password)
    with AdminClient(server.host, credentials=login, verify_host_ssl_cert=verify_host_ssl_cert) as client:
        try:
            return client.ask_for(_Session, "GET", "_session").user.roles
        except UnauthorizedError:
            return None
