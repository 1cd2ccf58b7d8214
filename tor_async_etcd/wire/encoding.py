"""The gateway's requests, from fixed tables.

The gateway ignores unknown fields, so a misspelled option would silently do nothing. Therefore a table for
each request has its fields, and an unknown name raises TypeError. The forms are those of etcd's rpc.proto in
protobuf's JSON mapping: bytes as base64, 64-bit integers as strings.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypedDict

if TYPE_CHECKING:
    from tor_async_etcd.results import Json

SortOrder: TypeAlias = Literal["NONE", "ASCEND", "DESCEND"]
SortTarget: TypeAlias = Literal["KEY", "VERSION", "CREATE", "MOD", "VALUE"]


class RangeOptions(TypedDict, total=False):
    """The options of a get, as etcd's RangeRequest has them."""

    count_only: bool
    keys_only: bool
    limit: int
    revision: int
    serializable: bool
    sort_order: SortOrder
    sort_target: SortTarget
    min_mod_revision: int
    max_mod_revision: int
    min_create_revision: int
    max_create_revision: int


def binary(value: bytes) -> str:
    """Encode bytes for the gateway."""
    if not isinstance(value, bytes):
        raise TypeError(f"keys and values are bytes, not {value!r}")
    return b2a_base64(value, newline=False).decode("ascii")


def _integer(value: int) -> str:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{value!r} is not an integer of 0 or more")
    return str(value)


def _flag(value: bool) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is not True or False")
    return value


def _one_of(*names: str) -> Callable[[str], str]:
    def encode(value: str) -> str:
        if value not in names:
            raise TypeError(f"{value!r} is not one of {', '.join(names)}")
        return value

    return encode


def _as_it_is(value: Any) -> Any:
    return value


Fields: TypeAlias = Mapping[str, Callable[[Any], Any]]

_KEYS: Fields = {"key": binary, "range_end": binary}
PUT: Fields = {
    "key": binary,
    "value": binary,
    "lease": _integer,
    "prev_kv": _flag,
    "ignore_value": _flag,
    "ignore_lease": _flag,
}
RANGE: Fields = {
    **_KEYS,
    "count_only": _flag,
    "keys_only": _flag,
    "limit": _integer,
    "revision": _integer,
    "serializable": _flag,
    "sort_order": _one_of("NONE", "ASCEND", "DESCEND"),
    "sort_target": _one_of("KEY", "VERSION", "CREATE", "MOD", "VALUE"),
    "min_mod_revision": _integer,
    "max_mod_revision": _integer,
    "min_create_revision": _integer,
    "max_create_revision": _integer,
}
DELETE_RANGE: Fields = {**_KEYS, "prev_kv": _flag}
COMPARE: Fields = {
    **_KEYS,
    "result": _one_of("EQUAL", "NOT_EQUAL", "GREATER", "LESS"),
    "target": _one_of("VALUE", "VERSION", "CREATE", "MOD", "LEASE"),
    "value": binary,
    "version": _integer,
    "create_revision": _integer,
    "mod_revision": _integer,
    "lease": _integer,
}
TXN: Fields = {"compare": _as_it_is, "success": _as_it_is, "failure": _as_it_is}
WATCH: Fields = {
    **_KEYS,
    "start_revision": _integer,
    "progress_notify": _flag,
    "prev_kv": _flag,
    "fragment": _flag,
    "filters": _as_it_is,
}


class Call(NamedTuple):
    """One of the gateway's requests: its path, its fields, and two facts about it.

    `changes`: it may change something. `shows_newest_revision`: the revision in its answer is not less than
    that in any earlier answer.
    """

    path: str
    fields: Fields
    changes: bool
    shows_newest_revision: bool = False


KV_PUT = Call("kv/put", PUT, changes=True, shows_newest_revision=True)
KV_RANGE = Call("kv/range", RANGE, changes=False, shows_newest_revision=True)  # unless it is serializable
KV_DELETE_RANGE = Call("kv/deleterange", DELETE_RANGE, changes=True, shows_newest_revision=True)
KV_TXN = Call("kv/txn", TXN, changes=True, shows_newest_revision=True)
KV_READ_TXN = Call("kv/txn", TXN, changes=False)
KV_COMPACTION = Call("kv/compaction", {"revision": _integer, "physical": _flag}, changes=True)
LEASE_GRANT = Call("lease/grant", {"TTL": _integer, "ID": _integer}, changes=True)
LEASE_KEEPALIVE = Call("lease/keepalive", {"ID": _integer}, changes=False)
LEASE_TIMETOLIVE = Call("lease/timetolive", {"ID": _integer, "keys": _flag}, changes=False)
LEASE_REVOKE = Call("lease/revoke", {"ID": _integer}, changes=True)
LEASE_LIST = Call("lease/leases", {}, changes=False)
STATUS = Call("maintenance/status", {}, changes=False)
AUTHENTICATE = Call("auth/authenticate", {"name": _as_it_is, "password": _as_it_is}, changes=False)
WATCH_CREATE = Call("watch", {"create_request": _as_it_is}, changes=False)


def encode(fields: Fields, values: Mapping[str, Any]) -> Json:
    """Return the request's JSON object, without the values that are None or False.

    Raises:
        TypeError: the request has no such field, or the value is not of the field's type.
    """
    try:
        return {
            name: fields[name](value)
            for name, value in values.items()
            if value is not None and value is not False
        }
    except KeyError as error:
        raise TypeError(f"there is no option {error}, only {', '.join(fields)}") from error
