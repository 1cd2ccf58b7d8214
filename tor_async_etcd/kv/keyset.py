"""The keys that a request is about: one key, a range, or all keys with a prefix."""

from __future__ import annotations

from collections.abc import Sequence

EVERYTHING = b"\0"


def prefix_end(prefix: bytes) -> bytes:
    """Return the first key after all keys that start with `prefix`.

    If there is none (the prefix is empty or all 0xFF), return `EVERYTHING`, which etcd reads as "to the end".
    """
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else EVERYTHING


class KeySet:
    """One key, the range [key, range_end), or every key that starts with `key`.

    As in etcd's API, a `range_end` of b"\\0" means "every key from `key` on"; if both are b"\\0", every key.
    """

    __slots__ = ("key", "prefix", "range_end")

    def __init__(self, key: bytes, range_end: bytes | None = None, prefix: bool = False) -> None:
        """Take bytes, and either a `range_end` or `prefix`.

        Raises:
            TypeError: a key is not bytes, or both `range_end` and `prefix` were given. ValueError: the key is
            empty, which etcd does not allow, or the range does not end after its start.
        """
        if not isinstance(key, bytes) or not isinstance(range_end, bytes | None):
            raise TypeError(f"keys are bytes, not {key!r}, {range_end!r}")
        if not isinstance(prefix, bool) or (prefix and range_end is not None):
            raise TypeError("a key set takes either range_end or prefix=True")
        if prefix:
            key, range_end = key or EVERYTHING, prefix_end(key)
        if not key:
            raise ValueError("etcd has no empty key; KeySet(b'', prefix=True) means every key")
        if range_end not in (None, EVERYTHING) and range_end <= key:
            raise ValueError(f"the range ends at {range_end!r}, not after its start {key!r}")
        self.key = key
        self.range_end = range_end
        self.prefix = prefix

    def __contains__(self, key: bytes) -> bool:
        if self.range_end is None:
            return key == self.key
        return key >= self.key and (self.range_end == EVERYTHING or key < self.range_end)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KeySet) and (self.key, self.range_end) == (other.key, other.range_end)

    def __hash__(self) -> int:
        return hash((self.key, self.range_end))

    def __repr__(self) -> str:
        return f"KeySet({self.key!r}, range_end={self.range_end!r})"

    @classmethod
    def of(cls, keys: bytes | KeySet) -> KeySet:
        """Return `keys` itself, or the key set of one key."""
        return keys if isinstance(keys, KeySet) else cls(keys)

    @classmethod
    def covering(cls, keysets: Sequence[KeySet]) -> KeySet:
        """Return the smallest key set that holds all of `keysets`."""
        if len(keysets) == 1:
            return keysets[0]
        ends = [keyset.key + b"\0" if keyset.range_end is None else keyset.range_end for keyset in keysets]
        start = min(keyset.key for keyset in keysets)
        return cls(start, EVERYTHING if EVERYTHING in ends else max(ends))


def key_fields(keys: bytes | KeySet) -> dict[str, bytes | None]:
    """Return a request's fields for these keys."""
    keyset = KeySet.of(keys)
    return {"key": keyset.key, "range_end": keyset.range_end}
