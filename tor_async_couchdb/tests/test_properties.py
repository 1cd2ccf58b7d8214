from typing import Annotated

import msgspec
import pytest

from tor_async_couchdb.properties import (
    Counter,
    Immutable,
    Latest,
    LatestBy,
    Property,
    Protection,
    declared_properties,
)

Color = Annotated[str, msgspec.Meta(min_length=1)]


class Declared(msgspec.Struct):
    id: str
    rev: str
    key: Annotated[str, Immutable()]
    color: Annotated[str, msgspec.Meta(min_length=1), LatestBy("updated_on")]
    updated_on: Annotated[str, Latest()]
    count: Annotated[int, Counter()]
    secret: Annotated[str, Protection.ENCRYPTED]
    pin: Annotated[str, Protection.HASHED, Immutable()]
    plain: str


def test_each_property_tells_its_merge_strategy_and_its_protection() -> None:
    assert declared_properties(Declared) == {
        "key": Property("key", Immutable(), Protection.PUBLIC),
        "color": Property("color", LatestBy("updated_on"), Protection.PUBLIC),
        "updated_on": Property("updated_on", Latest(), Protection.PUBLIC),
        "count": Property("count", Counter(), Protection.PUBLIC),
        "secret": Property("secret", None, Protection.ENCRYPTED),
        "pin": Property("pin", Immutable(), Protection.HASHED),
        "plain": Property("plain", None, Protection.PUBLIC),
    }


def test_constrained_type_keeps_its_declaration() -> None:
    class Nested(msgspec.Struct):
        color: Annotated[Color, Latest()]

    assert declared_properties(Nested)["color"].merge == Latest()


def test_two_strategies_are_refused() -> None:
    class Torn(msgspec.Struct):
        color: Annotated[str, Latest(), Immutable()]

    with pytest.raises(TypeError, match="property 'color' declares more than one MergeStrategy"):
        declared_properties(Torn)


def test_two_protections_are_refused() -> None:
    class Torn(msgspec.Struct):
        color: Annotated[str, Protection.HASHED, Protection.ENCRYPTED]

    with pytest.raises(TypeError, match="property 'color' declares more than one"):
        declared_properties(Torn)


def test_merging_by_what_is_no_property_is_refused() -> None:
    class Lost(msgspec.Struct):
        color: Annotated[str, LatestBy("moment")]

    with pytest.raises(TypeError, match=r"Lost\.color merges by 'moment', which is not a property"):
        declared_properties(Lost)
