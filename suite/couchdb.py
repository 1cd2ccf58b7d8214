"""The CouchDB that the samples run on: the one that COUCHDB_URL names, or the stand-in."""

import contextlib
import os
import shutil
import uuid
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from db_installer.folders import DESIGN_DOCS_FOLDER, REVS_LIMIT, SEED_DOCS_FOLDER
from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.launcher import EmbeddedCouchDB
from embedded_couchdb.node import find_node
from embedded_couchdb.node import install as install_node_packages
from suite.errors import SuiteError
from tor_async_couchdb.errors import CouchDBError, ForbiddenError, UnauthorizedError
from tor_async_couchdb.installer import InstallerError, install
from tor_async_couchdb.installer.admin import AdminClient
from tor_async_couchdb.installer.members import delete_user
from tor_async_couchdb.installer.option_types import UserPassword, several_hosts
from tor_async_couchdb.protection.signing import Signer
from tor_async_couchdb.wire.login import check_password, check_user


@dataclass(frozen=True)
class CouchDB:
    """A CouchDB that answers. `stand_in` is its process, if it is the suite's own.

    If it `has_users`, services log in as one that is no administrator; the stand-in knows no others.

    On a cluster `url` is the node that databases are installed through, and `other_urls` are the other nodes.
    """

    url: str
    username: str
    password: str = field(repr=False)
    stand_in: EmbeddedCouchDB | None = None
    other_urls: Sequence[str] = ()
    has_users: bool = False
    _service_password: str = field(default_factory=lambda: uuid.uuid4().hex, repr=False)

    @property
    def urls(self) -> list[str]:
        """The URLs of all its nodes."""
        return [self.url, *self.other_urls]

    @property
    def environment(self) -> dict[str, str]:
        """The variables that give a service the administrator's credentials."""
        return {"COUCHDB_USER": self.username, "COUCHDB_PASSWORD": self.password}

    def environment_of(self, database_url: str) -> dict[str, str]:
        """The variables that give a service the credentials for an installed database.

        If there are users, it is one that is a member of this database only; else it is the administrator.
        """
        user = self._service_user(database_url.rpartition("/")[2])
        if user is None:
            return self.environment
        return {"COUCHDB_USER": user.user, "COUCHDB_PASSWORD": user.password}

    def _service_user(self, database: str) -> UserPassword | None:
        return UserPassword(database, self._service_password) if self.has_users else None

    def connect(self) -> AdminClient:
        """A client with the administrator's credentials."""
        return AdminClient(self.url, credentials=UserPassword(self.username, self.password))

    @contextlib.contextmanager
    def installed_database(
        self,
        purpose: str,
        *,
        seed_docs_folder: Path | None = SEED_DOCS_FOLDER,
        seed_doc_signer: Signer | None = None,
        revs_limit: int | None = REVS_LIMIT,
    ) -> Iterator[str]:
        """The URL of a new, installed database with a unique name; it is deleted at the end.

        On a cluster these are its URLs on all nodes, separated by commas.

        Raises:
            SuiteError: it can't be installed.
        """
        name = f"tor_async_couchdb_{purpose}_{uuid.uuid4().hex}"
        try:
            install(
                self.url,
                name,
                credentials=UserPassword(self.username, self.password),
                design_docs_folder=DESIGN_DOCS_FOLDER,
                seed_docs_folder=seed_docs_folder,
                seed_doc_signer=seed_doc_signer,
                revs_limit=revs_limit,
                service_user=self._service_user(name),
            )
            yield ",".join(f"{url}/{name}" for url in self.urls)
        except InstallerError as error:
            raise SuiteError(str(error)) from error
        finally:
            with contextlib.suppress(CouchDBError), self.connect() as server:
                delete_user(server, name)
                server.ask("DELETE", name)


@contextlib.contextmanager
def running_couchdb(folder: Path, port: int) -> Iterator[CouchDB]:
    """The CouchDB that COUCHDB_URL names, else a stand-in on `port` with its data in `folder`.

    Raises:
        SuiteError: it can't be reached, refuses the credentials, or can't be started.
    """
    if "COUCHDB_URL" in os.environ:
        yield _configured_couchdb()
        return
    try:
        node = find_node()
        install_node_packages(node)
        # A run that was killed leaves its data behind; nobody uses them.
        shutil.rmtree(folder, ignore_errors=True)
        password = uuid.uuid4().hex
        with EmbeddedCouchDB(node, folder, port=port, username="admin", password=password) as server:
            yield CouchDB(server.url, "admin", password, server)
    except EmbeddedCouchDBError as error:
        raise SuiteError(str(error)) from error


def _variable(name: str, check: Callable[[str], None]) -> str:
    text = os.environ.get(name, "")
    try:
        check(text)
    except ValueError as error:
        raise SuiteError(f"{name}: {error}") from None
    return text


def _configured_couchdb() -> CouchDB:
    try:
        url, *others = several_hosts(os.environ["COUCHDB_URL"])
    except ArgumentTypeError as error:
        # The value is not shown: it may hold a password.
        if "@" in os.environ["COUCHDB_URL"]:
            raise SuiteError(
                "COUCHDB_URL: leave user and password out, and set COUCHDB_USER and COUCHDB_PASSWORD to them."
            ) from None
        raise SuiteError(f"COUCHDB_URL: {error} (unset it to use the stand-in).") from None
    user = _variable("COUCHDB_USER", check_user)
    password = _variable("COUCHDB_PASSWORD", check_password)
    couchdb = CouchDB(url, user, password, other_urls=others, has_users=True)
    try:
        with couchdb.connect() as server:
            server.check()
            server.ask("GET", "_all_dbs", query={"limit": "1"})  # only an administrator may read it
    except (UnauthorizedError, ForbiddenError):
        raise SuiteError(
            f"The CouchDB at {url} refuses the credentials: set COUCHDB_USER and COUCHDB_PASSWORD "
            "to those of an administrator."
        ) from None
    except CouchDBError as error:
        raise SuiteError(f"COUCHDB_URL is {url} (unset it to use the stand-in): {error}") from error
    return couchdb
