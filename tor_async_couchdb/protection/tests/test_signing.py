import copy
import json
import math
import os
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tor_async_couchdb.errors import InvalidDocumentError
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer

_LARGEST_EXACT = 2**53 - 1

signable_numbers = st.one_of(
    st.integers(-_LARGEST_EXACT, _LARGEST_EXACT),
    st.floats(-float(_LARGEST_EXACT), float(_LARGEST_EXACT), allow_subnormal=False),
    st.floats(min_value=1e21, allow_infinity=False),
)
names = st.text().filter(lambda name: name != "__proto__")  # which the stand-in, being JavaScript, drops
json_values = st.recursive(
    st.none() | st.booleans() | signable_numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=10,
)
property_names = st.text(min_size=1).filter(lambda name: not name.startswith("_"))
bodies = st.dictionaries(property_names, json_values, max_size=4)


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> TamperingSigner:
    return _new_signer(tmp_path_factory.mktemp("keys") / "set.json")


def _new_signer(path: Path) -> TamperingSigner:
    signing.new_key_set(path)
    return TamperingSigner.from_file(path)


def _fruit(**changes: Any) -> dict[str, Any]:
    return {"_id": "e370582d", "type": "fruit_v1.0", "color": "red", "size": 1, **changes}


def test_signing_adds_one_property_to_the_document_that_it_returns(signer: TamperingSigner) -> None:
    doc = _fruit()
    assert signing.sign(signer, doc) is doc
    assert set(doc) - set(_fruit()) == {"801dbe4659a641739cbe94fcf0baab03_tampering_v1.0_sig"}
    assert isinstance(doc[SIGNATURE_PROPERTY_NAME], str)
    assert signing.verify(signer, doc) is True


def test_signing_again_gives_the_same_signature(signer: TamperingSigner) -> None:
    doc = signing.sign(signer, _fruit())
    signature = doc[SIGNATURE_PROPERTY_NAME]
    assert signing.sign(signer, doc)[SIGNATURE_PROPERTY_NAME] == signature


@pytest.mark.parametrize(
    "change",
    [
        {"color": "blue"},
        {"type": "fruit_v1.1"},
        {"_id": "another document's"},
        {"size": 2},
        {"size": "1"},
        {"size": True},
        {"added": None},
        {SIGNATURE_PROPERTY_NAME: "dave"},
        {SIGNATURE_PROPERTY_NAME: ""},
        {SIGNATURE_PROPERTY_NAME: "Zm9v"},
        {SIGNATURE_PROPERTY_NAME: "é"},
        {SIGNATURE_PROPERTY_NAME: None},
        {SIGNATURE_PROPERTY_NAME: 7},
    ],
)
def test_changed_document_does_not_verify(signer: TamperingSigner, change: dict[str, Any]) -> None:
    assert signing.verify(signer, signing.sign(signer, _fruit()) | change) is False


@pytest.mark.parametrize("name", ["color", "type", "_id", SIGNATURE_PROPERTY_NAME])
def test_document_that_lost_a_property_does_not_verify(signer: TamperingSigner, name: str) -> None:
    doc = signing.sign(signer, _fruit())
    del doc[name]
    assert signing.verify(signer, doc) is False


def test_members_that_couchdb_adds_on_read_are_not_covered(signer: TamperingSigner) -> None:
    doc = signing.sign(signer, _fruit(_rev="1-a"))
    added = {
        "_rev": "2-b",
        "_conflicts": ["2-c"],
        "_deleted_conflicts": ["2-d"],
        "_revisions": {"start": 2, "ids": ["b", "a"]},
        "_revs_info": [],
        "_attachments": {},
        "_local_seq": 7,
        "_deleted": True,
    }
    assert signing.verify(signer, doc | added) is True


def test_order_of_properties_does_not_matter(signer: TamperingSigner) -> None:
    doc = signing.sign(signer, _fruit(nested={"b": 1, "a": 2}))
    turned = dict(reversed(doc.items())) | {"nested": {"a": 2, "b": 1}}
    assert list(turned) != list(doc)
    assert signing.verify(signer, turned) is True


@pytest.mark.parametrize(("written", "read"), [(1.0, 1), (1, 1.0), (-0.0, 0.0), (-0.0, 0), (1e21, 1e21)])
def test_number_that_is_returned_in_another_form_verifies(
    signer: TamperingSigner, written: float, read: float
) -> None:
    assert signing.verify(signer, signing.sign(signer, _fruit(size=written)) | {"size": read}) is True


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (2**53, "size"),
        (-(2**53), "size"),
        (1e16, "size"),  # JavaScript writes 10000000000000000, an integer
        (1e20, "size"),
        (5e-324, "size"),
        (-1e-310, "size"),
        (math.nan, "size"),
        (math.inf, "size"),
        ("\ud800", "size"),
        ([1, {"deep": "a\udfff"}], "size[1].deep"),
        ({"half \ud83d": 1}, "size.half \ud83d"),
        ([[2**60]], "size[0][0]"),
        (b"bytes", "size"),
        ({1, 2}, "size"),
    ],
)
def test_value_that_couchdb_would_change_is_an_error_that_names_the_property(
    signer: TamperingSigner, value: object, path: str
) -> None:
    doc = _fruit(size=value)
    with pytest.raises(InvalidDocumentError) as caught:
        signing.sign(signer, doc)
    assert caught.value.property_name == path
    assert caught.value.document_id == "e370582d"
    assert SIGNATURE_PROPERTY_NAME not in doc


