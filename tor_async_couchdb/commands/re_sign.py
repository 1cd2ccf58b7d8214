"""Re-signing as a command: `python -m tor_async_couchdb.commands.re_sign --help`."""

from __future__ import annotations

import sys

from tor_async_couchdb.commands.rewriting import new_parser, run, signer_of
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.re_signing import re_sign
from tor_async_couchdb.installer.rewriting import OnProgress, Rewritten
from tor_async_couchdb.protection.keyczar import KeyczarKeySet, KeyczarSigner, TransitionalSigner
from tor_async_couchdb.protection.signing import Signer


def main() -> int:
    """Re-signs as the command line says. The exit status: 0 if the primary key signed everything, or 1.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    parser = new_parser("Signs all documents of a database by a key set's primary key")
    parser.add_argument("--keyset", required=True, metavar="FILE", help="Tink key set")
    parser.add_argument(
        "--keyczar", metavar="FOLDER", help="Keyczar key set that signed some of the documents"
    )
    options = parser.parse_args()

    def rewrite(database: AdminDatabase, on_progress: OnProgress) -> Rewritten:
        return re_sign(database, _signer(options.keyset, options.keyczar), on_progress)

    return run(parser, options, rewrite, done="re-signed", current="signed by the primary key")


def _signer(key_set: str, keyczar_folder: str | None) -> Signer:
    signer = signer_of(key_set)
    if keyczar_folder is None:
        return signer
    try:
        return TransitionalSigner(signer, KeyczarSigner(KeyczarKeySet.from_folder(keyczar_folder)))
    except OSError as error:
        raise InstallerError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise InstallerError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
