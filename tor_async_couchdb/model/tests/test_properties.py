from typing import Annotated

import msgspec
import pytest

from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import (
    AddsWin,
    ChangeCount,
    Counter,
    Immutable,
    Latest,
    LatestBy,
    Property,
    Protection,
    Subject,
    UniqueKey,
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
    plain: str


class Classified(msgspec.Struct):
    id: str
    key: Annotated[str, Immutable(), Protection.PUBLIC, Subject()]
    secret: Annotated[str | None, Protection.ENCRYPTED]
    pin: Annotated[str, Protection.HASHED, Immutable()]


def test_each_property_has_its_merge_strategy_and_its_protection() -> None:
    assert declared_properties(Declared) == {
        "key": Property("key", Immutable(), Protection.PUBLIC),
        "color": Property("color", LatestBy("updated_on"), Protection.PUBLIC),
        "updated_on": Property("updated_on", Latest(), Protection.PUBLIC),
        "count": Property("count", Counter(), Protection.PUBLIC),
        "plain": Property("plain", None, Protection.PUBLIC),
    }
    assert declared_properties(Classified) == {
        "key": Property("key", Immutable(), Protection.PUBLIC, None, Subject()),
        "secret": Property("secret", None, Protection.ENCRYPTED),
        "pin": Property("pin", Immutable(), Protection.HASHED),
    }


def test_if_one_property_is_classified_all_must_be() -> None:
    class HalfClassified(msgspec.Struct):
        pin: Annotated[str, Protection.HASHED]
        color: Annotated[Color, Immutable()]

    with pytest.raises(TypeError, match=r"HalfClassified\.color is not classified, but other properties are"):
        declared_properties(HalfClassified)


def test_model_with_an_unclassified_property_is_an_error_when_its_class_is_defined() -> None:
    with pytest.raises(TypeError, match=r"Secret\.address is not classified"):

        class Secret(Model, tag="secret_v1.0"):
            pin: Annotated[str, Protection.HASHED]
            address: str


def test_encrypted_property_that_does_not_allow_none_is_refused() -> None:
    class Lasting(msgspec.Struct):
        address: Annotated[str, Protection.ENCRYPTED]

    with pytest.raises(TypeError, match=r"Lasting\.address is encrypted, so it has to allow None"):
        declared_properties(Lasting)


@pytest.mark.parametrize("role", [UniqueKey("thing_by_key"), Subject()])
def test_unique_key_or_subject_is_immutable_without_saying_so(role: object) -> None:
    class Found(msgspec.Struct):
        key: Annotated[str, role]

    assert declared_properties(Found)["key"].merge == Immutable()


@pytest.mark.parametrize("merge", [Latest(), Counter(), AddsWin()])
def test_unique_key_that_may_change_is_refused(merge: object) -> None:
    class Moving(msgspec.Struct):
        key: Annotated[str, UniqueKey("thing_by_key"), merge]

    with pytest.raises(TypeError, match="property 'key' is a unique key, so it has to be Immutable"):
        declared_properties(Moving)


def test_change_count_is_declared_beside_a_merge_strategy() -> None:
    class Counted(msgspec.Struct):
        changes: Annotated[int, ChangeCount(), Latest()]

    declared = declared_properties(Counted)["changes"]
    assert (declared.change_count, declared.merge) == (ChangeCount(), Latest())


@pytest.mark.parametrize("role", [UniqueKey("thing_by_key"), Subject()])
def test_encrypted_property_that_finds_documents_is_refused(role: object) -> None:
    class Lost(msgspec.Struct):
        key: Annotated[str | None, Immutable(), Protection.ENCRYPTED, role]

    with pytest.raises(TypeError, match=r"Lost\.key is encrypted, so no document can be found by it"):
        declared_properties(Lost)


def test_subject_that_may_change_is_refused() -> None:
    class Moving(msgspec.Struct):
        owner: Annotated[str, Latest(), Subject()]

    with pytest.raises(TypeError, match="property 'owner' is the subject, so it has to be Immutable"):
        declared_properties(Moving)


def test_second_subject_is_refused() -> None:
    class Split(msgspec.Struct):
        owner: Annotated[str, Immutable(), Subject()]
        buyer: Annotated[str, Immutable(), Subject()]

    with pytest.raises(TypeError, match=r"Split\.buyer is a second subject"):
        declared_properties(Split)


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


def test_merging_by_a_name_that_is_no_property_is_refused() -> None:
    class Lost(msgspec.Struct):
        color: Annotated[str, LatestBy("moment")]

    with pytest.raises(TypeError, match=r"Lost\.color merges by 'moment', which is not a property"):
        declared_properties(Lost)
