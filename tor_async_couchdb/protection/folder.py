"""All secrets that protect a service's sensitive properties, in one folder.

    master_key.json     wraps the data keys: a Tink key set for AEAD
    data_keys.sqlite    the data keys, one for each subject
    pepper              goes into all hashes

Keep it apart from CouchDB and its backups. If a key management service holds the master key, or a database
the data keys, make a `Protector` of your own DataKeyStore, and of an object with the methods of AeadKeySet.

`python -m tor_async_couchdb secrets` makes such a folder and erases subjects.
"""

from __future__ import annotations

import os
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
