import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.keyczar import KeyczarKeySet, KeyczarSigner, TransitionalSigner
from tor_async_couchdb.protection.signing import TamperingSigner

# Key sets and signatures that python-keyczar 0.716 made.
VECTORS = Path(__file__).parent / "vectors" / "keyczar"
_MADE = json.loads((VECTORS / "vectors.json").read_text())
_MESSAGES = [(each["keyset"], each["message"], each["signature"]) for each in _MADE["sign"]]
_DOCS = [each["doc"] for each in _MADE["signed_docs"]]


@pytest.fixture(scope="module")
def key_set() -> KeyczarKeySet:
    return KeyczarKeySet.from_folder(VECTORS / "sign")


@pytest.fixture(scope="module")
def signer(key_set: KeyczarKeySet) -> KeyczarSigner:
    return KeyczarSigner(key_set)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the key set, to change."""
    return Path(shutil.copytree(VECTORS / "sign", tmp_path / "sign"))


@pytest.fixture
def tink(tmp_path: Path) -> TamperingSigner:
    signing.new_key_set(tmp_path / "keys.json")
    return TamperingSigner.from_file(tmp_path / "keys.json")


def _changed_meta(folder: Path, **changes: Any) -> None:
    meta = json.loads((folder / "meta").read_text())
    (folder / "meta").write_text(json.dumps(meta | changes))


@pytest.mark.parametrize(("made_with", "message", "signature"), _MESSAGES)
def test_signatures_of_keyczar_verify(
    key_set: KeyczarKeySet, made_with: str, message: str, signature: str
) -> None:
    assert key_set.verify(message.encode(), signature)
    assert not key_set.verify(message.encode() + b"x", signature)
    if made_with == "v2 primary, v1 active":
        assert key_set.sign(message.encode()) == signature


@pytest.mark.parametrize("doc", _DOCS)
def test_documents_that_the_original_signed_verify(signer: KeyczarSigner, doc: dict[str, Any]) -> None:
    assert signing.verify(signer, doc)
    assert signing.verify(signer, doc | {"_rev": "7-x", "_conflicts": ["7-a"], "_revisions": {}})


@pytest.mark.parametrize("doc", _DOCS)
def test_changed_documents_do_not_verify(signer: KeyczarSigner, doc: dict[str, Any]) -> None:
    assert not signing.verify(signer, doc | {"added": 1})
    for name in doc.keys() - {"_id", "_rev"}:
        assert not signing.verify(signer, doc | {name: "changed"})
        assert not signing.verify(signer, {key: doc[key] for key in doc.keys() - {name}})


@pytest.mark.parametrize("doc", _DOCS)
def test_copy_under_another_id_verifies_because_keyczar_does_not_cover_the_id(
    signer: KeyczarSigner, doc: dict[str, Any]
) -> None:
    assert signing.verify(signer, doc | {"_id": "another"})


def test_keyczar_signs_only_if_it_is_asked_to(key_set: KeyczarKeySet) -> None:
    doc = {key: value for key, value in _DOCS[-1].items() if key != SIGNATURE_PROPERTY_NAME}
    with pytest.raises(TypeError, match="signs=True"):
        signing.sign(KeyczarSigner(key_set), doc)
    assert SIGNATURE_PROPERTY_NAME not in doc
    assert signing.sign(KeyczarSigner(key_set, signs=True), doc) == _DOCS[-1]


def test_transition_signs_with_the_new_key_set_and_verifies_both(
    signer: KeyczarSigner, tink: TamperingSigner
) -> None:
    both = TransitionalSigner(tink, signer)
    assert all(signing.verify(both, doc) for doc in _DOCS)
    signed = signing.sign(both, dict(_DOCS[-1]))
    assert signing.verify(both, signed)
    assert signing.verify(tink, signed)
    assert not signing.verify(both, signed | {"_id": "another"})
    assert not signing.verify(both, signed | {"f": 2})
    assert not signing.verify(tink, _DOCS[-1])


def test_transition_verifies_documents_that_have_no_canonical_form(
    key_set: KeyczarKeySet, tink: TamperingSigner
) -> None:
    old = KeyczarSigner(key_set, signs=True)
    doc: dict[str, Any] = {"_id": "1", "type": "fruit_v1.0", "large": 2**60}
    doc[SIGNATURE_PROPERTY_NAME] = old.sign(doc)
    assert signing.verify(TransitionalSigner(tink, old), doc)


def test_signature_of_an_unknown_key_does_not_verify(folder: Path, key_set: KeyczarKeySet) -> None:
    _changed_meta(folder, versions=[{"versionNumber": 1, "status": "PRIMARY"}])
    first = KeyczarKeySet.from_folder(folder)
    assert not first.verify(b"a", key_set.sign(b"a"))
    assert key_set.verify(b"a", first.sign(b"a"))


def test_key_set_without_a_primary_key_only_verifies(folder: Path, key_set: KeyczarKeySet) -> None:
    _changed_meta(folder, versions=[{"versionNumber": 2, "status": "INACTIVE"}])
    retired = KeyczarKeySet.from_folder(folder)
    assert retired.verify(b"a", key_set.sign(b"a"))
    with pytest.raises(ValueError, match="no primary key"):
        retired.sign(b"a")


@given(signature=st.text() | st.binary(max_size=30).map(lambda data: data.hex()))
def test_verifying_anything_never_raises(signature: str) -> None:
    assert not KeyczarKeySet.from_folder(VECTORS / "sign").verify(b"a", signature)


@pytest.mark.parametrize("change", ["", "A", "=", "AA", "!", " "])
def test_malformed_signature_does_not_verify(key_set: KeyczarKeySet, change: str) -> None:
    signature = key_set.sign(b"a")
    assert not key_set.verify(b"a", signature[:-1] + change if change else signature[:20])
    assert not key_set.verify(b"a", "B" + signature[1:])


@pytest.mark.parametrize(
    "changes", [{"type": "AES"}, {"purpose": "DECRYPT_AND_ENCRYPT"}, {"encrypted": True}, {"versions": 7}]
)
def test_key_set_of_another_kind_is_an_error_that_names_it(folder: Path, changes: dict[str, Any]) -> None:
    _changed_meta(folder, **changes)
    with pytest.raises(ValueError, match=r"'.*sign' holds no Keyczar key set"):
        KeyczarKeySet.from_folder(folder)


@pytest.mark.parametrize("text", ["secret", "[]", '{"hmacKeyString": 7}', '{"hmacKeyString": "secret!"}'])
def test_broken_key_is_refused_without_quoting_it(folder: Path, text: str) -> None:
    (folder / "2").write_text(text)
    with pytest.raises(ValueError, match="holds no Keyczar key set") as caught:
        KeyczarKeySet.from_folder(folder)
    assert "secret" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_missing_key_is_an_os_error(folder: Path) -> None:
    (folder / "1").unlink()
    with pytest.raises(FileNotFoundError):
        KeyczarKeySet.from_folder(folder)
