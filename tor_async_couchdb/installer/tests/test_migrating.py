import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tor_async_couchdb.installer import migrating
from tor_async_couchdb.installer.admin import AdminDatabase, Document
from tor_async_couchdb.installer.errors import InstallerError
from tor_async_couchdb.installer.protected_documents import ProtectedDocuments
from tor_async_couchdb.installer.rewriting import Rewritten
from tor_async_couchdb.model.model import SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_couchdb.tests.houses import HouseV2, SafeV1, SafeV2, house
from tor_async_couchdb.tests.memory_data_keys import MemoryDataKeyStore
from tor_async_couchdb.tests.things import Documents, inline

COUNT = 7

migrate = functools.partial(migrating.migrate, page_size=3)


def ignore(done: int, total: int) -> None:
    pass


@pytest.fixture
def houses(database: AdminDatabase) -> AdminDatabase:
    database.create()
    database.write([house(_id=str(i)) for i in range(COUNT)])
    database.write([{"_id": "other", "type": "other_v1.0"}, {"_id": "_design/d", "views": {}}])
    return database


def types(database: AdminDatabase) -> list[str]:
    return [leaf["type"] for leaf in database.fetch_leaves([str(i) for i in range(COUNT)])]


class Interrupted(AdminDatabase):
    """A database that takes a number of writes."""

    def __init__(self, database: AdminDatabase, writes: int) -> None:
        super().__init__(database.server, database.name)
        self.writes = writes

    def write(self, documents: Iterable[Document]) -> dict[str, str]:
        if not self.writes:
            raise KeyboardInterrupt
        self.writes -= 1
        return super().write(documents)


def test_documents_of_the_older_type_are_rewritten_and_no_others(houses: AdminDatabase) -> None:
    seen: list[tuple[int, int]] = []
    assert migrate(houses, HouseV2, lambda *now: seen.append(now)) == Rewritten(COUNT, COUNT + 1)
    assert seen[-1] == (COUNT + 2, COUNT + 2)
    assert types(houses) == ["house_v2.0"] * COUNT
    assert migrate(houses, HouseV2, ignore) == Rewritten(0, COUNT + 1)


def test_after_an_interruption_only_what_is_left_is_written(houses: AdminDatabase) -> None:
    with pytest.raises(KeyboardInterrupt):
        migrate(Interrupted(houses, 1), HouseV2, ignore)
    assert types(houses).count("house_v2.0") == 3
    assert migrate(houses, HouseV2, ignore) == Rewritten(COUNT - 3, COUNT + 1)


def test_writes_are_no_faster_than_asked_for(houses: AdminDatabase) -> None:
    pauses: list[float] = []
    migrate(houses, HouseV2, ignore, max_writes_per_s=2.0, sleep=pauses.append)
    assert sum(pauses) == pytest.approx(COUNT / 2)
    assert max(pauses) == 1.0  # so many at once as may be written in a second


def test_document_that_can_not_be_read_is_left_and_named(houses: AdminDatabase) -> None:
    houses.write([house(_id="bad", color=1)])
    result = migrate(houses, HouseV2, ignore)
    assert set(result.refused) == {"bad"}
    assert result.written == COUNT


def test_services_that_go_on_writing_the_older_version_are_an_error(houses: AdminDatabase) -> None:
    class Racing(AdminDatabase):
        """A database in which an older service makes another house before each write."""

        made = 0

        def write(self, documents: Iterable[Document]) -> dict[str, str]:
            Racing.made += 1
            super().write([house(_id=f"new {Racing.made}")])
            return super().write(documents)

    with pytest.raises(InstallerError, match="services still write as another version"):
        migrate(Racing(houses.server, houses.name), HouseV2, ignore)


def test_attachments_survive(houses: AdminDatabase, couchdb: CouchDBServer) -> None:
    houses.write([house(_id="a", _attachments={"photo": inline(b"red")})])
    migrate(houses, HouseV2, ignore)
    answer = couchdb.succeed("GET", f"{houses.name}/a/photo")
    assert answer.content == b"red"
    assert Documents(couchdb, houses.name).get("a")["type"] == "house_v2.0"


@pytest.fixture
def signer(tmp_path: Path) -> TamperingSigner:
    signing.new_key_set(tmp_path / "keys.json")
    return TamperingSigner.from_file(tmp_path / "keys.json")


@pytest.fixture
def data_keys() -> DataKeys:
    return DataKeys(MemoryDataKeyStore(), AeadKeySet.new())


def stored(database: AdminDatabase, document_id: str) -> dict[str, Any]:
    [leaf] = database.fetch_leaves([document_id])
    return leaf


def test_signatures_and_encryption_survive(
    database: AdminDatabase, signer: TamperingSigner, data_keys: DataKeys
) -> None:
    database.create()
    old, new = (ProtectedDocuments(version, signer, data_keys) for version in (SafeV1, SafeV2))
    sealed = old.seal({"_id": "1", "type": "safe_v1.0", "code": "1234"})
    empty = old.seal({"_id": "2", "type": "safe_v1.0", "code": None})
    database.write([sealed, empty, sealed | {"_id": "moved"}])
    result = migrate(database, SafeV2, ignore, open_document=new.open, seal=new.seal)
    assert (result.written, result.tampered) == (2, {"moved"})
    safe = stored(database, "1")
    assert safe["type"] == "safe_v2.0"
    assert "1234" not in str(safe)
    assert "code" not in safe
    assert new.open(safe)["combination"] == "1234"
    assert new.open(stored(database, "2"))["combination"] is None
    assert stored(database, "moved")["type"] == "safe_v1.0"


def test_erased_subject_stays_erased(database: AdminDatabase, data_keys: DataKeys) -> None:
    database.create()
    old, new = (ProtectedDocuments(version, None, data_keys) for version in (SafeV1, SafeV2))
    database.write([old.seal({"_id": "1", "type": "safe_v1.0", "code": "1234"})])
    data_keys.erase("1")
    assert migrate(database, SafeV2, ignore, open_document=new.open, seal=new.seal).written == 1
    assert stored(database, "1")["combination"] is None


def test_signed_document_is_left_as_it_is_without_a_key(
    database: AdminDatabase, signer: TamperingSigner
) -> None:
    database.create()
    database.write([signing.sign(signer, house())])
    result = migrate(database, HouseV2, ignore)
    assert result.refused == {"1": "is signed, so a key set is needed"}
    assert SIGNATURE_PROPERTY_NAME in stored(database, "1")
