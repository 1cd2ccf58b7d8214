"""The base of all actions: an action works on one database."""

import copy
from typing import Self

from tor_async_couchdb.documents.database import Database


class AsyncAction:
    """An action on `database`; it is cheap to make one for each use."""

    def __init__(self, *, database: Database) -> None:
        self.database = database

    def on(self, database: Database) -> Self:
        """The same action on another database."""
        other = copy.copy(self)
        other.database = database
        return other
