"""`re-encrypt`: gives each subject a new data key, and encrypts all documents of a model with it."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.commands.rewriting import DETAILS, add_model_option, model_class_of, rewrite_by_options
from tor_async_couchdb.commands.secrets import data_keys_of
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.options import add_database_options, signer_of
from tor_async_couchdb.installer.re_encrypting import re_encrypt
from tor_async_couchdb.installer.rewriting import OnProgress, Rewritten
from tor_async_couchdb.protection.encryption import MAX_AGE_S


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_database_options(parser)
    parser.add_argument("--protection", required=True, metavar="FOLDER", help="folder of the secrets")
    add_model_option(parser)
    parser.add_argument("--keyset", metavar="FILE", help="Tink key set, if the documents are signed")


def run(options: argparse.Namespace, sleep: Callable[[float], None] = time.sleep) -> int:
    """Rotates the data keys and re-encrypts as the options say. Returns the exit status."""
    signer = None if options.keyset is None else signer_of(options.keyset)
    model_class = model_class_of(options.model)
    data_keys = data_keys_of(options.protection)

    def rewrite(database: AdminDatabase, on_progress: OnProgress) -> Rewritten:
        data_keys.rotate()
        sleep(MAX_AGE_S)  # until then services may encrypt with the old keys
        return re_encrypt(database, model_class, data_keys, signer, on_progress)

    return rewrite_by_options(options, rewrite, done="re-encrypted", current="encrypted by the primary keys")


COMMAND = Command(
    "re-encrypt",
    "give each subject a new data key, and encrypt all documents of a database with it",
    _add_options,
    run,
    details=DETAILS,
)
