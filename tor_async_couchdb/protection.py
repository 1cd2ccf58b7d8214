"""All secrets that protect a service's sensitive properties, in one folder: `new_protection` makes one.

    master_key.json     wraps the data keys: a Tink key set for AEAD
    data_keys.sqlite    the data keys, one a subject
    pepper              goes into all hashes

Keep it apart from CouchDB and its backups. Where a key management service has the master key, and a database
the data keys, make an `Encryption` of them: they are an AeadKeySet and a DataKeyStore.
"""

from __future__ import annotations

import os
from pathlib import Path

from tor_async_couchdb.aead_key_set import AeadKeySet
from tor_async_couchdb.data_key_store import SQLiteDataKeyStore
from tor_async_couchdb.data_keys import DataKeys
from tor_async_couchdb.encryption import Encryption
from tor_async_couchdb.errors import DataKeyError
from tor_async_couchdb.hashing import Pepper, SlowHasher

MASTER_KEY, _DATA_KEYS, _PEPPER = "master_key.json", "data_keys.sqlite", "pepper"


class Protection:
    """What encrypts and hashes by the secrets of a folder."""

    def __init__(self, data_keys: DataKeys, pepper: Pepper) -> None:
        self.data_keys = data_keys
        self.encryption = Encryption(data_keys)
        self.pepper = pepper
        self.slow_hasher = SlowHasher(pepper)

    @classmethod
    def from_folder(cls, folder: str | os.PathLike[str]) -> Protection:
        """Reads the secrets.

        Raises:
            OSError: one of the files can't be read.
            ValueError: one of them does not hold what it should.
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
    descriptor = os.open(folder / MASTER_KEY, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(AeadKeySet.new().text)
    SQLiteDataKeyStore.create(folder / _DATA_KEYS)
    Pepper.create(folder / _PEPPER)
