"""A model in two versions: one property was renamed, and has a secret."""

from typing import Annotated, Any, ClassVar

from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import Counter, Immutable, Latest, LatestBy, Protection


class HouseV1(Model, tag="house_v1.0"):
    """A house has one color."""

    color: Annotated[str, LatestBy("painted_on")]
    painted_on: Annotated[int, Latest()]
    counts: Annotated[dict[str, int], Counter()]


def in_two(document: Document) -> Document:
    """A house of version 1 with the properties of version 2."""
    walls, _, roof = document["color"].partition(" ")
    return document | {"walls": walls, "roof": roof}


class HouseV2(Model, tag="house_v2.0"):
    """A house has a color for its walls and one for its roof."""

    reads: ClassVar = {"house_v1.0": in_two}

    walls: Annotated[str, LatestBy("painted_on")]
    roof: Annotated[str, LatestBy("painted_on")]
    painted_on: Annotated[int, Latest()]
    counts: Annotated[dict[str, int], Counter()]


class SafeV1(Model, tag="safe_v1.0"):
    """A safe and its encrypted code."""

    code: Annotated[str | None, Immutable(), Protection.ENCRYPTED] = None


def renamed(document: Document) -> Document:
    """A safe of version 1 with the properties of version 2."""
    return document | {"combination": document["code"]}


class SafeV2(Model, tag="safe_v2.0"):
    """A safe whose encrypted code has another name."""

    reads: ClassVar = {"safe_v1.0": renamed}
    encrypted_elsewhere: ClassVar = ("code",)

    combination: Annotated[str | None, Immutable(), Protection.ENCRYPTED] = None


def house(**properties: Any) -> Document:
    """The document of a house of version 1."""
    return {
        "_id": "1",
        "type": "house_v1.0",
        "color": "white red",
        "painted_on": 1,
        "counts": {},
    } | properties
