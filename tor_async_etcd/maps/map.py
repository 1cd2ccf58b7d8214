"""Typed persistent maps: a codec of keys, a codec of values, and a slot of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from tor_async_etcd.errors import InvalidDataError, UniqueError
from tor_async_etcd.kv.keyset import KeySet, prefix_end

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
    from uuid import UUID

    from tor_async_etcd.maps.codecs import Codec, KeyCodec
    from tor_async_etcd.maps.db_transaction import DbTransaction

K = TypeVar("K")
V = TypeVar("V")

LARGEST_SLOT = 2**16 - 2  # so that there is a slot after it, at which the range of its keys ends


class _Index(NamedTuple):
    entries: Map[Any, Any]
    function: Callable[[Any], Any]
    unique: bool


class Map(Generic[K, V]):
    """A map in a slot of the database: its keys start with the slot, two bytes big-endian.

        fruits = Map(1, StringCodec(), StringCodec())
        async with db.begin(write=True) as txn:
            fruits[txn, "apple"] = "green"
            fruits[txn, "apple"]  # an awaitable of "green", or of None if there were none
            del fruits[txn, "apple"]

    A map has no state: the same object can be used with any database.
    """

    table_oid: UUID | None = None
    table_options: Mapping[str, Any] = {}

    def __init__(self, slot: int, key: KeyCodec[K], value: Codec[V]) -> None:
        """Raises ValueError if the slot is not from 1 to 65534; the directory of the slots is in slot 0."""
        if not isinstance(slot, int) or not 1 <= slot <= LARGEST_SLOT:
            raise ValueError(f"{slot!r} is not a slot from 1 to {LARGEST_SLOT}")
        self.slot = slot
        self.key = key
        self.value = value
        self._prefix = slot.to_bytes(2, "big")
        self._indexes: list[_Index] = []
        self._is_index = False

    def attach_index(self, index: Map[Any, K], function: Callable[[V], Any], *, unique: bool = True) -> None:
        """Keep `index`, a map to this map's keys, in step with `function` of this map's values.

        In a unique index the function's result is the key: `await index[txn, "name"]`. Otherwise the key is a
        pair of that result and this map's key: `index.select(txn, prefix="name")`. None is not indexed. All
        writers have to attach the same indexes before they write.
        """
        index._is_index = True
        self._indexes.append(_Index(index, function, unique))

    def __getitem__(self, txn_and_key: tuple[DbTransaction, K]) -> Coroutine[Any, Any, V | None]:
        return self._get(*txn_and_key)

    def __setitem__(self, txn_and_key: tuple[DbTransaction, K], value: V) -> None:
        txn, key = txn_and_key
        txn.put(self._data_key(key), self.value.encode(value), indexed=self if self._indexes else None)

    def __delitem__(self, txn_and_key: tuple[DbTransaction, K]) -> None:
        txn, key = txn_and_key
        txn.delete(self._data_key(key), indexed=self if self._indexes else None)

    async def select(
        self,
        txn: DbTransaction,
        from_key: K | None = None,
        to_key: K | None = None,
        *,
        prefix: Any = None,
        limit: int | None = None,
    ) -> AsyncIterator[tuple[K, V]]:
        """Yield keys and their values in the order of the keys, at most `limit` of them.

        It yields the keys from `from_key` on, before `to_key`, that start with `prefix`, which is the first
        of a pair if the keys are pairs.

        Raises:
            InvalidDataError: a key or a value is not what this map's codecs write.
        """
        if self._is_index:
            await txn.settle()
        stem = self._prefix if prefix is None else self._prefix + self.key.prefix(prefix)
        start = stem if from_key is None else max(stem, self._data_key(from_key))
        end = prefix_end(stem) if to_key is None else min(prefix_end(stem), self._data_key(to_key))
        if start < end:
            async for data_key, data in txn.scan(KeySet(start, end), limit=limit):
                yield self._decoded_key(data_key), self._decoded(data_key, data)

    async def unindex(self, txn: DbTransaction, key: bytes, value: bytes) -> None:
        """Remove the index entries of a value that the key no longer has. Transactions call it."""
        for index in self._indexes:
            if (entry := self._entry(index, key, value)) is not None:
                txn.delete(entry)

    async def index(self, txn: DbTransaction, key: bytes, value: bytes) -> None:
        """Add the index entries of the key's new value. Transactions call it. Raises UniqueError."""
        primary = self._decoded_key(key)
        for index in self._indexes:
            if (entry := self._entry(index, key, value)) is None:
                continue
            data = index.entries.value.encode(primary)
            if index.unique and await txn.get(entry) not in (None, data):
                found = index.function(self._decoded(key, value))
                raise UniqueError(f"unique index in slot {index.entries.slot} has {found!r} already")
            txn.put(entry, data)

    def _entry(self, index: _Index, key: bytes, value: bytes) -> bytes | None:
        found = index.function(self._decoded(key, value))
        if found is None:
            return None
        return index.entries._data_key(found if index.unique else (found, self._decoded_key(key)))

    async def _get(self, txn: DbTransaction, key: K) -> V | None:
        if self._is_index:
            await txn.settle()
        data_key = self._data_key(key)
        data = await txn.get(data_key)
        return None if data is None else self._decoded(data_key, data)

    def _data_key(self, key: K) -> bytes:
        return self._prefix + self.key.encode(key)

    def _decoded_key(self, data_key: bytes) -> K:
        try:
            return self.key.decode(data_key[2:])
        except Exception as error:
            raise InvalidDataError(f"slot {self.slot} has the key {data_key[2:]!r}: {error}") from error

    def _decoded(self, data_key: bytes, data: bytes) -> V:
        try:
            return self.value.decode(data)
        except Exception as error:
            raise InvalidDataError(
                f"slot {self.slot} has another kind of value at the key {data_key[2:]!r}: {error!r}"
            ) from error
