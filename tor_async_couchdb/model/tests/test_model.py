import types
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import Immutable
from tor_async_couchdb.protection.signing import SIGNATURE_PROPERTY_NAME


class Box(Model, tag="box_v1.0"):
    name: Annotated[str, Immutable()]
    sides: Annotated[int, msgspec.Meta(ge=0)] = 6


def stored(**changes: Any) -> dict[str, Any]:
    return {"_id": "a", "_rev": "1-b", "type": "box_v1.0", "name": "n", "sides": 4} | changes


def test_new_model_has_neither_id_nor_rev() -> None:
    assert (Box(name="n").id, Box(name="n").rev) == (None, None)
    assert Box(name="n").as_doc_for_store() == {"type": "box_v1.0", "name": "n", "sides": 6}


def test_stored_model_carries_its_id_and_rev_into_the_document() -> None:
    box = Box.from_doc(stored())
    assert (box.id, box.rev, box.name, box.sides) == ("a", "1-b", "n", 4)
    assert box.as_doc_for_store() == stored()


def test_empty_id_is_an_id() -> None:
    assert Box(id="", rev="", name="n").as_doc_for_store()["_id"] == ""
    assert Box(id="", rev="", name="n").as_doc_for_store()["_rev"] == ""


@given(st.text(), st.integers(0, 2**53))
def test_model_survives_its_document(name: str, sides: int) -> None:
    box = Box(id="a", rev="1-b", name=name, sides=sides)
    assert Box.from_doc(box.as_doc_for_store()) == box


def test_what_belongs_to_couchdb_or_to_the_signature_is_no_property() -> None:
    extras = {"_conflicts": ["1-c"], "_attachments": {}, "_revisions": {}, SIGNATURE_PROPERTY_NAME: "sig"}
    assert Box.from_doc(stored(**extras)) == Box.from_doc(stored())


def test_model_is_never_changed_in_place() -> None:
    box = Box(name="n")
    with pytest.raises(AttributeError):
        box.name = "other"  # type: ignore[misc]  # that is the point


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in stored().items() if key != name}


@pytest.mark.parametrize(
    ("doc", "words"),
    [
        (without("type"), "'type'"),
        (stored(type="fruit_v1.0"), "fruit_v1.0"),
        (stored(type="box_v2.0"), "box_v2.0"),
        (stored(type=None), "type"),
        (stored(type=1), "type"),
        (stored(type=["box_v1.0"]), "type"),
        (without("name"), "name"),
        (stored(name=1), "name"),
        (stored(name=None), "name"),
        (stored(sides="4"), "sides"),
        (stored(sides=-1), "sides"),
        (stored(sides=1.5), "sides"),
        (stored(color="red"), "color"),
        (stored(**{"": 1}), "``"),
    ],
)
def test_document_that_does_not_fit_names_itself_and_the_property(doc: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        Box.from_doc(doc)
    assert "document 'a'" in str(caught.value)
    assert words in str(caught.value)
    assert caught.value.document_id == "a"


def test_document_without_an_id_can_be_refused_too() -> None:
    with pytest.raises(InvalidDocumentError, match="property 'type' of document: missing"):
        Box.from_doc({})


@pytest.mark.parametrize(
    "tag", [None, "", "box", "box_v1", "box_1.0", "a box_v1.0", "box_v1.0 ", "box_v1.0\n"]
)
def test_type_without_a_name_or_a_version_is_refused_when_the_class_is_made(tag: str | None) -> None:
    with pytest.raises(TypeError, match="Odd needs a type such as"):
        types.new_class("Odd", (Model,), {"tag": tag, "frozen": True, "kw_only": True})


@pytest.mark.parametrize("tag", ["box_v1.0", "BOX_V10.22", "a-b.c_v0.1", "_v1.0_v1.0"])
def test_type_with_a_name_and_a_version_is_taken(tag: str) -> None:
    model_class = types.new_class("Fine", (Model,), {"tag": tag, "frozen": True, "kw_only": True})
    assert model_class().as_doc_for_store() == {"type": tag}


def test_model_tells_what_its_properties_declare() -> None:
    assert list(Box.properties) == ["name", "sides"]
    assert Box.properties["name"].merge == Immutable()
