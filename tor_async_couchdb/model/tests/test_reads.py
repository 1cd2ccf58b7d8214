"""A model reads what other versions of it have written."""

import pytest

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME, SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.tests.houses import HouseV1, HouseV2, SafeV2, house


def test_older_document_is_read_with_the_newer_properties_and_written_as_the_newer_type() -> None:
    read = HouseV2.from_doc(house())
    assert (read.walls, read.roof) == ("white", "red")
    stored = read.as_doc_for_store()
    assert stored["type"] == "house_v2.0"
    assert "color" not in stored
    assert HouseV2.from_doc(stored) == read


def test_what_couchdb_owns_is_kept_and_the_signature_is_not_seen() -> None:
    own = {"_rev": "1-a", "_attachments": {"photo": {"stub": True}}, NONCES_PROPERTY_NAME: [".a"]}
    stored = HouseV2.from_doc(house(**own, **{SIGNATURE_PROPERTY_NAME: "s"})).as_doc_for_store()
    assert stored.items() >= own.items()
    assert SIGNATURE_PROPERTY_NAME not in stored


def test_model_reads_only_types_that_it_names() -> None:
    assert HouseV2.document_types == {"house_v1.0", "house_v2.0"}
    assert HouseV1.document_types == {"house_v1.0"}
    newer = HouseV2.from_doc(house()).as_doc_for_store()
    with pytest.raises(InvalidDocumentError):
        HouseV1.from_doc(newer)
    with pytest.raises(InvalidDocumentError):
        HouseV2.from_doc(house(type="house_v3.0"))
    with pytest.raises(InvalidDocumentError):
        HouseV2.from_doc(house(type=["house_v1.0"]))


def test_unknown_property_of_the_own_type_is_still_refused() -> None:
    with pytest.raises(InvalidDocumentError, match="doors"):
        HouseV2.from_doc(HouseV2.from_doc(house()).as_doc_for_store() | {"doors": 2})


def test_older_document_that_lacks_a_property_is_named_with_it() -> None:
    incomplete = house()
    del incomplete["color"]
    with pytest.raises(
        InvalidDocumentError, match=r"'1': of type house_v1\.0 can't be read .*'color' is missing"
    ):
        HouseV2.from_doc(incomplete)


def test_wrong_values_of_an_older_document_are_not_quoted() -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        HouseV2.from_doc(house(color=["a secret"]))
    assert "a property has a wrong value" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_converted_properties_are_checked() -> None:
    with pytest.raises(InvalidDocumentError, match="painted_on"):
        HouseV2.from_doc(house(painted_on="today"))


def test_properties_that_another_version_encrypts_are_decrypted() -> None:
    assert SafeV2.encrypted_names == ("combination",)
    assert SafeV2.decrypted_names == ("combination", "code")
