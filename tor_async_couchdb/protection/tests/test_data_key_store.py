import concurrent.futures
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tor_async_couchdb.errors import DataKeyError
from tor_async_couchdb.protection.data_key_store import SQLiteDataKeyStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SQLiteDataKeyStore.create(tmp_path / "a store?%.sqlite")
    return tmp_path / "a store?%.sqlite"


@pytest.fixture
def store(path: Path) -> Iterator[SQLiteDataKeyStore]:
    store = SQLiteDataKeyStore(path)
    yield store
    store.close()


def test_keys_are_stored_in_the_file(store: SQLiteDataKeyStore, path: Path) -> None:
    store.add("a", b"1")
    store.add("a", b"2")
    store.add("é'", b"3")
    other = SQLiteDataKeyStore(path)
    assert other.fetch(["a", "é'", "absent"]) == {"a": b"1", "é'": b"3"}
    other.close()


def test_key_is_replaced_only_if_it_has_not_changed(store: SQLiteDataKeyStore) -> None:
    store.add("a", b"1")
    assert store.replace("a", b"1", b"2")
    assert not store.replace("a", b"1", b"3")
    assert not store.replace("absent", b"1", b"3")
    assert store.fetch(["a", "absent"]) == {"a": b"2"}


def test_erased_subject_is_remembered_and_its_key_is_in_no_file(
    store: SQLiteDataKeyStore, path: Path
) -> None:
    store.add("a", b"secret" * 100)
    assert b"secret" in path.read_bytes()
    store.erase("a")
    store.erase("never there")
    store.add("a", b"new")
    assert not store.replace("a", b"secret" * 100, b"new")
    assert store.fetch(["a", "never there"]) == {"a": None, "never there": None}
    assert b"secret" not in b"".join(file.read_bytes() for file in path.parent.iterdir())


def test_subjects_are_listed_in_pages(store: SQLiteDataKeyStore) -> None:
    for name in ("c", "a", "d", "b"):
        store.add(name, b"")
    store.erase("b")
    assert store.subject_ids("", 2) == ["a", "c"]
    assert store.subject_ids("c", 2) == ["d"]
    assert store.subject_ids("d", 2) == []


def test_threads_and_connections_can_use_the_store_at_once(store: SQLiteDataKeyStore, path: Path) -> None:
    others = [store, SQLiteDataKeyStore(path)]

    def add(number: int) -> None:
        one = others[number % 2]
        one.add(f"{number % 10}", b"%d" % number)
        one.fetch([f"{i}" for i in range(10)])

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(200)))
    assert len(store.subject_ids("", 100)) == 10
    others[1].close()


def test_more_subjects_are_fetched_than_a_statement_may_have_parameters(store: SQLiteDataKeyStore) -> None:
    store.add("7", b"1")
    assert store.fetch([str(i) for i in range(40_000)]) == {"7": b"1"}


def test_store_is_readable_by_its_owner_only_and_never_overwritten(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(FileExistsError):
        SQLiteDataKeyStore.create(path)


def test_absent_store_and_other_file_are_errors_that_name_it(tmp_path: Path) -> None:
    with pytest.raises(DataKeyError, match=r"absent\.sqlite' can't be used: unable to open"):
        SQLiteDataKeyStore(tmp_path / "absent.sqlite")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text").write_text("no database " * 1000)
    with pytest.raises(DataKeyError, match="text' can't be used: file is not a database"):
        SQLiteDataKeyStore(tmp_path / "text")
