"""The base of all actions: on which database one acts."""

import contextlib
from collections.abc import AsyncIterator, Iterator

from tor_async_couchdb.documents.database import Database
from tor_async_couchdb.errors import TamperedError


class AsyncAction:
    """An action on a database; every error of it is a CouchDBError."""

    def __init__(self, *, database: Database | None = None) -> None:
        self._database = database

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[Database]:
        from tor_async_couchdb.actions import retrieve as settings  # which imports this module

        configured = settings.database if self._database is None else self._database
        if isinstance(configured, Database):
            with _alarmed(configured):
                yield configured
            return
        async with Database(
            configured,
            username=settings.username,
            password=settings.password,
            validate_cert=settings.validate_cert,
            tampering_signer=settings.tampering_signer,
        ) as connection:
            with _alarmed(connection):
                yield connection


@contextlib.contextmanager
def _alarmed(connection: Database) -> Iterator[None]:
    try:
        yield
    except TamperedError as error:
        connection.tampering_detected(error)
        raise
