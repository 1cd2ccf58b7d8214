"""A witness's records in etcd, out of reach of the administrators of the witnessed databases."""

import contextlib
from collections.abc import Iterator

import msgspec

from tor_async_couchdb import errors
from tor_async_couchdb.model import Document
from tor_async_etcd import (
    Client,
    CompModified,
    EtcdError,
    Failed,
    OpSet,
    OutcomeUnknownError,
    Transaction,
    TransportError,
)


class EtcdWitnessStore:
    """A `WitnessStore` in the keys under `prefix`; a record's `_rev` is the revision of its key."""

    def __init__(self, client: Client, prefix: bytes) -> None:
        self._client = client
        self._prefix = prefix

    async def fetch(self, record_id: str) -> Document | None:
        """See `WitnessStore.fetch`."""
        with _translated_errors():
            found = await self._client.get(self._key(record_id))
        if not found.kvs:
            return None
        try:
            record: Document = msgspec.json.decode(found.kvs[0].value, type=dict)
        except msgspec.DecodeError as error:
            raise errors.TamperedError(record_id) from error
        return record | {"_rev": found.kvs[0].mod_revision}

    async def save(self, record: Document) -> None:
        """See `WitnessStore.save`: a transaction compares and writes, so no newer record is overwritten."""
        key = self._key(record["_id"])
        value = msgspec.json.encode({name: record[name] for name in record if name != "_rev"})
        is_current = CompModified(key, "==", record.get("_rev", 0))
        try:
            with _translated_errors():
                await self._client.submit(Transaction([is_current], [OpSet(key, value)]))
        except Failed as error:
            reason = "another process has written the record"
            raise errors.ConflictError(409, "conflict", reason, method="txn", path=key.decode()) from error

    async def close(self) -> None:
        """Closes the client."""
        await self._client.close()

    def _key(self, record_id: str) -> bytes:
        return self._prefix + record_id.encode()


@contextlib.contextmanager
def _translated_errors() -> Iterator[None]:
    """Translates etcd's errors to those of tor_async_couchdb, except `Failed`."""
    try:
        yield
    except Failed:
        raise
    except OutcomeUnknownError as error:
        raise errors.OutcomeUnknownError(f"etcd, of the witness: {error}") from error
    except TransportError as error:
        raise errors.TransportError(f"etcd, of the witness: {error}") from error
    except EtcdError as error:
        raise errors.CouchDBError(f"etcd, of the witness: {error}") from error
