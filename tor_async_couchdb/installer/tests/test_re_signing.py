import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.installer import re_signing
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.rewriting import Rewritten
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection import key_set, signing
from tor_async_couchdb.protection.keyczar import KeyczarKeySet, KeyczarSigner, TransitionalSigner
from tor_async_couchdb.protection.signing import Signer, TamperingSigner

COUNT = 7

re_sign = functools.partial(re_signing.re_sign, page_size=3)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    signing.new_key_set(tmp_path / "keys.json")
    return tmp_path / "keys.json"


@pytest.fixture
def signed(database: AdminDatabase, keys: Path) -> AdminDatabase:
    """A database with documents that the old key signed; the new one is primary."""
    signer = TamperingSigner.from_file(keys)
    key_set.promote_key(keys, key_set.add_key(keys))
    database.create()
    database.write([_fruit(signer, str(i)) for i in range(COUNT)])
    return database


def _fruit(signer: Signer, document_id: str, **properties: Any) -> Document:
    return signing.sign(signer, {"_id": document_id, "type": "fruit_v1.0", "color": "red"} | properties)


def _only_primary(keys: Path) -> TamperingSigner:
    """Verifies by the primary key alone."""
    for key_id, state in key_set.key_states(keys).items():
        if state == "verifies":
            key_set.retire_key(keys, key_id)
    return TamperingSigner.from_file(keys)


def _leaves(database: AdminDatabase) -> list[Document]:
    return database.fetch_leaves(database.document_ids(None, 100))


def _ignore(done: int, total: int) -> None:
    pass


class Racing(AdminDatabase):
    """A database that calls a function just before each write."""

    def __init__(self, database: AdminDatabase, before_write: Callable[[int], None]) -> None:
        super().__init__(database.server, database.name)
        self.before_write = before_write
        self.writes = 0

    def write(self, documents: Iterable[Document]) -> dict[str, str]:
        self.writes += 1
        self.before_write(self.writes)
        return super().write(documents)


def test_all_documents_are_signed_by_the_primary_key(signed: AdminDatabase, keys: Path) -> None:
    seen: list[tuple[int, int]] = []
    signer = TamperingSigner.from_file(keys)
    assert re_sign(signed, signer, lambda *now: seen.append(now)) == Rewritten(COUNT, COUNT)
    assert seen[:3] == [(3, 7), (6, 7), (7, 7)]
    only_primary = _only_primary(keys)
    leaves = _leaves(signed)
    assert len(leaves) == COUNT
    assert all(signing.verify(only_primary, leaf) and leaf["color"] == "red" for leaf in leaves)


def test_second_run_writes_nothing(signed: AdminDatabase, keys: Path) -> None:
    signer = TamperingSigner.from_file(keys)
    re_sign(signed, signer, _ignore)
    before = _leaves(signed)
    assert re_sign(signed, signer, _ignore) == Rewritten(0, COUNT)
    assert _leaves(signed) == before


def test_interrupted_run_is_continued(signed: AdminDatabase, keys: Path) -> None:
    signer = TamperingSigner.from_file(keys)

    def end(writes: int) -> None:
        if writes == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        re_sign(Racing(signed, end), signer, _ignore)
    assert re_sign(signed, signer, _ignore) == Rewritten(COUNT - 3, COUNT)


def test_document_that_a_service_changes_meanwhile_keeps_the_change(
    signed: AdminDatabase, keys: Path
) -> None:
    signer = TamperingSigner.from_file(keys)

    def change(writes: int) -> None:
        if writes == 1:
            signed.write([_fruit(signer, "1", _rev=signed.fetch(["1"])["1"]["_rev"], color="blue")])

    assert re_sign(Racing(signed, change), signer, _ignore) == Rewritten(COUNT - 1, COUNT)
    assert signed.fetch(["1"])["1"]["color"] == "blue"
    assert all(signing.verify(_only_primary(keys), leaf) for leaf in _leaves(signed))


def test_change_by_a_service_that_still_has_the_old_key_set_is_signed_in_another_pass(
    signed: AdminDatabase, keys: Path, tmp_path: Path
) -> None:
    signer = TamperingSigner.from_file(keys)
    old_signature = signed.fetch(["1"])["1"][SIGNATURE_PROPERTY_NAME]

    def change(writes: int) -> None:
        current = signed.fetch(["1"])["1"]
        if writes in (1, 3):  # back to what the old key signed, as a new revision
            signed.write([current | {SIGNATURE_PROPERTY_NAME: old_signature}])

    result = re_sign(Racing(signed, change), signer, _ignore)
    assert (result.current, result.tampered) == (COUNT, set())
    assert all(signing.verify(_only_primary(keys), leaf) for leaf in _leaves(signed))


