"""Re-signing and re-encrypting keep what CouchDB owns in a document."""

from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.re_encrypting import re_encrypt
from tor_async_couchdb.installer.re_signing import re_sign
from tor_async_couchdb.installer.rewriting import Rewritten
from tor_async_couchdb.protection import encryption, key_set, signing
from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.memory_data_keys import MemoryDataKeyStore
from tor_async_couchdb.tests.people import Person
from tor_async_couchdb.tests.things import Documents, inline
from tor_async_couchdb.wire.revision import child

ATTACHMENTS = {"photo": bytes(range(256)), "a letter.txt": b"Dear Jane " * 100, "empty": b""}


class Rotated:
    """A database whose documents have a signature and a ciphertext of keys that were replaced since."""

    def __init__(self, database: AdminDatabase, documents: Documents, keys: Path) -> None:
        self.database = database
        self.documents = documents
        signing.new_key_set(keys)
        self.data_keys = DataKeys(MemoryDataKeyStore(), AeadKeySet.new())
        key = self.data_keys.fetch_or_make("jane")
        assert key is not None
        document = {"_id": "1", "type": "person_v1.0", "person_id": "jane", "address": "home", "ages": None}
        self.stored = signing.sign(
            TamperingSigner.from_file(keys), encryption.encrypted(Person, document, key)
        )
        self.data_keys.rotate()
        key_set.promote_key(keys, key_set.add_key(keys))
        self.signer = TamperingSigner.from_file(keys)

    def rewrite(self, by: str) -> Rewritten:
        if by == "re_sign":
            return re_sign(self.database, self.signer, lambda done, total: None)
        return re_encrypt(self.database, Person, self.data_keys, self.signer, lambda done, total: None)


@pytest.fixture
def rotated(database: AdminDatabase, couchdb: CouchDBServer, tmp_path: Path) -> Rotated:
    database.create()
    documents = Documents(couchdb, f"{couchdb.url}/{database.name}")
    return Rotated(database, documents, tmp_path / "keys.json")


def inline_all(contents: dict[str, bytes], **members: Any) -> Document:
    return {name: inline(content, **members) for name, content in contents.items()}


@pytest.mark.parametrize("by", ["re_sign", "re_encrypt"])
def test_attachments_survive(rotated: Rotated, by: str) -> None:
    before = rotated.documents.put(**rotated.stored, _attachments=inline_all(ATTACHMENTS))
    result = rotated.rewrite(by)
    assert (result.written, result.tampered, result.refused) == (1, set(), {})
    assert rotated.documents.get("1")["_rev"] != before["_rev"]
    assert rotated.documents.attachments("1") == ATTACHMENTS


@pytest.mark.parametrize("by", ["re_sign", "re_encrypt"])
def test_attachments_of_conflicting_revisions_survive(rotated: Rotated, by: str) -> None:
    base = rotated.documents.put(**rotated.stored, _attachments=inline_all(ATTACHMENTS))
    stubs = rotated.documents.get("1")["_attachments"]
    leaves = []
    for name in ("one", "other"):
        attachments = stubs | inline_all({name: name.encode()}, revpos=2)
        leaves.append(child(base, rotated.stored | {"_attachments": attachments}))
    rotated.documents.put_leaves(leaves)
    assert rotated.rewrite(by).written == 2
    winner = rotated.documents.get("1", conflicts="true")
    revs = [winner["_rev"], *winner["_conflicts"]]
    assert {rev.partition("-")[0] for rev in revs} == {"3"}
    found = [rotated.documents.attachments("1", rev=rev) for rev in revs]
    expected = [ATTACHMENTS | {"one": b"one"}, ATTACHMENTS | {"other": b"other"}]
    assert found in (expected, expected[::-1])
