import asyncio
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.re_encrypting import re_encrypt
from tor_async_couchdb.installer.rewriting import Rewritten
from tor_async_couchdb.protection import encryption, signing
from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.encryption import Encryption, is_outdated
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.tests.memory_data_keys import MemoryDataKeyStore
from tor_async_couchdb.tests.people import Person

COUNT = 7
DESIGN = {"_id": "_design/people", "views": {}}


@pytest.fixture
def data_keys() -> DataKeys:
    return DataKeys(MemoryDataKeyStore(), AeadKeySet.new())


def person(data_keys: DataKeys, number: int, **properties: Any) -> Document:
    """A stored person; each two documents are about the same subject."""
    key = data_keys.fetch_or_make(str(number // 2))
    assert key is not None
    document = {"_id": str(number), "type": "person_v1.0", "person_id": str(number // 2)}
    return (
        encryption.encrypted(Person, document | {"address": f"home {number}", "ages": None}, key) | properties
    )


@pytest.fixture
def people(database: AdminDatabase, data_keys: DataKeys) -> AdminDatabase:
    """A database of people whose data keys were rotated afterwards."""
    database.create()
    database.write([DESIGN, {"_id": "other", "type": "other_v1.0"}])
    database.write([person(data_keys, number) for number in range(COUNT)])
    data_keys.rotate()
    return database


def ignore(done: int, total: int) -> None:
    pass


def rewritten(
    database: AdminDatabase, data_keys: DataKeys, signer: TamperingSigner | None = None
) -> Rewritten:
    return re_encrypt(database, Person, data_keys, signer, ignore, page_size=3)


def addresses(database: AdminDatabase, data_keys: DataKeys) -> dict[str, Any]:
    """The addresses as services read them."""
    leaves = database.fetch_leaves([str(number) for number in range(COUNT)])
    decrypt = asyncio.run(Encryption(data_keys).decrypter(Person, leaves))
    return {leaf["_id"]: decrypt(leaf)["address"] for leaf in leaves if "_deleted" not in leaf}


EXPECTED = {str(number): f"home {number}" for number in range(COUNT)}


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


def test_nothing_stays_encrypted_by_the_old_keys(people: AdminDatabase, data_keys: DataKeys) -> None:
    assert rewritten(people, data_keys) == Rewritten(COUNT, COUNT + 1)
    for leaf in people.fetch_leaves(EXPECTED):
        (key,) = data_keys.fetch([leaf["person_id"]]).values()
        assert key is not None
        assert not is_outdated(Person, leaf, key)
    data_keys.retire()
    assert addresses(people, data_keys) == EXPECTED


def test_second_run_writes_nothing(people: AdminDatabase, data_keys: DataKeys) -> None:
    rewritten(people, data_keys)
    before = people.fetch(EXPECTED)
    assert rewritten(people, data_keys) == Rewritten(0, COUNT + 1)
    assert people.fetch(EXPECTED) == before


def test_interrupted_run_is_continued_and_can_be_read_meanwhile(
    people: AdminDatabase, data_keys: DataKeys
) -> None:
    def end(writes: int) -> None:
        assert addresses(people, data_keys) == EXPECTED
        if writes == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rewritten(Racing(people, end), data_keys)
    assert rewritten(people, data_keys) == Rewritten(COUNT - 3, COUNT + 1)
    data_keys.retire()
    assert addresses(people, data_keys) == EXPECTED


def test_document_that_a_service_changes_meanwhile_keeps_the_change(
    people: AdminDatabase, data_keys: DataKeys
) -> None:
    old = people.fetch(["1"])["1"]

    def change(writes: int) -> None:
        if writes == 1:  # by a service that has the old key still
            people.write([old | {"pin_hash": "new"}])

    assert rewritten(Racing(people, change), data_keys).current == COUNT + 1
    assert people.fetch(["1"])["1"]["pin_hash"] == "new"
    data_keys.retire()
    assert addresses(people, data_keys) == EXPECTED


def test_documents_of_erased_subjects_and_without_encrypted_values_are_current(
    people: AdminDatabase, data_keys: DataKeys
) -> None:
    people.write([{"_id": "none", "type": "person_v1.0", "person_id": None, "address": None, "ages": None}])
    data_keys.erase("0")
    assert rewritten(people, data_keys) == Rewritten(COUNT - 2, COUNT + 2)
    data_keys.retire()
    assert addresses(people, data_keys) == EXPECTED | {"0": None, "1": None}


def test_document_that_can_not_be_decrypted_is_left_as_it_is(
    people: AdminDatabase, data_keys: DataKeys
) -> None:
    stored = people.fetch(EXPECTED)
    moved = stored["0"] | {"address": stored["1"]["address"]}
    plain = stored["2"] | {"address": "12 Orchard Lane"}
    people.write([moved, plain])
    result = rewritten(people, data_keys)
    assert result.tampered == {"0"}
    assert list(result.refused) == ["2"]
    assert "Orchard" not in str(result)
    assert result.written == COUNT - 2


def test_renewed_documents_are_signed_and_tampered_ones_are_left(
    database: AdminDatabase, data_keys: DataKeys, tmp_path: Any
) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    database.create()
    signed = [signing.sign(signer, person(data_keys, number)) for number in range(2)]
    database.write([signed[0], signed[1] | {"pin_hash": "another"}])
    data_keys.rotate()
    result = rewritten(database, data_keys, signer)
    assert (result.written, result.tampered) == (1, {"1"})
    assert signing.verify(signer, database.fetch(["0"])["0"])


def test_each_leaf_of_a_conflict_is_encrypted(people: AdminDatabase, data_keys: DataKeys) -> None:
    leaves = [people.fetch(["0"])["0"] | {"_rev": f"1-{name}", "pin_hash": name} for name in "abc"]
    people.server.ask("POST", people.name, "_bulk_docs", body={"docs": leaves, "new_edits": False})
    rewritten(people, data_keys)
    data_keys.retire()
    assert len([leaf for leaf in people.fetch_leaves(["0"]) if "_deleted" not in leaf]) == 4
    assert addresses(people, data_keys) == EXPECTED