def test_services_that_never_get_the_new_key_set_are_reported(signed: AdminDatabase, keys: Path) -> None:
    old = signed.fetch(["1"])["1"][SIGNATURE_PROPERTY_NAME]

    def change(_: int) -> None:
        signed.write([signed.fetch(["1"])["1"] | {SIGNATURE_PROPERTY_NAME: old}])

    with pytest.raises(InstallerError, match="services still use another key"):
        re_sign(Racing(signed, change), TamperingSigner.from_file(keys), _ignore)


def test_document_that_was_tampered_with_is_not_signed(signed: AdminDatabase, keys: Path) -> None:
    tampered = signed.fetch(["1"])["1"] | {"color": "black"}
    unsigned = {"_id": "unsigned", "type": "fruit_v1.0"}
    signed.write([tampered, unsigned])
    before = signed.fetch(["1", "unsigned"])
    result = re_sign(signed, TamperingSigner.from_file(keys), _ignore)
    assert (result.current, result.tampered) == (COUNT - 1, {"1", "unsigned"})
    assert signed.fetch(["1", "unsigned"]) == before


def test_each_leaf_of_a_conflict_is_signed(signed: AdminDatabase, keys: Path) -> None:
    signer = TamperingSigner.from_file(keys)
    key_set.promote_key(keys, next(iter(key_set.key_states(keys))))
    old = TamperingSigner.from_file(keys)
    leaves = [_fruit(old, "c", color=color, _rev=f"1-{color}") for color in ("a", "b", "c")]
    signed.server.ask("POST", signed.name, "_bulk_docs", body={"docs": leaves, "new_edits": False})
    re_sign(signed, signer, _ignore)
    found = [leaf for leaf in signed.fetch_leaves(["c"]) if not leaf.get("_deleted")]
    assert sorted(leaf["color"] for leaf in found) == ["a", "b", "c"]
    assert all(signing.sign(signer, dict(leaf)) == leaf for leaf in found)


def test_attachments_and_design_documents_are_left_alone(signed: AdminDatabase, keys: Path) -> None:
    view = {"_id": "_design/fruits", "views": {}}
    attachment = {"a.txt": {"content_type": "text/plain", "data": "aGVsbG8="}}
    old = signed.fetch(["1"])["1"]
    signed.write([view, old | {"_attachments": attachment}])
    design_rev = signed.fetch(["_design/fruits"])["_design/fruits"]["_rev"]
    assert re_sign(signed, TamperingSigner.from_file(keys), _ignore) == Rewritten(COUNT, COUNT)
    assert signed.fetch(["_design/fruits"])["_design/fruits"]["_rev"] == design_rev
    assert signed.fetch(["1"])["1"]["_attachments"]["a.txt"]["length"] == 5


def test_document_that_keyczar_signed_gets_a_signature_that_covers_its_id(
    signed: AdminDatabase, keys: Path
) -> None:
    keyczar = KeyczarSigner(KeyczarKeySet({b"1234": b"key"}, b"1234"), signs=True)
    signed.write([_fruit(keyczar, "old"), _fruit(keyczar, "large") | {"size": 2**60}])
    large = signed.fetch(["large"])["large"]
    large[SIGNATURE_PROPERTY_NAME] = keyczar.sign(large)
    signed.write([large])
    tink = TamperingSigner.from_file(keys)
    result = re_sign(signed, TransitionalSigner(tink, keyczar), _ignore)
    assert result.current == COUNT + 1
    assert list(result.refused) == ["large"]
    assert signing.verify(tink, signed.fetch(["old"])["old"])


@pytest.mark.parametrize("depth", [400, 990, 1500, 2500])
def test_document_that_is_nested_too_deeply_is_named_and_the_others_are_signed(
    signed: AdminDatabase, keys: Path, depth: int
) -> None:
    deep = "[" * depth + "]" * depth
    text = f'{{"_id": "3-deep", "type": "fruit_v1.0", "{SIGNATURE_PROPERTY_NAME}": "x", "x": {deep}}}'
    headers = {"Content-Type": "application/json"}
    assert signed.server.request("PUT", f"{signed.name}/3-deep", data=text, headers=headers).ok
    result = re_sign(signed, TamperingSigner.from_file(keys), _ignore)
    assert result.written == COUNT
    assert {*result.refused, *result.tampered} == {"3-deep"}
    assert signed.server.request("GET", f"{signed.name}/3-deep").text.count("[") == depth
