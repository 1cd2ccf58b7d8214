"""What the commands that renew all documents of a database have in common."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable

from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.installation import opened_server
from tor_async_couchdb.installer.options import configure_logging, credentials_of
from tor_async_couchdb.installer.progress_bar import progress_bar
from tor_async_couchdb.installer.rewriting import OnProgress, Rewritten
from tor_async_couchdb.model import Model

DETAILS = (
    "Services may go on using the database. Running it again continues after an interruption, and changes"
    " nothing once it is done."
)


def add_model_option(parser: argparse.ArgumentParser) -> None:
    """Adds the option that names a model's class."""
    parser.add_argument("--model", required=True, metavar="MODULE:CLASS", help="model of the documents")


def model_class_of(name: str) -> type[Model]:
    """The class that the option names.

    Raises:
        InstallerError: there is no such class, or it is no model.
    """
    module_name, _, class_name = name.partition(":")
    try:
        model_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InstallerError(f"model '{name}': {error}") from error
    if not (isinstance(model_class, type) and issubclass(model_class, Model)):
        raise InstallerError(f"model '{name}' is no subclass of Model")
    return model_class


def rewrite_by_options(
    options: argparse.Namespace,
    rewrite: Callable[[AdminDatabase, OnProgress], Rewritten],
    *,
    done: str,
    current: str,
) -> int:
    """Rewrites the database that the options name, and shows the progress.

    It prints how many documents are `done` and `current`, and names those that were left as they are.
    Returns the exit status: 0 if all documents are up to date, or 1.

    Raises:
        InstallerError: CouchDB can't be reached or refuses, or there is no such database.
    """
    configure_logging(options)
    with (
        opened_server(
            options.host, credentials_of(options), verify_host_ssl_cert=options.verify_host_ssl_cert
        ) as server,
        progress_bar() as show,
    ):
        server.check()
        database = AdminDatabase(server, options.database)
        if not database.exists():
            raise InstallerError(f"{database} does not exist")
        result = rewrite(database, lambda done, total: show("documents", done, total))
    sys.stdout.write(f"{result.written} {done}, {result.current} {current}\n")
    for document_id in sorted(result.tampered):
        sys.stderr.write(f"document '{document_id}' was tampered with or never signed: left as it is\n")
    for document_id, reason in sorted(result.refused.items()):
        sys.stderr.write(f"document '{document_id}' {reason}: left as it is\n")
    return 1 if result.tampered or result.refused else 0
