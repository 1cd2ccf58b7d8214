"""The directory of a database: the slot of each table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tor_async_etcd.errors import ConflictError
from tor_async_etcd.kv.keyset import KeySet
from tor_async_etcd.maps.codecs import CborCodec
from tor_async_etcd.maps.map import LARGEST_SLOT, Map

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID

    from tor_async_etcd.kv.client import Client
    from tor_async_etcd.maps.db_transaction import DbTransaction

MapT = TypeVar("MapT", bound=Map[Any, Any])

_DIRECTORY = b"\0\0"  # slot 0; then the slot that the entry is about, two bytes big-endian
_ENTRY: CborCodec[dict[str, Any]] = CborCodec(marshal=dict, unmarshal=dict)


def table(oid: UUID, **options: Any) -> Callable[[type[MapT]], type[MapT]]:
    """Name a class of maps for `Database.attach_table`: by a UUID, and with its constructor's options.

    @pmap.table(UUID("5fbf3ee6-..."), marshal=lambda user: user.marshal(), unmarshal=User.parse)
    class Users(pmap.MapUuidCbor[User]): ...
    """

    def decorate(kind: type[MapT]) -> type[MapT]:
        kind.table_oid = oid
        kind.table_options = options
        return kind

    return decorate


async def find_or_create_slot(client: Client, txn: DbTransaction, kind: type[Map[Any, Any]]) -> int:
    """Return the slot of a class decorated with `table`; a new table gets the next slot.

    Raises:
        TypeError: the class is not decorated.
        ConflictError: another table took the next slot.
        ValueError: all slots are taken.
    """
    if kind.table_oid is None:
        raise TypeError(f"{kind.__name__} is not decorated with pmap.table")
    oid = kind.table_oid
    slots = await _slots(client, txn)
    if oid.bytes in slots:
        return slots[oid.bytes]
    # Every new entry comes after the last one, so of two writers only one can add its entry.
    slot = max(slots.values(), default=0) + 1
    if slot > LARGEST_SLOT:
        raise ValueError(f"all {LARGEST_SLOT} slots are taken")
    key = _DIRECTORY + slot.to_bytes(2, "big")
    if await txn.get(key) is not None:
        raise ConflictError(f"slot {slot} was taken meanwhile")
    txn.put(key, _ENTRY.encode({"oid": oid.bytes, "slot": slot, "name": kind.__name__}))
    return slot


async def _slots(client: Client, txn: DbTransaction) -> dict[bytes, int]:
    slots = {}
    keys = KeySet(txn.prefix + _DIRECTORY, prefix=True)
    async for page in client.pages(keys, timeout_s=txn.timeout_s()):
        for kv in page.kvs:
            entry = _ENTRY.decode(kv.value)
            slots[entry["oid"]] = entry["slot"]
    return slots
