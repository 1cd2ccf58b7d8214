"""The installer as a command of a service's own."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable

from tor_async_couchdb.installer import option_types
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.installation import install
from tor_async_couchdb.installer.options import (
    add_boolean,
    add_database_options,
    configure_logging,
    credentials_of,
    service_user_of,
    signer_of,
)
from tor_async_couchdb.installer.progress_bar import progress_bar

Folder = str | os.PathLike[str] | None
Install = Callable[..., None]


class CommandLineParser(argparse.ArgumentParser):
    """The installer's options. Each takes a value, as in `--delete=true`."""

    def __init__(self, description: str, default_database: str, revs_limit_if_new: int | None = None) -> None:
        super().__init__(description=description, allow_abbrev=False)
        self.revs_limit_if_new = revs_limit_if_new
        add_database_options(self, default_database)
        add_installation_options(self)


def add_installation_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options that say what to install."""
    add_boolean(parser, "--delete", "false", "delete the database with all that is in it first")
    add_boolean(parser, "--create", "true", "create the database unless it exists")
    add_boolean(parser, "--createdesign", "true", "create or upgrade the design documents, with --create")
    add_boolean(parser, "--createseed", "true", "create the seed documents that don't exist, with --create")
    parser.add_argument(
        "--revs_limit",
        type=option_types.positive_count,
        metavar="N",
        help="revisions of a document's history that CouchDB remembers by name; fewer make the writes of a"
        " hot document faster, but it must not change more often while replicating databases are apart"
        " [default: as it is, 1000 in a new database]",
    )
    parser.add_argument(
        "--seeddocsigner",
        default="",
        metavar="FILE",
        help="Tink key set to sign the seed documents with [default: they are not signed]",
    )
    add_boolean(parser, "--membersonly", "false", "let only administrators and members use the database")
    parser.add_argument(
        "--serviceuser",
        metavar="NAME",
        help="user to make a member, with --membersonly; unless it exists it is created with the password of"
        " the environment's COUCHDB_SERVICE_PASSWORD, or of the file COUCHDB_SERVICE_PASSWORD_FILE",
    )
    add_boolean(parser, "--changepassword", "false", "give the service user this password if it has another")


def main(
    clp: CommandLineParser,
    design_docs_folder: Folder = None,
    seed_docs_folder: Folder = None,
    *,
    install: Install = install,
) -> int:
    """Installs as the command line says. Returns the exit status: 0, or 1 after one line on standard error.

    Tests replace `install`.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    options = clp.parse_args()
    try:
        install_by_options(
            options,
            design_docs_folder,
            seed_docs_folder,
            revs_limit_if_new=clp.revs_limit_if_new,
            install=install,
        )
    except InstallerError as error:
        sys.stderr.write(f"{clp.prog}: {error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write(f"{clp.prog}: interrupted\n")
        return 1
    return 0


def install_by_options(
    options: argparse.Namespace,
    design_docs_folder: Folder,
    seed_docs_folder: Folder,
    *,
    revs_limit_if_new: int | None = None,
    install: Install = install,
) -> None:
    """Installs the documents of the folders as the options say, and shows the progress.

    Raises:
        InstallerError: the message is one line that names the file or the host.
    """
    with progress_bar() as show:
        configure_logging(options)  # here, so that the lines don't run into the bar
        install(
            options.host,
            options.database,
            credentials=credentials_of(options),
            verify_host_ssl_cert=options.verify_host_ssl_cert,
            design_docs_folder=design_docs_folder if options.createdesign else None,
            seed_docs_folder=seed_docs_folder if options.createseed else None,
            seed_doc_signer=signer_of(options.seeddocsigner) if options.seeddocsigner else None,
            revs_limit=options.revs_limit,
            revs_limit_if_new=revs_limit_if_new,
            delete=options.delete,
            create=options.create,
            members_only=options.membersonly,
            service_user=service_user_of(options),
            change_password=options.changepassword,
            on_progress=lambda name, done, total: show(f"index of {name}", done, total),
        )
