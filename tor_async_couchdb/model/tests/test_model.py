import types
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME, SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.model.properties import Immutable, Protection


class Box(Model, tag="box_v1.0"):
    name: Annotated[str, Immutable()]
    sides: Annotated[int, msgspec.Meta(ge=0)] = 6


def stored(**changes: Any) -> dict[str, Any]:
    return {"_id": "a", "_rev": "1-b", "type": "box_v1.0", "name": "n", "sides": 4} | changes


def test_new_model_has_neither_id_nor_rev() -> None:
    assert (Box(name="n").id, Box(name="n").rev) == (None, None)
    assert Box(name="n").as_doc_for_store() == {"type": "box_v1.0", "name": "n", "sides": 6}


def test_stored_model_keeps_its_id_and_rev_in_the_document() -> None:
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


def test_members_that_belong_to_couchdb_and_the_signature_are_no_properties() -> None:
    extras = {"_conflicts": ["1-c"], "_revisions": {}, "_foo": 1, SIGNATURE_PROPERTY_NAME: "sig"}
    assert Box.from_doc(stored(**extras)) == Box.from_doc(stored())


@pytest.mark.parametrize("nonces", [[".2.1.n0nce", ".1.1.n0nce"], [], "n0nce", {"n0nce": 1}])
def test_nonces_survive_a_change_and_are_never_shown(nonces: Any) -> None:
    document = stored(**{NONCES_PROPERTY_NAME: nonces})
    box = Box.from_doc(document)
    assert box.replace(sides=5).as_doc_for_store() == document | {"sides": 5}
    assert box.representation() == {"name": "n", "sides": 4}
    assert NONCES_PROPERTY_NAME not in Box.properties
    for shown in (repr(box), str(box.__rich_repr__())):
        assert "nonce" not in shown
        assert "n0nce" not in shown


def test_attachments_survive_a_change() -> None:
    stubs = {
        name: {"stub": True, "digest": "md5-a", "length": 1, "revpos": 1, "content_type": "text/plain"}
        for name in ("a.txt", "b/ü.png")
    }
    changed = Box.from_doc(stored(_attachments=stubs)).replace(sides=5)
    assert changed.attachments == stubs
    assert changed.as_doc_for_store() == stored(_attachments=stubs, sides=5)
    assert "_attachments" not in Box.from_doc(stored()).replace(sides=5).as_doc_for_store()


def test_replace_makes_a_copy() -> None:
    box = Box(id="a", rev="1-b", name="n")
    assert box.replace(sides=5) == Box(id="a", rev="1-b", name="n", sides=5)
    assert box.sides == 6


def test_representation_has_the_properties_but_no_hashes_and_nothing_of_couchdbs() -> None:
    class Account(Model, tag="account_v1.0"):
        name: Annotated[str, Protection.PUBLIC]
        pin_hash: Annotated[str, Protection.HASHED]
        address: Annotated[str | None, Protection.ENCRYPTED]

    account = Account(id="a", rev="1-b", attachments={}, name="n", pin_hash="h", address="x")
    assert account.representation() == {"name": "n", "address": "x"}
    assert Box(id="a", name="n").representation() == {"name": "n", "sides": 6}


def test_repr_hides_the_values_of_protected_properties() -> None:
    class Account(Model, tag="account_v1.0"):
        name: Annotated[str, Protection.PUBLIC]
        pin_hash: Annotated[str, Protection.HASHED]
        address: Annotated[str | None, Protection.ENCRYPTED]

    shown = repr(Account(name="n", pin_hash="s3cr3t", address="s3cr3t"))
    assert "s3cr3t" not in shown
    assert "name='n'" in shown


def test_model_can_not_be_changed_in_place() -> None:
    box = Box(name="n")
    with pytest.raises(AttributeError):
        box.name = "other"  # type: ignore[misc]  # a type checker refuses it too


def test_model_is_made_with_keywords_only() -> None:
    with pytest.raises(TypeError):
        Box("n")  # type: ignore[call-arg]  # a type checker refuses it too


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


def test_document_without_an_id_is_refused_too() -> None:
    with pytest.raises(InvalidDocumentError, match="property 'type' of document: missing"):
        Box.from_doc({})


@pytest.mark.parametrize(
    "tag", [None, "", "box", "box_v1", "box_1.0", "a box_v1.0", "box_v1.0 ", "box_v1.0\n"]
)
def test_type_without_a_name_or_a_version_is_refused_when_the_class_is_defined(tag: str | None) -> None:
    with pytest.raises(TypeError, match="Odd needs a type such as"):
        types.new_class("Odd", (Model,), {"tag": tag})


@pytest.mark.parametrize("tag", ["box_v1.0", "BOX_V10.22", "a-b.c_v0.1", "_v1.0_v1.0"])
def test_type_with_a_name_and_a_version_is_accepted(tag: str) -> None:
    model_class = types.new_class("Fine", (Model,), {"tag": tag})
    assert model_class().as_doc_for_store() == {"type": tag}


def test_model_has_the_declarations_of_its_properties() -> None:
    assert list(Box.properties) == ["name", "sides"]
    assert Box.properties["name"].merge == Immutable()
