"""Data keys in an SQLite file, for all processes on one machine."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from tor_async_couchdb.errors import DataKeyError
from tor_async_couchdb.protection.private_file import create_private_file

_BUSY_TIMEOUT_S = 5.0

# The key of an erased subject is NULL. SQLite overwrites deleted content in the file, and deletes its
# journal: https://www.sqlite.org/pragma.html#pragma_secure_delete
_SCHEMA = "CREATE TABLE data_keys (subject_id TEXT PRIMARY KEY, wrapped BLOB) WITHOUT ROWID"


class SQLiteDataKeyStore:
    """A `DataKeyStore` in a file that `create` made. Threads and processes may use it at the same time.

    Raises:
        DataKeyError: there is no such file, or it holds no data keys.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._lock = threading.Lock()
        with self._translated():
            self._connection = sqlite3.connect(
                f"{self._path.absolute().as_uri()}?mode=rw",
                uri=True,
                timeout=_BUSY_TIMEOUT_S,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self._execute("PRAGMA secure_delete = ON")
            self.fetch([])
        except DataKeyError:
            self.close()
            raise

    @classmethod
    def create(cls, path: str | os.PathLike[str]) -> None:
        """Makes an empty store that only the file's owner can read; FileExistsError if there is a file."""
        create_private_file(path)
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute(_SCHEMA)

    def close(self) -> None:
        """Closes the file."""
        self._connection.close()

    def fetch(self, subject_ids: Collection[str]) -> Mapping[str, bytes | None]:
        """See `DataKeyStore.fetch`."""
        wanted = json.dumps(list(subject_ids))
        statement = (
            "SELECT subject_id, wrapped FROM data_keys WHERE subject_id IN (SELECT value FROM json_each(?))"
        )
        return dict(self._execute(statement, wanted))

    def add(self, subject_id: str, wrapped: bytes) -> None:
        """See `DataKeyStore.add`."""
        self._execute("INSERT OR IGNORE INTO data_keys VALUES (?, ?)", subject_id, wrapped)

    def replace(self, subject_id: str, old: bytes, new: bytes) -> bool:
        """See `DataKeyStore.replace`."""
        statement = "UPDATE data_keys SET wrapped = ? WHERE subject_id = ? AND wrapped = ? RETURNING 1"
        return bool(self._execute(statement, new, subject_id, old))

    def erase(self, subject_id: str) -> None:
        """See `DataKeyStore.erase`."""
        self._execute(
            "INSERT INTO data_keys VALUES (?, NULL) ON CONFLICT DO UPDATE SET wrapped = NULL", subject_id
        )

    def subject_ids(self, after: str, limit: int) -> list[str]:
        """See `DataKeyStore.subject_ids`."""
        statement = (
            "SELECT subject_id FROM data_keys WHERE subject_id > ? AND wrapped IS NOT NULL"
            " ORDER BY subject_id LIMIT ?"
        )
        return [row[0] for row in self._execute(statement, after, limit)]

    def _execute(self, statement: str, *parameters: str | bytes | int) -> list[tuple[Any, ...]]:
        with self._lock, self._translated():
            return self._connection.execute(statement, parameters).fetchall()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataKeyError(f"the store of data keys '{self._path}' can't be used: {error}") from error
