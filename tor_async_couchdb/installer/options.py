"""Options that the command lines of the installer and of `commands` share, and what becomes of them."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

import urllib3

from tor_async_couchdb.installer import option_types
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.wire.login import (
    KINDS,
    Login,
    check_password,
    check_user,
    login_of_environment,
    secret_of_environment,
    text_of,
)

if TYPE_CHECKING:
    from tor_async_couchdb.protection.signing import Signer


def add_database_options(parser: argparse.ArgumentParser, default_database: str | None = None) -> None:
    """Adds the options that name a database and say how to connect to it.

    Without a default the name is required.
    """
    add_option(
        parser,
        "--host",
        option_types.couchdb_url,
        "http://127.0.0.1:5984",
        "where CouchDB is; of a cluster any one node",
    )
    if default_database is None:
        parser.add_argument("--database", required=True, metavar="NAME", help="name of the database")
    else:
        add_option(parser, "--database", str, default_database, "name of the database")
    add_connection_options(parser)


def add_connection_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say how to connect and what to log."""
    parser.add_argument(
        "--creds",
        type=option_types.user_colon_password,
        metavar="USER:PASSWORD",
        help="credentials [default: the environment's COUCHDB_USER and COUCHDB_PASSWORD, or the files that"
        " COUCHDB_USER_FILE and COUCHDB_PASSWORD_FILE name; no list of processes shows these]",
    )
    parser.add_argument(
        "--couchdb-auth",
        choices=KINDS,
        default="basic",
        help="log in with each request, once in a session, or by the token of COUCHDB_JWT_FILE"
        " [default: %(default)s]",
    )
    add_boolean(
        parser,
        "--verify_host_ssl_cert",
        "true",
        "trust only certificates of known authorities: those of the system, or of the file SSL_CERT_FILE",
    )
    add_option(parser, "--log", option_types.logging_level, "ERROR", "the least severe level to log")


def add_boolean(parser: argparse.ArgumentParser, flag: str, default: str, what: str) -> None:
    """Adds an option whose value is true or false, as in `--delete=true`."""
    add_option(parser, flag, option_types.boolean, default, what)


def add_option(
    parser: argparse.ArgumentParser,
    flag: str,
    option_type: Callable[[str], object],
    default: str,
    what: str,
) -> None:
    """Adds an option whose help shows its default."""
    parser.add_argument(flag, type=option_type, default=default, help=f"{what} [default: %(default)s]")


def configure_logging(options: argparse.Namespace) -> None:
    """Logs from the level on that the options give, and nothing about certificates that need no check."""
    logging.basicConfig(level=options.log)
    if not options.verify_host_ssl_cert:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)


def credentials_of(options: argparse.Namespace) -> Login | None:
    """The credentials of the options, or else of the environment; None if there are none.

    Raises:
        InstallerError: a variable of the environment can't be used, or one is missing.
    """
    environment = os.environ if options.creds is None else {}
    try:
        return login_of_environment(options.couchdb_auth, environment, options.creds)
    except ValueError as error:
        raise InstallerError(str(error)) from error


def service_user_of(options: argparse.Namespace) -> UserPassword | None:
    """The service user of the options, with the password of the environment; None if there is none.

    Raises:
        InstallerError: there is no password, it is given twice, or the name or the password can't be used.
    """
    if options.serviceuser is None:
        return None
    if not options.serviceuser or ":" in options.serviceuser or options.serviceuser.startswith("_"):
        raise InstallerError("--serviceuser: a username has no colon and does not begin with an underscore")
    try:
        check_user(options.serviceuser)
    except ValueError as error:
        raise InstallerError(f"--serviceuser: {error}") from error
    try:
        password = secret_of_environment("COUCHDB_SERVICE_PASSWORD", os.environ, check_password)
    except ValueError as error:
        raise InstallerError(str(error)) from error
    if password is None:
        raise InstallerError(
            "--serviceuser needs the environment variable COUCHDB_SERVICE_PASSWORD_FILE, or"
            " COUCHDB_SERVICE_PASSWORD"
        )
    return UserPassword(options.serviceuser, text_of(password))


def signer_of(path: str) -> Signer:
    """The signer of the Tink key set in a file.

    Raises:
        InstallerError: the file can't be read, or holds no key set for signatures.
    """
    # Only here, as an installation without signatures has no tink.
    from tor_async_couchdb.protection.signing import TamperingSigner

    try:
        return TamperingSigner.from_file(path)
    except OSError as error:
        raise InstallerError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InstallerError(str(error)) from error
