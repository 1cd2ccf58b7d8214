"""How keys and values become bytes.

A codec of keys keeps their order, so that a range of keys is a range of bytes. It raises TypeError or
ValueError for what it can't encode. Any error in decoding becomes a map's InvalidDataError.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
First = TypeVar("First")
Second = TypeVar("Second")


class Codec(Protocol[T]):
    """The translation of keys or values to bytes and back."""

    def encode(self, item: T, /) -> bytes:
        """Return the bytes to store."""

    def decode(self, data: bytes, /) -> T:
        """Return the key or the value of these bytes."""


class KeyCodec(Codec[T], Protocol[T]):
    """A codec that keeps the order of what it encodes."""

    @property
    def size_bytes(self) -> int | None:
        """The size of every encoding, or None if they differ."""

    def prefix(self, start: Any, /) -> bytes:
        """Return the first bytes of all keys that start with `start`."""


class _Whole:
    def prefix(self, start: Any, /) -> bytes:
        raise TypeError(f"such keys are selected by a range, not by a prefix like {start!r}")


def _expect(kind: type, item: object) -> None:
    if not isinstance(item, kind) or isinstance(item, bool):
        raise TypeError(f"{item!r} is not of the type {kind.__name__}")


class StringCodec:
    """Strings as UTF-8, ordered by code points."""

    size_bytes = None

    def encode(self, item: str, /) -> bytes:
        """Return UTF-8."""
        _expect(str, item)
        return item.encode()

    prefix = encode

    def decode(self, data: bytes, /) -> str:
        """Read UTF-8."""
        return data.decode()


class BinaryCodec:
    """Bytes as they are."""

    size_bytes = None

    def encode(self, item: bytes, /) -> bytes:
        """Return the bytes."""
        _expect(bytes, item)
        return item

    prefix = encode

    def decode(self, data: bytes, /) -> bytes:
        """Return the bytes."""
        return data


class UuidCodec(_Whole):
    """UUIDs as their 16 bytes."""

    size_bytes = 16

    def encode(self, item: UUID, /) -> bytes:
        """Return 16 bytes."""
        _expect(UUID, item)
        return item.bytes

    def decode(self, data: bytes, /) -> UUID:
        """Read 16 bytes."""
        return UUID(bytes=data)


class UnsignedCodec(_Whole):
    """Integers from 0 to a largest one, big-endian in a fixed number of bytes."""

    def __init__(self, size_bytes: int, largest: int) -> None:
        self.size_bytes = size_bytes
        self._largest = largest

    def encode(self, item: int, /) -> bytes:
        """Return the integer's bytes."""
        _expect(int, item)
        if not 0 <= item <= self._largest:
            raise ValueError(f"{item} is not between 0 and {self._largest}")
        return item.to_bytes(self.size_bytes, "big")

    def decode(self, data: bytes, /) -> int:
        """Read the integer."""
        if len(data) != self.size_bytes:
            raise ValueError(f"{len(data)} bytes are no integer of {self.size_bytes}")
        return int.from_bytes(data, "big")


class OidCodec(UnsignedCodec):
    """Object ids: integers from 0 to 2**53, all of which a JSON number (a double) can represent."""

    def __init__(self) -> None:
        super().__init__(8, 2**53)


class SlotCodec(UnsignedCodec):
    """Slots: integers of 16 bits."""

    def __init__(self) -> None:
        super().__init__(2, 2**16 - 1)


class PairCodec(Generic[First, Second]):
    """Pairs, ordered by the first, then by the second.

    The first is escaped (a zero byte becomes 00 01) and ends with 00 00, unless its size is always the same.
    """

    size_bytes = None

    def __init__(self, first: KeyCodec[First], second: Codec[Second]) -> None:
        self.first = first
        self.second = second

    def prefix(self, start: First, /) -> bytes:
        """Return the first bytes of all pairs with this first."""
        data = self.first.encode(start)
        return data.replace(b"\0", b"\0\1") + b"\0\0" if self.first.size_bytes is None else data

    def encode(self, item: tuple[First, Second], /) -> bytes:
        """Return both encodings."""
        _expect(tuple, item)
        first, second = item
        return self.prefix(first) + self.second.encode(second)

    def decode(self, data: bytes, /) -> tuple[First, Second]:
        """Read both."""
        if (size := self.first.size_bytes) is not None:
            return self.first.decode(data[:size]), self.second.decode(data[size:])
        first, end, second = data.partition(b"\0\0")
        if not end:
            raise ValueError("the pair's first has no end")
        return self.first.decode(first.replace(b"\0\1", b"\0")), self.second.decode(second)


class UuidSetCodec:
    """Sets of UUIDs, as their 16 bytes each."""

    def encode(self, item: set[UUID], /) -> bytes:
        """Return the UUIDs in their order."""
        _expect(set, item)
        return b"".join(sorted(uuid.bytes for uuid in item))

    def decode(self, data: bytes, /) -> set[UUID]:
        """Read the UUIDs."""
        return {UUID(bytes=data[start : start + 16]) for start in range(0, len(data), 16)}


class _Marshalled(Generic[T]):
    def __init__(self, marshal: Callable[[T], Any], unmarshal: Callable[[Any], T]) -> None:
        self._marshal = marshal
        self._unmarshal = unmarshal


class JsonCodec(_Marshalled[T]):
    """Objects as compact JSON, through two functions that turn them into JSON's types and back."""

    def encode(self, item: T, /) -> bytes:
        """Return JSON as UTF-8; NaN and infinities, which JSON doesn't have, are refused."""
        obj = self._marshal(item)
        return json.dumps(obj, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()

    def decode(self, data: bytes, /) -> T:
        """Read JSON."""
        return self._unmarshal(json.loads(data))


class CborCodec(_Marshalled[T]):
    """Objects as CBOR (RFC 8949), through two functions that turn them into CBOR's types and back."""

    def encode(self, item: T, /) -> bytes:
        """Return CBOR."""
        import cbor2  # only maps to CBOR, and the directory, need this extra

        return cbor2.dumps(self._marshal(item))

    def decode(self, data: bytes, /) -> T:
        """Read CBOR."""
        import cbor2

        return self._unmarshal(cbor2.loads(data))


class PickleCodec:
    """Any Python objects. A client that can write to etcd can run any code in a process that reads them."""

    def encode(self, item: Any, /) -> bytes:
        """Return a pickle that every supported Python reads."""
        import pickle

        return pickle.dumps(item, protocol=4)

    def decode(self, data: bytes, /) -> Any:
        """Read a pickle, which runs the code in it."""
        import pickle

        return pickle.loads(data)  # noqa: S301 - the map's constructor asks for trust in every writer


class FlatBuffersCodec(Generic[T]):
    """FlatBuffers tables: `build` adds an object to a builder, `cast` reads it from bytes."""

    def __init__(self, build: Callable[[T, Any], int], cast: Callable[[bytes], T]) -> None:
        self._build = build
        self._cast = cast

    def encode(self, item: T, /) -> bytes:
        """Return a finished buffer."""
        import flatbuffers

        builder = flatbuffers.Builder(0)
        builder.Finish(self._build(item, builder))
        return bytes(builder.Output())

    def decode(self, data: bytes, /) -> T:
        """Read a buffer. Its fields are decoded when they are read."""
        return self._cast(data)
