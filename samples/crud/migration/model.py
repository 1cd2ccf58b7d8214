"""The data: fruits of two versions, and how each version reads what the other has written."""

import uuid
from typing import Annotated, Any, ClassVar, Self

import msgspec

import tor_async_couchdb as couchdb
from tor_async_couchdb import Document, Immutable, Latest, LatestBy, Model, Timestamp, UniqueKey

Color = Annotated[str, msgspec.Meta(min_length=1)]
_SHOWN = ("fruit_id", "color", "created_on", "updated_on", "change_count")


def _split(fruit: Document) -> Document:
    """A fruit of any version with what version 2 has. If version 1 wrote last, its color is the truth."""
    if fruit["type"] == "fruit_v2.0":
        return fruit
    *shade, hue = fruit["color"].rsplit(" ", 1)
    return fruit | {"shade": shade[0] if shade else None, "hue": hue, "changed_on": fruit["updated_on"]}


def _joined(fruit: Document) -> Document:
    """A fruit of any version with what both versions have."""
    fruit = _split(fruit)
    color = fruit["hue"] if fruit["shade"] is None else f"{fruit['shade']} {fruit['hue']}"
    return fruit | {"color": color, "updated_on": fruit["changed_on"]}


class Fruit(Model, tag="fruit_v1.0"):
    """What all versions have. Clients see version 1, and what they ask for is done to any version."""

    fruit_id: Annotated[str, UniqueKey("fruit_by_fruit_id")]
    created_on: Annotated[Timestamp, Immutable()]
    change_count: Annotated[int, msgspec.Meta(ge=0), Latest()] = 0

    @classmethod
    def create(cls, color: Color) -> Self:
        """A new fruit with an id of its own."""
        fruit = {"type": "fruit_v1.0", "fruit_id": uuid.uuid4().hex, "color": color}
        return cls.from_doc(fruit | dict.fromkeys(("created_on", "updated_on"), couchdb.now()))

    def change_color(self, color: Color) -> Self:
        """The fruit in another color, or again in the same one."""
        changes = {"color": color, "updated_on": couchdb.next_after(self.representation()["updated_on"])}
        fruit = self.as_doc_for_store() | {"type": "fruit_v1.0", "change_count": self.change_count + 1}
        return self.from_doc(fruit | changes)

    def representation(self) -> dict[str, Any]:
        shown = _joined(self.as_doc_for_store())
        return {name: shown[name] for name in _SHOWN}


class FruitV1(Fruit, tag="fruit_v1.0"):
    """The color is one text, such as "dark red". Of version 2 it reads what it knows."""

    reads: ClassVar = {"fruit_v2.0": dict}
    color: Annotated[Color, LatestBy("updated_on")]
    updated_on: Annotated[Timestamp, Latest()]


class FruitV2(Fruit, tag="fruit_v2.0"):
    """The color is split in two, and `updated_on` has another name."""

    reads: ClassVar = {"fruit_v1.0": _split, "fruit_v2.0": _split}
    shade: Annotated[str | None, LatestBy("changed_on")]
    hue: Annotated[str, LatestBy("changed_on")]
    changed_on: Annotated[Timestamp, Latest()]


class ExpandedFruitV2(FruitV2, tag="fruit_v2.0"):
    """Version 2 with what version 1 needs, as long as that is there."""

    reads: ClassVar = {"fruit_v1.0": _joined, "fruit_v2.0": _joined}
    color: Annotated[Color, LatestBy("changed_on")]
    updated_on: Annotated[Timestamp, Latest()]


# After "2-only" there is no going back to "1".
VERSIONS: dict[str, type[Fruit]] = {"1": FruitV1, "2": ExpandedFruitV2, "2-only": FruitV2}
