import pytest

from tor_async_couchdb.errors import DataKeyError
from tor_async_couchdb.protection.aead_key_set import AeadKeySet, key_id_of
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.tests.memory_data_keys import MemoryDataKeyStore

NAMES = ["a", "b", "c"]


@pytest.fixture
def store() -> MemoryDataKeyStore:
    return MemoryDataKeyStore()


@pytest.fixture
def master_key() -> AeadKeySet:
    return AeadKeySet.new()


@pytest.fixture
def data_keys(store: MemoryDataKeyStore, master_key: AeadKeySet) -> DataKeys:
    """The data keys of three subjects, which take two pages."""
    data_keys = DataKeys(store, master_key, page_size=2)
    for name in NAMES:
        data_keys.fetch_or_make(name)
    return data_keys


def present(data_keys: DataKeys, name: str = "a") -> AeadKeySet:
    key = data_keys.fetch([name])[name]
    assert key is not None
    return key


def test_key_is_made_once(data_keys: DataKeys) -> None:
    key = data_keys.fetch_or_make("a")
    assert key is not None
    assert key.text == present(data_keys).text
    assert data_keys.fetch(["absent"]) == {}
    assert len({present(data_keys, name).text for name in NAMES}) == 3


def test_two_processes_that_make_a_key_at_once_get_the_same(
    store: MemoryDataKeyStore, master_key: AeadKeySet
) -> None:
    class Racing(MemoryDataKeyStore):
        def add(self, subject_id: str, wrapped: bytes) -> None:
            other.fetch_or_make(subject_id)
            super().add(subject_id, wrapped)

    racing = Racing()
    racing.wrapped = store.wrapped
    other = DataKeys(store, master_key)
    key, others = DataKeys(racing, master_key).fetch_or_make("a"), other.fetch_or_make("a")
    assert key is not None
    assert others is not None
    assert key.text == others.text


def test_store_holds_only_keys_that_the_master_key_has_wrapped(
    data_keys: DataKeys, store: MemoryDataKeyStore
) -> None:
    for name in NAMES:
        wrapped = store.wrapped[name]
        assert wrapped is not None
        assert b"keyData" not in wrapped
    with pytest.raises(DataKeyError, match="the data key of subject 'a' was wrapped by another master key"):
        DataKeys(store, AeadKeySet.new()).fetch(["a"])


def test_key_that_was_moved_to_another_subject_is_refused(
    data_keys: DataKeys, store: MemoryDataKeyStore
) -> None:
    store.wrapped["b"] = store.wrapped["a"]
    with pytest.raises(DataKeyError, match="subject 'b'"):
        data_keys.fetch(["b"])


def test_erased_subject_never_has_a_key_again(data_keys: DataKeys) -> None:
    data_keys.erase("a")
    assert data_keys.fetch(["a"]) == {"a": None}
    assert data_keys.fetch_or_make("a") is None
    assert data_keys.rotate() == 2


def test_rotation_adds_a_key_and_retiring_deletes_the_old_one(data_keys: DataKeys) -> None:
    before = present(data_keys)
    assert data_keys.rotate() == 3
    assert data_keys.rotate() == 0  # the last rotation has not ended
    both = present(data_keys)
    assert before.primary_id in both.key_ids
    assert before.primary_id != both.primary_id
    assert data_keys.retire() == 3
    assert data_keys.retire() == 0
    assert present(data_keys).key_ids == {both.primary_id}


def test_new_master_key_wraps_the_same_data_keys(
    data_keys: DataKeys, store: MemoryDataKeyStore, master_key: AeadKeySet
) -> None:
    before = [present(data_keys, name).text for name in NAMES]
    both = master_key.with_new_primary()
    data_keys.erase("c")
    assert DataKeys(store, both).rewrap() == 2
    assert DataKeys(store, both).rewrap() == 0
    new = DataKeys(store, both.only_primary())
    assert [present(new, name).text for name in NAMES[:2]] == before[:2]
    assert {key_id_of(wrapped) for wrapped in store.wrapped.values() if wrapped} == {both.primary_id}


def test_subject_that_is_erased_or_rotated_meanwhile_stays_so(
    data_keys: DataKeys, store: MemoryDataKeyStore, master_key: AeadKeySet
) -> None:
    class Racing(MemoryDataKeyStore):
        """Another process erases "a", and rotates the others before "b" is replaced."""

        def replace(self, subject_id: str, old: bytes, new: bytes) -> bool:
            if subject_id == "a":
                store.erase("a")
            elif subject_id == "b":
                data_keys.rotate()
            return super().replace(subject_id, old, new)

    racing = Racing()
    racing.wrapped = store.wrapped
    assert DataKeys(racing, master_key).rotate() == 0
    assert data_keys.fetch(["a"]) == {"a": None}
    assert len(present(data_keys, "b").key_ids) == len(present(data_keys, "c").key_ids) == 2
