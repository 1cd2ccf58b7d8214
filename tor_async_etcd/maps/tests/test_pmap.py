from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID, uuid4

import flatbuffers
import pytest

from tor_async_etcd import Client, Database, pmap

SEEDS_NAMES = [
    *[
        f"Map{key}{value}"
        for key in ("Uuid", "String", "Oid")
        for value in ("String", "Oid", "Uuid", "Json", "Cbor", "Pickle", "FlatBuffers")
    ],
    "MapUuidUuidSet",
    "MapUuidUuidCbor",
    "MapUuidStringUuid",
    "MapSlotUuidUuid",
]


@dataclass(frozen=True)
class User:
    oid: UUID
    name: str

    def marshal(self) -> dict[str, Any]:
        return {"oid": self.oid.bytes, "name": self.name}

    @classmethod
    def parse(cls, obj: dict[str, Any]) -> Self:
        return cls(UUID(bytes=obj["oid"]), obj["name"])


def same(obj: Any) -> Any:
    return obj


def build(text: str, builder: Any) -> int:
    """Build the FlatBuffers table {text: string}."""
    offset = builder.CreateString(text)
    builder.StartObject(1)
    builder.PrependUOffsetTRelativeSlot(0, offset, 0)
    return int(builder.EndObject())


def cast(data: bytes) -> str:
    root = flatbuffers.table.Table(data, flatbuffers.encode.Get(flatbuffers.packer.uoffset, data, 0))
    return str(root.String(root.Pos + root.Offset(4)).decode())


KEYS: dict[str, Any] = {
    "Uuid": uuid4(),
    "String": "key",
    "Oid": 7,
    "Binary": b"\0\xff",
    "UuidUuid": (uuid4(), uuid4()),
    "UuidString": (uuid4(), "key"),
    "StringUuid": ("key", uuid4()),
    "StringOid": ("key", 7),
    "SlotUuid": (7, uuid4()),
}
VALUES: dict[str, tuple[Any, dict[str, Any]]] = {
    "String": ("", {}),
    "Binary": (b"", {}),
    "Oid": (0, {}),
    "Uuid": (uuid4(), {}),
    "UuidSet": ({uuid4(), uuid4()}, {}),
    "Json": ({"a": [1, None]}, {"marshal": same, "unmarshal": same}),
    "Cbor": ({"a": b"\0"}, {"marshal": same, "unmarshal": same}),
    "Pickle": (complex(1, 2), {"trust_every_writer": True}),
    "FlatBuffers": ("text", {"build": build, "cast": cast}),
}
PAIRS = {
    "MapUuidUuidCbor": ("UuidUuid", "Cbor"),
    "MapUuidUuidUuid": ("UuidUuid", "Uuid"),
    "MapUuidStringUuid": ("UuidString", "Uuid"),
    "MapStringUuidUuid": ("StringUuid", "Uuid"),
    "MapStringOidOid": ("StringOid", "Oid"),
    "MapSlotUuidUuid": ("SlotUuid", "Uuid"),
}


def parts(name: str) -> tuple[str, str]:
    if name in PAIRS:
        return PAIRS[name]
    key = next(key for key in ("Uuid", "String", "Oid", "Binary") if name.startswith(f"Map{key}"))
    return key, name.removeprefix(f"Map{key}")


def test_seeds_25_names_are_there() -> None:
    assert len(SEEDS_NAMES) == 25
    assert set(SEEDS_NAMES) <= set(pmap.__all__)


@pytest.mark.parametrize("name", sorted(set(pmap.__all__) - {"Map", "table"}))
async def test_every_map_keeps_what_its_name_says(client: Client, prefix: bytes, name: str) -> None:
    key_name, value_name = parts(name)
    key, (value, options) = KEYS[key_name], VALUES[value_name]
    db = Database(client, prefix)
    table = getattr(pmap, name)(1, **options)
    async with db.begin(write=True) as txn:
        table[txn, key] = value
    async with db.begin() as txn:
        assert await table[txn, key] == value
        assert [item async for item in table.select(txn)] == [(key, value)]


def test_pickle_says_why_it_has_to_be_asked_for() -> None:
    with pytest.raises(TypeError, match="can run any code"):
        pmap.MapUuidPickle(1)


async def test_seeds_example(client: Client, prefix: bytes) -> None:
    db = Database(client, prefix)
    user = User(uuid4(), "homer")
    tab_users = pmap.MapUuidCbor(1, marshal=lambda user: user.marshal(), unmarshal=User.parse)
    async with db.begin(write=True) as txn:
        tab_users[txn, user.oid] = user
    async with db.begin() as txn:
        found = await tab_users[txn, user.oid]
    assert found == user
