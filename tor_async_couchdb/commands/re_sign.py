"""`re-sign`: signs all documents of a database with the primary key."""

from __future__ import annotations

import argparse

from tor_async_couchdb.commands.command import Command
from tor_async_couchdb.commands.rewriting import DETAILS, rewrite_by_options
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.options import add_database_options, signer_of
from tor_async_couchdb.installer.re_signing import re_sign
from tor_async_couchdb.protection.keyczar import KeyczarKeySet, KeyczarSigner, TransitionalSigner
from tor_async_couchdb.protection.signing import Signer


def _add_options(parser: argparse.ArgumentParser) -> None:
    add_database_options(parser)
    parser.add_argument("--keyset", required=True, metavar="FILE", help="Tink key set")
    parser.add_argument(
        "--keyczar", metavar="FOLDER", help="Keyczar key set that signed some of the documents"
    )


def _run(options: argparse.Namespace) -> int:
    signer = _signer(options.keyset, options.keyczar)
    return rewrite_by_options(
        options,
        lambda database, on_progress: re_sign(database, signer, on_progress),
        done="re-signed",
        current="signed by the primary key",
    )


def _signer(key_set: str, keyczar_folder: str | None) -> Signer:
    signer = signer_of(key_set)
    if keyczar_folder is None:
        return signer
    try:
        return TransitionalSigner(signer, KeyczarSigner(KeyczarKeySet.from_folder(keyczar_folder)))
    except ValueError as error:
        raise InstallerError(str(error)) from error


COMMAND = Command(
    "re-sign",
    "sign all documents of a database with the primary key of a key set",
    _add_options,
    _run,
    details=DETAILS,
)
