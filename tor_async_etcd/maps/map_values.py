"""The base classes of the maps of `pmap`, one for each type of values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from tor_async_etcd.maps.codecs import (
    BinaryCodec,
    CborCodec,
    FlatBuffersCodec,
    JsonCodec,
    KeyCodec,
    OidCodec,
    PickleCodec,
    StringCodec,
    UuidCodec,
    UuidSetCodec,
)
from tor_async_etcd.maps.map import Map

if TYPE_CHECKING:
    from collections.abc import Callable

K = TypeVar("K")
V = TypeVar("V")


class StringValues(Map[K, str]):
    """Maps to strings."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int) -> None:
        super().__init__(slot, self.keys, StringCodec())


class BinaryValues(Map[K, bytes]):
    """Maps to bytes."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int) -> None:
        super().__init__(slot, self.keys, BinaryCodec())


class OidValues(Map[K, int]):
    """Maps to object ids."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int) -> None:
        super().__init__(slot, self.keys, OidCodec())


class UuidValues(Map[K, UUID]):
    """Maps to UUIDs."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int) -> None:
        super().__init__(slot, self.keys, UuidCodec())


class UuidSetValues(Map[K, set[UUID]]):
    """Maps to sets of UUIDs."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int) -> None:
        super().__init__(slot, self.keys, UuidSetCodec())


class JsonValues(Map[K, V]):
    """Maps to objects as JSON, which `marshal` turns into JSON's types and `unmarshal` back."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int, marshal: Callable[[V], Any], unmarshal: Callable[[Any], V]) -> None:
        super().__init__(slot, self.keys, JsonCodec(marshal, unmarshal))


class CborValues(Map[K, V]):
    """Maps to objects as CBOR, which `marshal` turns into CBOR's types and `unmarshal` back."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int, marshal: Callable[[V], Any], unmarshal: Callable[[Any], V]) -> None:
        super().__init__(slot, self.keys, CborCodec(marshal, unmarshal))


class PickleValues(Map[K, Any]):
    """Maps to any Python objects, as pickles.

    To read a pickle is to run the code in it. So an attacker that can write to the etcd, with a stolen
    password or through a fault of another service, can run any code in every process that reads the map.
    Prefer JSON or CBOR.
    """

    keys: KeyCodec[Any]

    def __init__(self, slot: int, *, trust_every_writer: bool = False) -> None:
        """Raises TypeError unless `trust_every_writer` is True, which accepts that danger."""
        if trust_every_writer is not True:
            raise TypeError(
                "a client that can write a pickle can run any code where it is read:"
                " use a map to JSON or CBOR, or accept that with trust_every_writer=True"
            )
        super().__init__(slot, self.keys, PickleCodec())


class FlatBuffersValues(Map[K, V]):
    """Maps to FlatBuffers: `build(object, builder)` returns a table's offset, `cast` reads it from bytes."""

    keys: KeyCodec[Any]

    def __init__(self, slot: int, build: Callable[[V, Any], int], cast: Callable[[bytes], V]) -> None:
        super().__init__(slot, self.keys, FlatBuffersCodec(build, cast))
