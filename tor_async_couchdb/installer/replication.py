"""Sets up replication between two databases: continuous, both ways, and run by CouchDB itself.

Each server has a `_replicator` document by which it pulls from the other. So a server only needs to read
from the other, and continues as soon as the other is back.
https://docs.couchdb.org/en/stable/replication/replicator.html
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from typing import Any, Self
from urllib.parse import quote, unquote, urlsplit

from tor_async_couchdb.errors import ConflictError, NotFoundError, ResponseError
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.installation import opened_server
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.wire.login import BasicLogin, Login, SessionLogin, text_of

_logger = logging.getLogger(__package__)

_REPLICATOR = "_replicator"
_ENDED_STATES = ("failed", "completed")
# States in _scheduler/docs of a job that CouchDB will try again, perhaps only in minutes.
_WAITING_STATES = ("crashing", "error")
_MAX_TRIES = 5
_NO_SUCH_JOB = (404, 400)  # the job is not scheduled yet; or, for the stand-in, there is no such path


@dataclasses.dataclass(frozen=True, slots=True)
class Master:
    """A database that accepts writes: its server's URL, its name, and the credentials for it."""

    host: str
    database: str
    credentials: Login | None = None

    @classmethod
    def from_url(cls, url: str, credentials: Login | None = None) -> Self:
        """The master at a database's URL. Credentials in the URL replace `credentials`.

        Of several URLs, separated by commas, it is the first: CouchDB replicates through one node.

        Raises:
            InstallerError: it is not the URL of a database.
        """
        if not url.isprintable():  # urlsplit leaves some of the others out
            raise InstallerError("a database's URL must consist of printable characters, in UTF-8")
        parts = urlsplit(url.partition(",http")[0])
        host = parts.netloc.rpartition("@")[2]
        # Before the database there may be a path, as of a proxy. A slash in its name is quoted.
        prefix, _, name = parts.path.rstrip("/").rpartition("/")
        name = unquote(name)
        if parts.scheme not in ("http", "https") or not host or not name:
            raise InstallerError("a database's URL is http[s]://host:port/database")
        if parts.query or parts.fragment:
            raise InstallerError("a database's URL has no query and no fragment")
        if parts.username is not None:
            try:
                credentials = UserPassword(unquote(parts.username), unquote(parts.password or ""))
            except ValueError as error:
                raise InstallerError(str(error)) from error
        return cls(f"{parts.scheme}://{host}{prefix}", name, credentials)

    @property
    def url(self) -> str:
        """The database's URL, without credentials."""
        return f"{self.host}/{quote(self.database, safe='$()')}"

    def as_endpoint(self) -> dict[str, Any]:
        """The database in the form of `_replicator` documents: the credentials are not in the URL.

        Raises:
            InstallerError: the credentials are a token, which would expire in the document.
        """
        match self.credentials:
            case None:
                return {"url": self.url}
            case BasicLogin(user, password) | SessionLogin(user, password):
                basic = {"username": text_of(user), "password": text_of(password)}
                return {"url": self.url, "auth": {"basic": basic}}
        raise InstallerError(
            f"{self.url}: replication needs a user and a password, in this URL or the environment: it goes on"
            " after a token has expired"
        )


def connect(one: Master, other: Master, *, verify_host_ssl_cert: bool = True) -> None:
    """Starts continuous replication between two databases, both ways, unless it runs already.

    A replication that has failed, or that waits because the other server did not answer, is started again.

    Raises:
        InstallerError: a database is missing, or a server can't be reached or refuses.
    """
    _check_different(one, other)
    for master in (one, other):
        with opened_server(
            master.host, master.credentials, verify_host_ssl_cert=verify_host_ssl_cert
        ) as server:
            server.check()
            if not AdminDatabase(server, master.database).exists():
                raise InstallerError(f"{master.url}: no such database")
    for source, target in ((other, one), (one, other)):
        with opened_server(
            target.host, target.credentials, verify_host_ssl_cert=verify_host_ssl_cert
        ) as server:
            _start(server, source, target)


def disconnect(one: Master, other: Master, *, verify_host_ssl_cert: bool = True) -> None:
    """Ends the replication between two databases, if there is one.

    Raises:
        InstallerError: a server can't be reached or refuses. One direction may have been ended.
    """
    _check_different(one, other)
    for source, target in ((other, one), (one, other)):
        with opened_server(
            target.host, target.credentials, verify_host_ssl_cert=verify_host_ssl_cert
        ) as server:
            _stop(server, source, target)


def _check_different(one: Master, other: Master) -> None:
    if one.url == other.url:
        raise InstallerError(f"{one.url}: a database does not replicate with itself")


def _start(server: AdminClient, source: Master, target: Master) -> None:
    server.ensure_exists(_REPLICATOR)
    document_id = _document_id(source, target)
    for tries in range(1, _MAX_TRIES + 1):
        try:
            _start_unless_it_runs(server, document_id, source, target)
        except ConflictError:  # another run, or CouchDB, has changed the job: look again
            if tries == _MAX_TRIES:
                raise
        else:
            return


def _start_unless_it_runs(server: AdminClient, document_id: str, source: Master, target: Master) -> None:
    wanted = {"source": source.as_endpoint(), "target": target.as_endpoint(), "continuous": True}
    stored = server.fetch_document(_REPLICATOR, document_id)
    if stored is not None and _is_as(wanted, stored) and not _is_down(server, document_id, stored):
        _logger.info("No need to start replication from %s to %s: it runs", source.url, target.url)
        return
    revision = {} if stored is None else {"_rev": stored["_rev"]}
    server.ask("PUT", _REPLICATOR, document_id, body=wanted | revision)
    _logger.info("Successfully started replication from %s to %s", source.url, target.url)


def _stop(server: AdminClient, source: Master, target: Master) -> None:
    document_id = _document_id(source, target)
    for tries in range(1, _MAX_TRIES + 1):
        stored = server.fetch_document(_REPLICATOR, document_id)
        if stored is None:
            return
        try:
            server.ask("DELETE", _REPLICATOR, document_id, query={"rev": stored["_rev"]})
        except (ConflictError, NotFoundError):  # another run, or CouchDB, has changed the job: look again
            if tries == _MAX_TRIES:
                raise
        else:
            _logger.info("Successfully ended replication from %s to %s", source.url, target.url)
            return


def _document_id(source: Master, target: Master) -> str:
    digest = hashlib.sha256(f"{source.url} {target.url}".encode()).hexdigest()[:16]
    return f"{source.database.replace('/', '.')}-to-{target.database.replace('/', '.')}-{digest}"


def _is_as(wanted: dict[str, Any], stored: dict[str, Any]) -> bool:
    return all(stored.get(name) == value for name, value in wanted.items())


def _is_down(server: AdminClient, document_id: str, stored: dict[str, Any]) -> bool:
    if stored.get("_replication_state") in _ENDED_STATES:
        return True
    try:
        answer = server.ask_for(dict[str, Any], "GET", "_scheduler", "docs", _REPLICATOR, document_id)
    except ResponseError as error:
        if error.status not in _NO_SUCH_JOB:
            raise
        return False
    return answer.get("state") in (*_ENDED_STATES, *_WAITING_STATES)
