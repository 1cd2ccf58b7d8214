"""All secrets that protect a service's sensitive properties, in one folder.

    master_key.json     wraps the data keys: a Tink key set for AEAD
    data_keys.sqlite    the data keys, one for each subject
    pepper              goes into all hashes

Keep it apart from CouchDB and its backups. If a key management service holds the master key, or a database
the data keys, make a `Protector` of your own DataKeyStore, and of an object with the methods of AeadKeySet.

`python -m tor_async_couchdb.protection.folder --help` makes such a folder, and forgets subjects.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from tor_async_couchdb.errors import DataKeyError
from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.data_key_store import SQLiteDataKeyStore
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.encryption import Encryption
from tor_async_couchdb.protection.hashing import Pepper, SlowHasher
from tor_async_couchdb.protection.private_file import create_private_file

MASTER_KEY, _DATA_KEYS, _PEPPER = "master_key.json", "data_keys.sqlite", "pepper"


class Protector:
    """Encrypts and hashes by the secrets of a folder."""

    def __init__(self, data_keys: DataKeys, pepper: Pepper) -> None:
        self.data_keys = data_keys
        self.encryption = Encryption(data_keys)
        self.pepper = pepper
        self.slow_hasher = SlowHasher(pepper)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> Protector:
        """Reads the secrets.

        Raises:
            OSError: one of the files can't be read.
            ValueError: one of the files does not hold its secret.
        """
        folder = Path(folder)
        master_key = AeadKeySet.from_file(folder / MASTER_KEY)
        try:
            store = SQLiteDataKeyStore(folder / _DATA_KEYS)
        except DataKeyError as error:
            raise ValueError(str(error)) from None
        return cls(DataKeys(store, master_key), Pepper.from_file(folder / _PEPPER))


def new_protection(folder: str | os.PathLike[str]) -> None:
    """Makes a folder with new secrets that only its owner can read; FileExistsError if there is one."""
    folder = Path(folder)
    folder.mkdir(mode=0o700)
    create_private_file(folder / MASTER_KEY, AeadKeySet.new().text.encode())
    SQLiteDataKeyStore.create(folder / _DATA_KEYS)
    Pepper.create(folder / _PEPPER)


def main(arguments: Sequence[str] | None = None) -> int:
    """Does what the command line says. Returns the exit status: 0, or 1 after one line on standard error."""
    options = _parse(arguments)
    try:
        if options.command == "new":
            new_protection(options.folder)
            return 0
        data_keys = Protector.from_folder(options.folder).data_keys
        match options.command:
            case "forget":
                data_keys.erase(options.subject_id)
            case "rewrap":
                sys.stdout.write(f"{data_keys.rewrap()} data keys wrapped anew\n")
            case "retire":
                sys.stdout.write(f"{data_keys.retire()} subjects have only their primary key now\n")
    except OSError as error:
        sys.stderr.write(f"{error.filename}: {error.strerror}\n")
        return 1
    except (DataKeyError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tor_async_couchdb.protection.folder",
        description="Makes the secrets that protect sensitive properties, and ends them.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in (
        ("new", "make a folder with new secrets"),
        ("forget", "delete a subject's data key: what it encrypted can't be read any more, by nobody"),
        (
            "rewrap",
            "wrap the data keys by the primary key of the master's, so that its others can be retired",
        ),
        ("retire", "delete the data keys that re-encrypting has replaced"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("folder", metavar="FOLDER")
        if name == "forget":
            command.add_argument("subject_id", metavar="SUBJECT")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
