"""The installer as a command."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import urllib3
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from tor_async_couchdb.installer import option_types
from tor_async_couchdb.installer.design_documents import OnProgress
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.installation import install
from tor_async_couchdb.installer.option_types import UserPassword

if TYPE_CHECKING:
    from tor_async_couchdb.protection.signing import Signer


class CommandLineParser(argparse.ArgumentParser):
    """The installer's options. Each takes a value, as in `--delete=true`."""

    def __init__(self, description: str, default_database: str) -> None:
        super().__init__(description=description, allow_abbrev=False)
        self._add_text("--host", option_types.scheme_host_port, "http://127.0.0.1:5984", "where CouchDB is")
        self._add_text("--database", str, default_database, "name of the database")
        self.add_argument(
            "--creds",
            type=option_types.user_colon_password,
            metavar="USER:PASSWORD",
            help="credentials [default: the environment's COUCHDB_USER and COUCHDB_PASSWORD,"
            " which no list of processes shows]",
        )
        self._add_boolean("--delete", "false", "delete the database with all that is in it first")
        self._add_boolean("--create", "true", "create the database unless it exists")
        self._add_boolean("--createdesign", "true", "create or upgrade the design documents, with --create")
        self._add_boolean("--createseed", "true", "create the seed documents that don't exist, with --create")
        self.add_argument(
            "--seeddocsigner",
            default="",
            metavar="FILE",
            help="Tink key set to sign the seed documents with [default: they are not signed]",
        )
        self._add_boolean("--verify_host_ssl_cert", "true", "trust only certificates of known authorities")
        self._add_text("--log", option_types.logging_level, "ERROR", "the least severe level to log")

    def _add_text(self, flag: str, option_type: Callable[[str], object], default: str, what: str) -> None:
        self.add_argument(flag, type=option_type, default=default, help=f"{what} [default: %(default)s]")

    def _add_boolean(self, flag: str, default: str, what: str) -> None:
        self._add_text(flag, option_types.boolean, default, what)


def main(
    clp: CommandLineParser,
    design_docs_folder: str | os.PathLike[str] | None = None,
    seed_docs_folder: str | os.PathLike[str] | None = None,
) -> int:
    """Installs as the command line says. Returns the exit status: 0, or 1 after one line on standard error.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    options = clp.parse_args()
    if not options.verify_host_ssl_cert:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    try:
        _install(
            options,
            design_docs_folder=design_docs_folder if options.createdesign else None,
            seed_docs_folder=seed_docs_folder if options.createseed else None,
        )
    except InstallerError as error:
        sys.stderr.write(f"{clp.prog}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{clp.prog}: interrupted\n")
        return 1
    return 0


def _install(options: argparse.Namespace, **folders: str | os.PathLike[str] | None) -> None:
    with _progress_bar() as on_progress:
        logging.basicConfig(level=options.log)  # here, so that the lines don't run into the bar
        install(
            options.host,
            options.database,
            credentials=options.creds or credentials_of_environment(),
            verify_host_ssl_cert=options.verify_host_ssl_cert,
            seed_doc_signer=_signer(options.seeddocsigner) if options.seeddocsigner else None,
            delete=options.delete,
            create=options.create,
            on_progress=on_progress,
            **folders,
        )


def credentials_of_environment() -> UserPassword | None:
    """What COUCHDB_USER and COUCHDB_PASSWORD say; InstallerError if only one of them says something."""
    user, password = os.environ.get("COUCHDB_USER"), os.environ.get("COUCHDB_PASSWORD")
    if not user and not password:
        return None
    if not user or not password:
        raise InstallerError("COUCHDB_USER and COUCHDB_PASSWORD must both be set, or neither")
    return UserPassword(user, password)


def _signer(path: str) -> Signer:
    from tor_async_couchdb.protection.signing import TamperingSigner  # here: few installations sign

    try:
        return TamperingSigner.from_file(path)
    except OSError as error:
        raise InstallerError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise InstallerError(str(error)) from error


@contextmanager
def _progress_bar() -> Iterator[OnProgress]:
    console = Console(stderr=True)
    columns = (
        TextColumn("index of {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks: dict[str, TaskID] = {}

        def on_progress(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(name, total=total)
            progress.update(tasks[name], completed=done, total=total)

        yield on_progress
