"""Re-signing as a command: `python -m tor_async_couchdb.installer.re_signing_command --help`."""

from __future__ import annotations

import argparse
import sys

import urllib3
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tor_async_couchdb import clparserutil
from tor_async_couchdb.clparserutil import UserPassword
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer.command_line import credentials_of_environment
from tor_async_couchdb.installer.database import Database
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.re_signing import re_sign
from tor_async_couchdb.installer.rewriting import Rewritten
from tor_async_couchdb.installer.server import Server
from tor_async_couchdb.keyczar_key_set import KeyczarKeySet, KeyczarSigner, TransitionalSigner
from tor_async_couchdb.tamper import Signer, TamperingSigner


def main() -> int:
    """Re-signs as the command line says. The exit status: 0 if the primary key signed everything, or 1.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    parser = _parser()
    options = parser.parse_args()
    if not options.verify_host_ssl_cert:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        signer = _signer(options.keyset, options.keyczar)
        result = _re_sign(options, options.creds or credentials_of_environment(), signer)
    except InstallerError as error:
        sys.stderr.write(f"{parser.prog}: {error}\n")
        return 1
    except CouchDBError as error:
        sys.stderr.write(f"{parser.prog}: {options.host}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{parser.prog}: interrupted; run it again to go on\n")
        return 1
    sys.stdout.write(f"{result.written} re-signed, {result.current} signed by the primary key\n")
    for document_id in sorted(result.tampered):
        sys.stderr.write(f"document '{document_id}' was tampered with or never signed: left as it is\n")
    for document_id, reason in sorted(result.refused.items()):
        sys.stderr.write(f"document '{document_id}' {reason}: left as it is\n")
    return 1 if result.tampered or result.refused else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Signs all documents of a database by a key set's primary key, while services use it."
        " Running it again goes on where it was interrupted, and changes nothing once it is done.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--host",
        type=clparserutil.scheme_host_port,
        default="http://127.0.0.1:5984",
        help="where CouchDB is [default: %(default)s]",
    )
    parser.add_argument("--database", required=True, metavar="NAME", help="name of the database")
    parser.add_argument(
        "--creds",
        type=clparserutil.user_colon_password,
        metavar="USER:PASSWORD",
        help="credentials [default: the environment's COUCHDB_USER and COUCHDB_PASSWORD]",
    )
    parser.add_argument("--keyset", required=True, metavar="FILE", help="Tink key set")
    parser.add_argument(
        "--keyczar", metavar="FOLDER", help="Keyczar key set that signed some of the documents"
    )
    parser.add_argument(
        "--verify_host_ssl_cert",
        type=clparserutil.boolean,
        default=True,
        help="trust only certificates of known authorities [default: true]",
    )
    return parser


def _signer(key_set: str, keyczar_folder: str | None) -> Signer:
    try:
        signer = TamperingSigner.from_file(key_set)
        if keyczar_folder is None:
            return signer
        return TransitionalSigner(signer, KeyczarSigner(KeyczarKeySet.from_folder(keyczar_folder)))
    except OSError as error:
        raise InstallerError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise InstallerError(str(error)) from error


def _re_sign(options: argparse.Namespace, credentials: UserPassword | None, signer: Signer) -> Rewritten:
    console = Console(stderr=True)
    columns = (TextColumn("documents"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Server(
            options.host, credentials=credentials, verify_host_ssl_cert=options.verify_host_ssl_cert
        ) as server,
        Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        server.check()
        task = progress.add_task("documents", total=None)
        return re_sign(
            Database(server, options.database),
            signer,
            lambda done, total: progress.update(task, completed=done, total=total),
        )


if __name__ == "__main__":
    sys.exit(main())
