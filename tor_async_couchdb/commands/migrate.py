"""`migrate`: rewrites all documents of a model as its own version writes them."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.commands.rewriting import DETAILS, add_model_option, model_class_of, rewrite_by_options
from tor_async_couchdb.installer.admin import Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.migrating import migrate
from tor_async_couchdb.installer.options import add_database_options, signer_of
from tor_async_couchdb.model import Model

_Change = Callable[[Document], Document]


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_database_options(parser)
    add_model_option(parser)
    parser.add_argument("--keyset", metavar="FILE", help="Tink key set, if the documents are signed")
    parser.add_argument(
        "--protection", metavar="FOLDER", help="folder of the secrets, if the documents are encrypted"
    )
    parser.add_argument(
        "--max-writes-per-s",
        type=_positive_number,
        metavar="NUMBER",
        help="write no faster, so that services stay quick [default: no limit]",
    )


def _run(options: argparse.Namespace) -> int:
    model_class = model_class_of(options.model)
    open_document, seal = _protection(options, model_class)
    return rewrite_by_options(
        options,
        lambda database, on_progress: migrate(
            database,
            model_class,
            on_progress,
            open_document=open_document,
            seal=seal,
            max_writes_per_s=options.max_writes_per_s,
        ),
        done="migrated",
        current="current",
    )


def _protection(options: argparse.Namespace, model_class: type[Model]) -> tuple[_Change, _Change]:
    if options.protection is None and model_class.decrypted_names:
        raise InstallerError(f"model '{options.model}' has encrypted properties: give --protection")
    if options.keyset is None and options.protection is None:
        return dict, dict
    try:
        from tor_async_couchdb.commands.secrets import data_keys_of
        from tor_async_couchdb.installer.protected_documents import ProtectedDocuments
    except ModuleNotFoundError as error:
        raise InstallerError(f"--keyset and --protection need the extra 'protection': {error.msg}") from error
    signer = None if options.keyset is None else signer_of(options.keyset)
    data_keys = None if options.protection is None else data_keys_of(options.protection)
    protected = ProtectedDocuments(model_class, signer, data_keys)
    return protected.open, protected.seal


def _positive_number(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


COMMAND = Command(
    "migrate",
    "rewrite all documents of a model that another version of it has written",
    _add_options,
    _run,
    details=DETAILS,
)
