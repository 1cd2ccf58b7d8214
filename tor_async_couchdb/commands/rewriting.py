"""What the commands that renew all documents of a database have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import urllib3
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer import option_types
from tor_async_couchdb.installer.admin import AdminClient, AdminDatabase
from tor_async_couchdb.installer.command_line import credentials_of_environment
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.rewriting import OnProgress, Rewritten
from tor_async_couchdb.protection.signing import Signer, TamperingSigner

Rewrite = Callable[[AdminDatabase, OnProgress], Rewritten]


def new_parser(what: str) -> argparse.ArgumentParser:
    """The command line, with the options that say which database it is."""
    parser = argparse.ArgumentParser(
        description=f"{what}, while services use it."
        " Running it again goes on where it was interrupted, and changes nothing once it is done.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--host",
        type=option_types.scheme_host_port,
        default="http://127.0.0.1:5984",
        help="where CouchDB is [default: %(default)s]",
    )
    parser.add_argument("--database", required=True, metavar="NAME", help="name of the database")
    parser.add_argument(
        "--creds",
        type=option_types.user_colon_password,
        metavar="USER:PASSWORD",
        help="credentials [default: the environment's COUCHDB_USER and COUCHDB_PASSWORD]",
    )
    parser.add_argument(
        "--verify_host_ssl_cert",
        type=option_types.boolean,
        default=True,
        help="trust only certificates of known authorities [default: true]",
    )
    return parser


def run(
    parser: argparse.ArgumentParser, options: argparse.Namespace, rewrite: Rewrite, *, done: str, current: str
) -> int:
    """Rewrites the database and says what came of it: so many `done`, so many `current`.

    Returns the exit status: 0 if all of it is up to date, or 1.
    """
    if not options.verify_host_ssl_cert:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        result = _rewritten(options, rewrite)
    except InstallerError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    except CouchDBError as error:
        sys.stderr.write(f"{parser.prog}: {options.host}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{parser.prog}: interrupted; run it again to go on\n")
        return 1
    sys.stdout.write(f"{result.written} {done}, {result.current} {current}\n")
    for document_id in sorted(result.tampered):
        sys.stderr.write(f"document '{document_id}' was tampered with or never signed: left as it is\n")
    for document_id, reason in sorted(result.refused.items()):
        sys.stderr.write(f"document '{document_id}' {reason}: left as it is\n")
    return 1 if result.tampered or result.refused else 0


def signer_of(key_set: str) -> Signer:
    """What signs by the key set in a file; InstallerError says why nothing does."""
    try:
        return TamperingSigner.from_file(key_set)
    except OSError as error:
        raise InstallerError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise InstallerError(str(error)) from error


def _rewritten(options: argparse.Namespace, rewrite: Rewrite) -> Rewritten:
    console = Console(stderr=True)
    columns = (TextColumn("documents"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    credentials = options.creds or credentials_of_environment()
    with (
        AdminClient(
            options.host, credentials=credentials, verify_host_ssl_cert=options.verify_host_ssl_cert
        ) as server,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        server.check()
        task = progress.add_task("documents", total=None)
        return rewrite(
            AdminDatabase(server, options.database),
            lambda done, total: progress.update(task, completed=done, total=total),
        )
