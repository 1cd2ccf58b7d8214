"""The typed maps. A name is "Map", the type of the keys, and the type of the values."""

from __future__ import annotations

from typing import TypeVar
from uuid import UUID

from tor_async_etcd.maps import map_values as values
from tor_async_etcd.maps.codecs import BinaryCodec, OidCodec, PairCodec, SlotCodec, StringCodec, UuidCodec
from tor_async_etcd.maps.directory import table
from tor_async_etcd.maps.map import Map

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


class MapUuidString(values.StringValues[UUID]):
    """UUIDs to strings."""

    keys = UuidCodec()


class MapUuidBinary(values.BinaryValues[UUID]):
    """UUIDs to bytes."""

    keys = UuidCodec()


class MapUuidOid(values.OidValues[UUID]):
    """UUIDs to integers from 0 to 2**53."""

    keys = UuidCodec()


class MapUuidUuid(values.UuidValues[UUID]):
    """UUIDs to UUIDs."""

    keys = UuidCodec()


class MapUuidJson(values.JsonValues[UUID, V]):
    """UUIDs to objects as JSON."""

    keys = UuidCodec()


class MapUuidCbor(values.CborValues[UUID, V]):
    """UUIDs to objects as CBOR."""

    keys = UuidCodec()


class MapUuidPickle(values.PickleValues[UUID]):
    """UUIDs to pickled objects."""

    keys = UuidCodec()


class MapUuidFlatBuffers(values.FlatBuffersValues[UUID, V]):
    """UUIDs to objects as FlatBuffers."""

    keys = UuidCodec()


class MapStringString(values.StringValues[str]):
    """Strings to strings."""

    keys = StringCodec()


class MapStringBinary(values.BinaryValues[str]):
    """Strings to bytes."""

    keys = StringCodec()


class MapStringOid(values.OidValues[str]):
    """Strings to integers from 0 to 2**53."""

    keys = StringCodec()


class MapStringUuid(values.UuidValues[str]):
    """Strings to UUIDs."""

    keys = StringCodec()


class MapStringJson(values.JsonValues[str, V]):
    """Strings to objects as JSON."""

    keys = StringCodec()


class MapStringCbor(values.CborValues[str, V]):
    """Strings to objects as CBOR."""

    keys = StringCodec()


class MapStringPickle(values.PickleValues[str]):
    """Strings to pickled objects."""

    keys = StringCodec()


class MapStringFlatBuffers(values.FlatBuffersValues[str, V]):
    """Strings to objects as FlatBuffers."""

    keys = StringCodec()


class MapOidString(values.StringValues[int]):
    """Integers from 0 to 2**53 to strings."""

    keys = OidCodec()


class MapOidBinary(values.BinaryValues[int]):
    """Integers from 0 to 2**53 to bytes."""

    keys = OidCodec()


class MapOidOid(values.OidValues[int]):
    """Integers from 0 to 2**53 to integers from 0 to 2**53."""

    keys = OidCodec()


class MapOidUuid(values.UuidValues[int]):
    """Integers from 0 to 2**53 to UUIDs."""

    keys = OidCodec()


class MapOidJson(values.JsonValues[int, V]):
    """Integers from 0 to 2**53 to objects as JSON."""

    keys = OidCodec()


class MapOidCbor(values.CborValues[int, V]):
    """Integers from 0 to 2**53 to objects as CBOR."""

    keys = OidCodec()


class MapOidPickle(values.PickleValues[int]):
    """Integers from 0 to 2**53 to pickled objects."""

    keys = OidCodec()


class MapOidFlatBuffers(values.FlatBuffersValues[int, V]):
    """Integers from 0 to 2**53 to objects as FlatBuffers."""

    keys = OidCodec()


class MapBinaryBinary(values.BinaryValues[bytes]):
    """Bytes to bytes."""

    keys = BinaryCodec()


class MapUuidUuidSet(values.UuidSetValues[UUID]):
    """UUIDs to sets of UUIDs."""

    keys = UuidCodec()


class MapUuidUuidCbor(values.CborValues[tuple[UUID, UUID], V]):
    """Pairs of UUIDs to objects as CBOR."""

    keys = PairCodec(UuidCodec(), UuidCodec())


class MapUuidUuidUuid(values.UuidValues[tuple[UUID, UUID]]):
    """Pairs of UUIDs to UUIDs."""

    keys = PairCodec(UuidCodec(), UuidCodec())


class MapUuidStringUuid(values.UuidValues[tuple[UUID, str]]):
    """Pairs of a UUID and a string to UUIDs."""

    keys = PairCodec(UuidCodec(), StringCodec())


class MapStringUuidUuid(values.UuidValues[tuple[str, UUID]]):
    """Pairs of a string and a UUID to UUIDs: a non-unique index of strings."""

    keys = PairCodec(StringCodec(), UuidCodec())


class MapStringOidOid(values.OidValues[tuple[str, int]]):
    """Pairs of a string and an integer to integers: a non-unique index of strings."""

    keys = PairCodec(StringCodec(), OidCodec())


class MapSlotUuidUuid(values.UuidValues[tuple[int, UUID]]):
    """Pairs of a slot and a UUID to UUIDs."""

    keys = PairCodec(SlotCodec(), UuidCodec())
