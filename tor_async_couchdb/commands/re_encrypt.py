"""Re-encrypting as a command: `python -m tor_async_couchdb.commands.re_encrypt --help`."""

from __future__ import annotations

import importlib
import sys
import time

from tor_async_couchdb.commands.rewriting import new_parser, run, signer_of
from tor_async_couchdb.installer.admin import AdminDatabase
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.re_encrypting import re_encrypt
from tor_async_couchdb.installer.rewriting import OnProgress, Rewritten
from tor_async_couchdb.model import Model
from tor_async_couchdb.protection.encryption import MAX_AGE_S
from tor_async_couchdb.protection.folder import Protector


def main() -> int:
    """Rotates the data keys and re-encrypts as the command line says.

    Returns the exit status: 0 if the primary data keys encrypt everything, or 1.

    Raises:
        SystemExit: the command line is wrong (2), or asks for help (0).
    """
    parser = new_parser("Gives each subject a new data key, and encrypts all documents of a database by it")
    parser.add_argument("--protection", required=True, metavar="FOLDER", help="folder of the secrets")
    parser.add_argument("--model", required=True, metavar="MODULE:CLASS", help="model of the documents")
    parser.add_argument("--keyset", metavar="FILE", help="Tink key set, where documents are signed")
    options = parser.parse_args()

    def rewrite(database: AdminDatabase, on_progress: OnProgress) -> Rewritten:
        signer = None if options.keyset is None else signer_of(options.keyset)
        model_class, data_keys = _model_class(options.model), _protector(options.protection).data_keys
        data_keys.rotate()
        time.sleep(MAX_AGE_S)  # until then services may write by the old keys
        return re_encrypt(database, model_class, data_keys, signer, on_progress)

    return run(parser, options, rewrite, done="re-encrypted", current="as they have to be")


def _model_class(name: str) -> type[Model]:
    module_name, _, class_name = name.partition(":")
    try:
        model_class = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InstallerError(f"model '{name}': {error}") from error
    if not (isinstance(model_class, type) and issubclass(model_class, Model)):
        raise InstallerError(f"model '{name}' is none")
    return model_class


def _protector(folder: str) -> Protector:
    try:
        return Protector.from_folder(folder)
    except OSError as error:
        raise InstallerError(f"{error.filename}: {error.strerror}") from error
    except ValueError as error:
        raise InstallerError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
