"""The typed maps by name: "Map", the type of its keys, the type of its values."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from .codecs import BinaryCodec, OidCodec, PairCodec, SlotCodec, StringCodec, UuidCodec
from .directory import table
from .map_values import (
    BinaryValues,
    CborValues,
    FlatBuffersValues,
    JsonValues,
    OidValues,
    PickleValues,
    StringValues,
    UuidSetValues,
    UuidValues,
)
from .maps import Map

V = TypeVar("V")

__all__ = [
    "Map",
    "MapBinaryBinary",
    "MapOidBinary",
    "MapOidCbor",
    "MapOidFlatBuffers",
    "MapOidJson",
    "MapOidOid",
    "MapOidPickle",
    "MapOidString",
    "MapOidUuid",
    "MapSlotUuidUuid",
    "MapStringBinary",
    "MapStringCbor",
    "MapStringFlatBuffers",
    "MapStringJson",
    "MapStringOid",
    "MapStringOidOid",
    "MapStringPickle",
    "MapStringString",
    "MapStringUuid",
    "MapStringUuidUuid",
    "MapUuidBinary",
    "MapUuidCbor",
    "MapUuidFlatBuffers",
    "MapUuidJson",
    "MapUuidOid",
    "MapUuidPickle",
    "MapUuidString",
    "MapUuidStringUuid",
    "MapUuidUuid",
    "MapUuidUuidCbor",
    "MapUuidUuidSet",
    "MapUuidUuidUuid",
    "table",
]


class MapUuidString(StringValues[UUID]):
    """UUIDs to strings."""

    keys = UuidCodec()


class MapUuidBinary(BinaryValues[UUID]):
    """UUIDs to bytes."""

    keys = UuidCodec()


class MapUuidOid(OidValues[UUID]):
    """UUIDs to integers from 0 to 2**53."""

    keys = UuidCodec()


class MapUuidUuid(UuidValues[UUID]):
    """UUIDs to UUIDs."""

    keys = UuidCodec()


class MapUuidJson(JsonValues[UUID, V]):
    """UUIDs to objects as JSON."""

    keys = UuidCodec()


class MapUuidCbor(CborValues[UUID, V]):
    """UUIDs to objects as CBOR."""

    keys = UuidCodec()


class MapUuidPickle(PickleValues[UUID]):
    """UUIDs to pickled objects."""

    keys = UuidCodec()


class MapUuidFlatBuffers(FlatBuffersValues[UUID, V]):
    """UUIDs to objects as FlatBuffers."""

    keys = UuidCodec()


class MapStringString(StringValues[str]):
    """Strings to strings."""

    keys = StringCodec()


class MapStringBinary(BinaryValues[str]):
    """Strings to bytes."""

    keys = StringCodec()


class MapStringOid(OidValues[str]):
    """Strings to integers from 0 to 2**53."""

    keys = StringCodec()


class MapStringUuid(UuidValues[str]):
    """Strings to UUIDs."""

    keys = StringCodec()


class MapStringJson(JsonValues[str, V]):
    """Strings to objects as JSON."""

    keys = StringCodec()


class MapStringCbor(CborValues[str, V]):
    """Strings to objects as CBOR."""

    keys = StringCodec()


class MapStringPickle(PickleValues[str]):
    """Strings to pickled objects."""

    keys = StringCodec()


class MapStringFlatBuffers(FlatBuffersValues[str, V]):
    """Strings to objects as FlatBuffers."""

    keys = StringCodec()


class MapOidString(StringValues[int]):
    """Integers from 0 to 2**53 to strings."""

    keys = OidCodec()


class MapOidBinary(BinaryValues[int]):
    """Integers from 0 to 2**53 to bytes."""

    keys = OidCodec()


class MapOidOid(OidValues[int]):
    """Integers from 0 to 2**53 to integers from 0 to 2**53."""

    keys = OidCodec()


class MapOidUuid(UuidValues[int]):
    """Integers from 0 to 2**53 to UUIDs."""

    keys = OidCodec()


class MapOidJson(JsonValues[int, V]):
    """Integers from 0 to 2**53 to objects as JSON."""

    keys = OidCodec()


class MapOidCbor(CborValues[int, V]):
    """Integers from 0 to 2**53 to objects as CBOR."""

    keys = OidCodec()


class MapOidPickle(PickleValues[int]):
    """Integers from 0 to 2**53 to pickled objects."""

    keys = OidCodec()


class MapOidFlatBuffers(FlatBuffersValues[int, V]):
    """Integers from 0 to 2**53 to objects as FlatBuffers."""

    keys = OidCodec()


class MapBinaryBinary(BinaryValues[bytes]):
    """Bytes to bytes."""

    keys = BinaryCodec()


class MapUuidUuidSet(UuidSetValues[UUID]):
    """UUIDs to sets of UUIDs."""

    keys = UuidCodec()


class MapUuidUuidCbor(CborValues[tuple[UUID, UUID], V]):
    """Pairs of UUIDs to objects as CBOR."""

    keys = PairCodec(UuidCodec(), UuidCodec())


class MapUuidUuidUuid(UuidValues[tuple[UUID, UUID]]):
    """Pairs of UUIDs to UUIDs."""

    keys = PairCodec(UuidCodec(), UuidCodec())


class MapUuidStringUuid(UuidValues[tuple[UUID, str]]):
    """Pairs of a UUID and a string to UUIDs."""

    keys = PairCodec(UuidCodec(), StringCodec())


class MapStringUuidUuid(UuidValues[tuple[str, UUID]]):
    """Pairs of a string and a UUID to UUIDs: a non-unique index of strings."""

    keys = PairCodec(StringCodec(), UuidCodec())


class MapStringOidOid(OidValues[tuple[str, int]]):
    """Pairs of a string and an integer to integers: a non-unique index of strings."""

    keys = PairCodec(StringCodec(), OidCodec())


class MapSlotUuidUuid(UuidValues[tuple[int, UUID]]):
    """Pairs of a slot and a UUID to UUIDs."""

    keys = PairCodec(SlotCodec(), UuidCodec())
