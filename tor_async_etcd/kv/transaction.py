"""Transactions: operations that etcd applies at one revision if all comparisons hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from tor_async_etcd.kv.keyset import KeySet, key_fields
from tor_async_etcd.wire.encoding import COMPARE, DELETE_RANGE, PUT, RANGE, TXN, Fields, RangeOptions, encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tor_async_etcd.kv.lease import Lease
    from tor_async_etcd.results import Json

_PartT = TypeVar("_PartT", bound="_Part")
_OPERATORS = {"==": "EQUAL", "!=": "NOT_EQUAL", ">": "GREATER", "<": "LESS"}


class _Part:
    """A comparison or an operation. The constructor checks and encodes it; its repr shows its fields."""

    __slots__ = ("_fields", "encoded")

    def __init__(self, table: Fields, kind: str | None, fields: dict[str, Any]) -> None:
        self._fields = {name: value for name, value in fields.items() if value is not None}
        encoded = encode(table, fields)
        self.encoded: Json = encoded if kind is None else {kind: encoded}

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self._fields.items())
        return f"{type(self).__name__}({fields})"


class Comp(_Part):
    """A comparison of a property of a key. For a range, it has to hold for every key in it."""

    __slots__ = ()

    def __init__(self, keys: bytes | KeySet, compare: str, target: str, **operand: bytes | int) -> None:
        """Use the subclasses. Raises TypeError for an operator other than == != > <."""
        if compare not in _OPERATORS:
            raise TypeError(f"{compare!r} is not one of == != > <")
        fields = key_fields(keys) | operand | {"target": target, "result": _OPERATORS[compare]}
        super().__init__(COMPARE, None, fields)


class CompValue(Comp):
    """Compare the value. It does not hold for a key that does not exist."""

    __slots__ = ()

    def __init__(self, keys: bytes | KeySet, compare: str, value: bytes) -> None:
        super().__init__(keys, compare, "VALUE", value=value)


class CompVersion(Comp):
    """Compare the number of changes since the key's creation; 0 if it doesn't exist."""

    __slots__ = ()

    def __init__(self, keys: bytes | KeySet, compare: str, version: int) -> None:
        super().__init__(keys, compare, "VERSION", version=version)


class CompCreated(Comp):
    """Compare the revision of the key's creation; 0 if it doesn't exist."""

    __slots__ = ()

    def __init__(self, keys: bytes | KeySet, compare: str, revision: int) -> None:
        super().__init__(keys, compare, "CREATE", create_revision=revision)


class CompModified(Comp):
    """Compare the revision of the key's last change; 0 if it doesn't exist."""

    __slots__ = ()

    def __init__(self, keys: bytes | KeySet, compare: str, revision: int) -> None:
        super().__init__(keys, compare, "MOD", mod_revision=revision)


class CompLease(Comp):
    """Compare the id of the key's lease; 0 if it has none."""

    __slots__ = ()

    def __init__(self, keys: bytes | KeySet, compare: str, lease_id: int) -> None:
        super().__init__(keys, compare, "LEASE", lease=lease_id)


class Op(_Part):
    """An operation of a transaction."""

    __slots__ = ()


class OpGet(Op):
    """Read keys; its response is a Range."""

    __slots__ = ()

    def __init__(
        self, key: bytes | KeySet, range_end: bytes | None = None, **options: Unpack[RangeOptions]
    ) -> None:
        super().__init__(RANGE, "request_range", range_fields(key, range_end, options))


class OpSet(Op):
    """Set a key; `keep_value` and `keep_lease` keep its value or its lease. Its response is a Revision."""

    __slots__ = ()

    def __init__(
        self,
        key: bytes,
        value: bytes,
        lease: Lease | None = None,
        return_previous: bool = False,
        *,
        keep_value: bool = False,
        keep_lease: bool = False,
    ) -> None:
        fields = set_fields(key, value, lease, return_previous, keep_value, keep_lease)
        super().__init__(PUT, "request_put", fields)


class OpDel(Op):
    """Delete keys; its response is a Deleted."""

    __slots__ = ()

    def __init__(self, key: bytes | KeySet, return_previous: bool = False) -> None:
        fields = key_fields(key) | {"prev_kv": return_previous}
        super().__init__(DELETE_RANGE, "request_delete_range", fields)


class OpTransaction(Op):
    """A transaction inside a transaction; its response is a Branch."""

    __slots__ = ()

    def __init__(self, transaction: Transaction) -> None:
        super().__init__(TXN, "request_txn", transaction.encoded)


class Transaction:
    """etcd applies `success` if all of `compare` hold, else `failure`. It takes at most 128 of each."""

    __slots__ = ("compare", "encoded", "failure", "success")

    def __init__(
        self,
        compare: Sequence[Comp] | None = None,
        success: Sequence[Op] | None = None,
        failure: Sequence[Op] | None = None,
    ) -> None:
        """Raises TypeError if an item of a list is of another type."""
        self.compare = _checked(compare, Comp)
        self.success = _checked(success, Op)
        self.failure = _checked(failure, Op)
        self.encoded: Json = {
            "compare": [part.encoded for part in self.compare],
            "success": [part.encoded for part in self.success],
            "failure": [part.encoded for part in self.failure],
        }

    @property
    def changes(self) -> bool:
        """Return whether any of its operations may change something."""
        return not all(isinstance(op, OpGet) for op in [*self.success, *self.failure])

    def __repr__(self) -> str:
        return f"Transaction(compare={self.compare}, success={self.success}, failure={self.failure})"


def range_fields(key: bytes | KeySet, range_end: bytes | None, options: RangeOptions) -> dict[str, Any]:
    """Return the fields of a get."""
    keyset = key if range_end is None else KeySet(KeySet.of(key).key, range_end)
    return {**key_fields(keyset), **options}


def set_fields(
    key: bytes, value: bytes, lease: Lease | None, return_previous: bool, keep_value: bool, keep_lease: bool
) -> dict[str, Any]:
    """Return the fields of a set."""
    return {
        "key": key,
        "value": value,
        "lease": None if lease is None else lease.lease_id,
        "prev_kv": return_previous,
        "ignore_value": keep_value,
        "ignore_lease": keep_lease,
    }


def _checked(parts: Sequence[_PartT] | None, kind: type[_PartT]) -> list[_PartT]:
    for part in parts or ():
        if not isinstance(part, kind):
            raise TypeError(f"{part!r} is not a {kind.__name__}")
    return list(parts or ())