@pytest.mark.parametrize("name", ["_id", "type"])
@pytest.mark.parametrize("value", [None, 7])
def test_document_without_id_or_type_is_refused(signer: TamperingSigner, name: str, value: object) -> None:
    with pytest.raises(InvalidDocumentError) as caught:
        signing.sign(signer, _fruit() | {name: value})
    assert caught.value.property_name == name


def test_names_that_are_no_strings_are_refused(signer: TamperingSigner) -> None:
    with pytest.raises(InvalidDocumentError, match="keys must be strings"):
        signing.sign(signer, _fruit(size={1: 2}))


def test_document_nested_too_deeply_is_refused_and_does_not_verify(signer: TamperingSigner) -> None:
    nested: list[Any] = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(InvalidDocumentError, match="can't be signed"):
        signing.sign(signer, _fruit(size=nested))
    assert signing.verify(signer, signing.sign(signer, _fruit()) | {"size": nested}) is False


@given(body=bodies)
def test_signed_document_verifies_after_a_json_round_trip(
    signer: TamperingSigner, body: dict[str, Any]
) -> None:
    doc = signing.sign(signer, {**body, "_id": "1", "type": "fruit_v1.0"})
    assert signing.verify(signer, json.loads(json.dumps(doc))) is True


@given(body=bodies, name=property_names, value=json_values)
def test_document_with_any_changed_property_does_not_verify(
    signer: TamperingSigner, body: dict[str, Any], name: str, value: object
) -> None:
    doc = signing.sign(signer, {**body, "_id": "1", "type": "fruit_v1.0"})
    changed = copy.deepcopy(doc) | {name: [value]}
    if changed != doc:
        assert signing.verify(signer, changed) is False


@given(doc=st.dictionaries(st.text() | st.just(SIGNATURE_PROPERTY_NAME), json_values, max_size=4))
def test_verifying_never_raises(signer: TamperingSigner, doc: dict[str, Any]) -> None:
    assert signing.verify(signer, doc) is False


@pytest.fixture(scope="module")
def database_path(couchdb: CouchDBServer) -> Iterator[str]:
    with couchdb.new_database() as url:
        yield url.rpartition("/")[2]


@settings(max_examples=50, deadline=None)  # each example is two requests
@given(body=bodies)
def test_signed_document_verifies_after_a_round_trip_through_couchdb(
    couchdb: CouchDBServer, database_path: str, signer: TamperingSigner, body: dict[str, Any]
) -> None:
    path = f"{database_path}/{uuid.uuid4().hex}"
    doc = signing.sign(signer, {**body, "_id": path.rpartition("/")[2], "type": "fruit_v1.0"})
    couchdb.succeed("PUT", path, json=doc)
    stored = couchdb.succeed("GET", f"{path}?conflicts=true&revs=true").json()
    assert "_revisions" in stored
    assert signing.verify(signer, stored) is True


def test_another_key_set_does_not_verify(signer: TamperingSigner, tmp_path: Path) -> None:
    assert signing.verify(_new_signer(tmp_path / "other.json"), signing.sign(signer, _fruit())) is False


def test_primary_key_signs_and_any_key_of_the_set_verifies(tmp_path: Path) -> None:
    old, new, both = tmp_path / "old.json", tmp_path / "new.json", tmp_path / "both.json"
    old_signer, new_signer = _new_signer(old), _new_signer(new)
    keys = json.loads(new.read_text())
    keys["key"] += json.loads(old.read_text())["key"]
    both.write_text(json.dumps(keys))
    both_signer = TamperingSigner.from_file(both)
    assert signing.verify(both_signer, signing.sign(old_signer, _fruit())) is True
    assert signing.sign(both_signer, _fruit()) == signing.sign(new_signer, _fruit())
    assert signing.verify(old_signer, signing.sign(both_signer, _fruit())) is False


def test_new_key_set_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    umask = os.umask(0)
    try:
        signing.new_key_set(path)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_key_set_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    signing.new_key_set(path)
    before = path.read_text()
    with pytest.raises(FileExistsError):
        signing.new_key_set(path)
    assert path.read_text() == before


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "secret",
        '{"primaryKeyId": 1, "key": [{"keyData": {"value": "secret"}}]}',
        '{"primaryKeyId": "secret"}',
        '{"key": {"secret": 1}}',
        "secret \udcff",
    ],
)
def test_file_without_a_key_set_is_an_error_that_quotes_nothing(tmp_path: Path, text: str) -> None:
    path = tmp_path / "set.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=r"set\.json") as caught:
        TamperingSigner.from_file(path)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_key_set_for_encryption_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.json"
    signing.new_key_set(path)
    path.write_text(path.read_text().replace("HmacKey", "AesGcmKey"))
    with pytest.raises(ValueError, match="holds no Tink key set for message authentication codes"):
        TamperingSigner.from_file(path)


def test_missing_key_set_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        TamperingSigner.from_file(tmp_path / "set.json")


def test_service_that_does_not_sign_does_not_load_tink() -> None:
    code = "import sys, tor_async_couchdb.protection.signing; sys.exit('tink' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)  # noqa: S603 - our own interpreter
