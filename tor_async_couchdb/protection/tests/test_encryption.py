import asyncio
import threading
import traceback
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal

import argon2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from tor_async_couchdb import deadline
from tor_async_couchdb.actions.retrieve import AsyncModelRetrieverByDocumentID, AsyncModelsRetriever
from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.conflicts.tests.test_plan import ID, Basket, Master, Mesh, content, converge, mesh
from tor_async_couchdb.errors import (
    CouchDBError,
    DataKeyError,
    InvalidDocumentError,
    SubjectErasedError,
    TamperedError,
)
from tor_async_couchdb.guard import Open
from tor_async_couchdb.installer.re_encrypting import re_encrypted
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import (
    AddsWin,
    Counter,
    Immutable,
    Latest,
    LatestBy,
    MergedBy,
    Protection,
    Subject,
)
from tor_async_couchdb.protection import encryption, key_set, signing
from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.data_key_store import SQLiteDataKeyStore
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.encryption import Encryption, is_outdated
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.protection.signing import TamperingSigner
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.memory_data_keys import MemoryDataKeyStore
from tor_async_couchdb.tests.people import HOME, Person, person
from tor_async_couchdb.tests.revision_trees import StaleRevisionError
from tor_async_couchdb.tests.things import Documents


@pytest.fixture
def store() -> MemoryDataKeyStore:
    return MemoryDataKeyStore()


@pytest.fixture
def data_keys(store: MemoryDataKeyStore) -> DataKeys:
    return DataKeys(store, AeadKeySet.new())


@pytest.fixture
def own(data_keys: DataKeys) -> Encryption:
    return Encryption(data_keys)


async def decrypted(own: Encryption, document: Document) -> Document:
    return (await own.decrypter(Person, [document]))(document)


async def test_encrypted_document_decrypts_to_what_it_was(own: Encryption) -> None:
    stored = await own.encrypted(Person, person())
    assert HOME not in str(stored)
    assert {name: stored[name] for name in ("_id", "type", "person_id")} == {
        "_id": "1",
        "type": "person_v1.0",
        "person_id": "jane",
    }
    assert await decrypted(own, stored) == person()


async def test_equal_values_have_different_ciphertexts(own: Encryption) -> None:
    assert (await own.encrypted(Person, person()))["address"] != (await own.encrypted(Person, person()))[
        "address"
    ]


async def test_document_without_values_to_encrypt_is_stored_as_it_is(
    own: Encryption, store: MemoryDataKeyStore
) -> None:
    document = person(person_id=None, address=None, ages=None)
    assert await own.encrypted(Person, document) == document
    assert await decrypted(own, document) == document
    assert store.wrapped == {}


@pytest.mark.parametrize(
    "moved",
    [
        {"_id": "2"},
        {"type": "person_v1.1"},
    ],
)
async def test_ciphertext_that_was_moved_to_another_document_does_not_decrypt(
    own: Encryption, moved: Document
) -> None:
    stored = await own.encrypted(Person, person())
    with pytest.raises(TamperedError, match="tampering detected in document"):
        await decrypted(own, stored | moved)


async def test_ciphertext_that_was_moved_to_another_property_does_not_decrypt(own: Encryption) -> None:
    stored = await own.encrypted(Person, person())
    with pytest.raises(TamperedError):
        await decrypted(own, stored | {"address": stored["ages"]})


async def test_ciphertext_of_another_subject_does_not_decrypt(own: Encryption) -> None:
    stored = await own.encrypted(Person, person())
    other = await own.encrypted(Person, person(person_id="joe"))
    with pytest.raises(InvalidDocumentError, match="'address' of document '1': is encrypted by a key that"):
        await decrypted(own, stored | {"address": other["address"]})


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (HOME, "is not encrypted"),
        ({"encrypted": "?"}, "is not a ciphertext"),
        ({"encrypted": ""}, "is encrypted by a key that its subject does not have"),
        ({"encrypted": 7}, "is not encrypted"),
        (["x"], "is not encrypted"),
    ],
)
async def test_value_that_is_no_ciphertext_is_refused_and_not_quoted(
    own: Encryption, address: Any, reason: str
) -> None:
    stored = await own.encrypted(Person, person())
    with pytest.raises(InvalidDocumentError, match=f"property 'address' of document '1': {reason}") as error:
        await decrypted(own, stored | {"address": address})
    assert HOME not in str(error.value)


async def test_missing_key_is_not_taken_for_a_deleted_one(
    own: Encryption, store: MemoryDataKeyStore, data_keys: DataKeys
) -> None:
    stored = await own.encrypted(Person, person())
    store.wrapped.clear()
    with pytest.raises(InvalidDocumentError, match="there is no data key of subject 'jane'"):
        await decrypted(Encryption(data_keys), stored)


async def test_values_of_an_erased_subject_are_none_and_can_not_be_written_any_more(
    own: Encryption, data_keys: DataKeys
) -> None:
    stored = await own.encrypted(Person, person())
    await own.erase("jane")
    assert await decrypted(own, stored) == person(address=None, ages=None)
    assert await decrypted(Encryption(data_keys), stored) == person(address=None, ages=None)
    with pytest.raises(SubjectErasedError, match="the subject of document '1' has been erased"):
        await own.encrypted(Person, person())
    assert HOME in str(await decrypted(own, await own.encrypted(Person, person(person_id="joe"))))


async def test_subject_without_a_key_can_be_erased_too(own: Encryption) -> None:
    await own.erase("jane")
    with pytest.raises(SubjectErasedError):
        await own.encrypted(Person, person())


async def test_keys_are_cached_until_they_are_too_old(store: MemoryDataKeyStore, data_keys: DataKeys) -> None:
    now_s = 1000.0
    own = Encryption(data_keys, now=lambda: now_s)
    stored = await own.encrypted(Person, person())
    await decrypted(own, stored)
    before = len(store.fetches)
    await decrypted(own, stored)
    await own.encrypted(Person, person())
    assert len(store.fetches) == before
    data_keys.erase("jane")  # by another process
    now_s += 0.999 * encryption.MAX_AGE_S
    assert (await decrypted(own, stored))["address"] == HOME
    now_s += 0.002 * encryption.MAX_AGE_S
    assert (await decrypted(own, stored))["address"] is None


async def test_only_the_keys_that_were_used_last_are_cached(
    store: MemoryDataKeyStore, data_keys: DataKeys
) -> None:
    own = Encryption(data_keys, max_cached=2)
    stored = [await own.encrypted(Person, person(person_id=name)) for name in ("a", "b", "c")]
    store.fetches.clear()
    for document in reversed(stored):
        await decrypted(own, document)
    assert store.fetches == [["a"]]


async def test_keys_of_many_documents_are_fetched_at_once(
    own: Encryption, store: MemoryDataKeyStore, data_keys: DataKeys
) -> None:
    stored = [await own.encrypted(Person, person(person_id=name)) for name in ("a", "b", "a")]
    store.fetches.clear()
    decrypt = await Encryption(data_keys).decrypter(Person, stored)
    assert [decrypt(document)["address"] for document in stored] == [HOME] * 3
    assert store.fetches == [["a", "b"]]


async def test_key_that_another_process_rotated_in_is_fetched_when_it_is_needed(
    own: Encryption, data_keys: DataKeys
) -> None:
    old = await own.encrypted(Person, person())
    data_keys.rotate()
    new = await Encryption(data_keys).encrypted(Person, person())
    assert await decrypted(own, new) == await decrypted(own, old) == person()


async def test_each_document_is_a_subject_if_the_model_names_none(own: Encryption) -> None:
    class Note(Model, tag="note_v1.0"):
        text: Annotated[str | None, Protection.ENCRYPTED]

    stored = await own.encrypted(Note, {"_id": "n", "type": "note_v1.0", "text": HOME})
    await own.erase("n")
    assert (await own.decrypter(Note, [stored]))(stored)["text"] is None


async def test_model_without_encrypted_properties_needs_no_key(
    own: Encryption, store: MemoryDataKeyStore
) -> None:
    document = {"_id": "1", "color": "red"}
    assert await own.encrypted(Basket, document) == document
    assert (await own.decrypter(Basket, [document]))(document) == document
    assert (store.fetches, store.wrapped) == ([], {})


class HangingStore(MemoryDataKeyStore):
    """A store that does not answer before the test releases it."""

    def __init__(self) -> None:
        super().__init__()
        self.release = threading.Event()
        self.remaining_s: list[float] = []

    def hang(self) -> None:
        self.remaining_s.append(deadline.current().remaining_s())
        assert self.release.wait(10)

    def fetch(self, subject_ids: Collection[str]) -> Mapping[str, bytes | None]:
        self.hang()
        return super().fetch(subject_ids)

    def erase(self, subject_id: str) -> None:
        self.hang()
        super().erase(subject_id)


@pytest.fixture
def hanging() -> Iterator[HangingStore]:
    store = HangingStore()
    yield store
    store.release.set()


async def encrypted_elsewhere(hanging: HangingStore, master_key: AeadKeySet) -> Document:
    """A document whose data key is in the store, but not in the cache of the encryption under test."""
    hanging.release.set()
    stored = await Encryption(DataKeys(hanging, master_key)).encrypted(Person, person())
    hanging.release.clear()
    hanging.remaining_s.clear()
    return stored


@pytest.mark.parametrize(
    "use",
    [
        lambda own, stored: own.encrypted(Person, person()),
        lambda own, stored: own.decrypter(Person, [stored]),
        lambda own, stored: own.erase("jane"),
    ],
    ids=["encrypt", "decrypt", "erase"],
)
async def test_store_that_hangs_is_waited_for_until_the_deadline(
    hanging: HangingStore, use: Callable[[Encryption, Document], Awaitable[Any]]
) -> None:
    master_key = AeadKeySet.new()
    stored = await encrypted_elsewhere(hanging, master_key)
    own = Encryption(DataKeys(hanging, master_key))
    with deadline.within(0.1), pytest.raises(DataKeyError, match="did not answer before the deadline"):
        await use(own, stored)
    assert not hanging.release.is_set()
    (remaining_s,) = hanging.remaining_s
    assert 0 < remaining_s <= 0.1, "the store can't ask for the deadline"


async def test_store_that_hangs_does_not_take_the_threads_of_others(hanging: HangingStore) -> None:
    own = Encryption(DataKeys(hanging, AeadKeySet.new()))
    with deadline.within(0.1):
        results = await asyncio.gather(
            *(own.encrypted(Person, person(person_id=f"{i}")) for i in range(100)), return_exceptions=True
        )
    assert {type(result) for result in results} == {DataKeyError}
    assert await asyncio.to_thread(lambda: "runs") == "runs"


@pytest.mark.single_copy
async def test_model_is_neither_written_nor_read_if_the_store_hangs(
    hanging: HangingStore, connect: Connect, documents: Documents
) -> None:
    master_key = AeadKeySet.new()
    documents.put(**await encrypted_elsewhere(hanging, master_key))
    database = connect(guard=ProtectingGuard(encryption=Encryption(DataKeys(hanging, master_key))))
    actions: list[Awaitable[Any]] = [
        AsyncPersister(Person(person_id="joe", address="x"), database=database).persist(),
        PersonRetriever("1", database=database).fetch(),
    ]
    for action in actions:
        with deadline.within(0.5), pytest.raises(CouchDBError) as caught:
            await action
        assert isinstance(caught.value, DataKeyError)
    assert documents.count() == 1


@given(value=st.recursive(st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), st.lists))
@settings(deadline=None, max_examples=50)
def test_any_value_decrypts_to_itself(value: Any) -> None:
    key = AeadKeySet.new()
    stored = encryption.encrypted(Person, person(address=value), key)
    assert encryption.decrypted(Person, stored, {"jane": key}) == person(address=value)


def test_model_shows_no_protected_value() -> None:
    shown = Person(id="1", person_id="jane", address=HOME, ages=[1], pin_hash="hash")
    assert repr(shown) == (
        "Person(id='1', rev=None, attachments=None, person_id='jane', address=Ellipsis, ages=Ellipsis,"
        " pin_hash=Ellipsis)"
    )
    assert HOME not in str(shown.__rich_repr__())


async def test_decrypted_value_that_does_not_fit_is_not_quoted(own: Encryption) -> None:
    class Choice(Model, tag="choice_v1.0"):
        size: Annotated[Literal["small", "large"] | None, Protection.ENCRYPTED]

    stored = await own.encrypted(Choice, {"_id": "1", "type": "choice_v1.0", "size": HOME})
    readable = (await own.decrypter(Choice, [stored]))(stored)
    with pytest.raises(InvalidDocumentError, match=r"does not fit its model at `\$\.size`") as error:
        Choice.from_doc(readable)
    assert HOME not in "".join(traceback.format_exception(error.value))


class PersonRetriever(AsyncModelRetrieverByDocumentID[Person]):
    """Finds a person by a document's id."""


class PeopleRetriever(AsyncModelsRetriever[Person]):
    """Finds people."""


async def test_model_is_encrypted_in_the_database_only(
    connect: Connect, documents: Documents, own: Encryption
) -> None:
    database = connect(guard=ProtectingGuard(encryption=own))
    new = Person(person_id="jane", address=HOME, ages=[7])
    stored = await AsyncPersister(new, database=database).persist()
    assert stored == new.replace(id=stored.id, rev=stored.rev, write_nonces=stored.write_nonces)
    assert stored.id is not None
    assert HOME not in str(documents.get(stored.id))
    assert await PersonRetriever(stored.id, database=database).fetch() == stored


async def test_document_that_does_not_decrypt_is_left_out_of_a_list(
    connect: Connect, documents: Documents, own: Encryption
) -> None:
    database = connect(guard=ProtectingGuard(encryption=own))
    documents.put(
        _id="_design/people", views={"people": {"map": "function(doc) { if (doc.type) emit(doc._id); }"}}
    )
    people = [
        await AsyncPersister(Person(person_id=name, address=name), database=database).persist()
        for name in ("a", "b", "c")
    ]
    first, second, third = [documents.get(str(each.id)) for each in people]
    documents.put(**second | {"address": first["address"], "person_id": "a"})
    documents.put(**third | {"address": "not encrypted"})
    assert await PeopleRetriever("people", database=database).fetch() == people[:1]


class SecretBasket(Basket, tag="secret_basket_v1.0"):
    """Equal values of it have other ciphertexts and hashes each time."""

    basket_id: Annotated[str, Immutable(), Protection.PUBLIC, Subject()]
    color: Annotated[str | None, LatestBy("updated_on"), Protection.ENCRYPTED]  # type: ignore[assignment]  # its subject may be erased
    pin_hash: Annotated[str, LatestBy("updated_on"), Protection.HASHED] = ""
    superseded: Annotated[dict[str, int], Latest(), Protection.PUBLIC]
    updated_on: Annotated[int, Latest(), Protection.PUBLIC]
    change_counts: Annotated[dict[str, int], Counter(), Protection.PUBLIC]
    tags: Annotated[list[str], AddsWin(), Protection.PUBLIC]
    size: Annotated[float, MergedBy(max), Protection.PUBLIC]


_QUICK = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class SecretMaster(Master):
    """A master whose service encrypts and signs, and caches data keys."""

    def __init__(self, name: str, data_keys: DataKeys, signer: TamperingSigner, runner: asyncio.Runner):
        super().__init__(name, SecretBasket)
        self.signer = signer
        self._data_keys = data_keys
        self._runner = runner
        self.fetch_keys_anew()

    def fetch_keys_anew(self) -> None:
        self.encryption = Encryption(self._data_keys)

    def opener(self, leaves: Sequence[Document]) -> Open:
        live = [leaf for leaf in leaves if "_deleted" not in leaf]
        return self._runner.run(self.encryption.decrypter(SecretBasket, live))

    def sign(self, document: Document) -> Document:
        return signing.sign(self.signer, document)

    def document_of(self, basket: Basket) -> Document:
        salted = basket.replace(pin_hash=_QUICK.hash("1234"))
        document = salted.as_doc_for_store()
        try:
            stored = self._runner.run(self.encryption.encrypted(SecretBasket, document))
        except SubjectErasedError:
            stored = document | {"color": None}
        return self.sign(stored)

    def re_encrypted(self) -> list[Document]:
        """The revisions that re-encrypting would write now."""
        leaves = self.trees.live_leaves(ID)
        renewed = [re_encrypted(SecretBasket, leaf, self._data_keys, self.signer) for leaf in leaves]
        return [new for new, leaf in zip(renewed, leaves, strict=True) if new != leaf]


class SecretMesh(Mesh):
    """Encrypts, hashes and signs, while all keys are rotated. The masters share a store of data keys."""

    model_class = SecretBasket

    def master(self, name: str) -> Master:
        return SecretMaster(name, self.data_keys, self.old_signer, self.runner)

    @initialize(count=st.integers(3, 5))
    def start(self, count: int) -> None:
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name)
        SQLiteDataKeyStore.create(path / "data_keys.sqlite")
        self.store = SQLiteDataKeyStore(path / "data_keys.sqlite")
        self.data_keys = DataKeys(self.store, AeadKeySet.new())
        signing.new_key_set(path / "keys.json")
        key_id = key_set.add_key(path / "keys.json")
        self.old_signer = TamperingSigner.from_file(path / "keys.json")
        key_set.promote_key(path / "keys.json", key_id)
        self.new_signer = TamperingSigner.from_file(path / "keys.json")
        self.runner = asyncio.Runner()
        self.renewals: list[tuple[int, list[Document]]] = []
        super().start(count)

    def secret_masters(self) -> list[SecretMaster]:
        return [master for master in self.masters if isinstance(master, SecretMaster)]

    @rule(number=st.integers(0, 9))
    def sign_by_the_new_key(self, number: int) -> None:
        self.secret_masters()[self.a(number)].signer = self.new_signer

    @rule()
    def rotate_the_data_keys(self) -> None:
        self.data_keys.rotate()

    @rule(number=st.integers(0, 9))
    def take_up_the_new_data_keys(self, number: int) -> None:
        self.secret_masters()[self.a(number)].fetch_keys_anew()

    @rule(number=st.integers(0, 9))
    def begin_to_re_encrypt(self, number: int) -> None:
        number = self.a(number)
        self.renewals.append((number, self.secret_masters()[number].re_encrypted()))

    @rule(index=st.integers(0, 9))
    def finish_to_re_encrypt(self, index: int) -> None:
        if self.renewals:
            number, documents = self.renewals.pop(index % len(self.renewals))
            self.write(number, documents)

    def write(self, number: int, documents: Sequence[Document]) -> None:
        for document in documents:
            try:
                self.masters[number].trees.save(document)
            except StaleRevisionError:
                continue

    def teardown(self) -> None:
        if not hasattr(self, "masters"):
            return
        try:
            super().teardown()
            self.end_of_a_rotation()
        finally:
            self.runner.close()
            self.store.close()
            self.folder.cleanup()

    def end_of_a_rotation(self) -> None:
        """One master re-encrypts. Then no ciphertext has an old key, and no other master has to write."""
        color = self.color()
        self.data_keys.rotate()
        self.write(0, self.secret_masters()[0].re_encrypted())
        writes = [master.write_count for master in self.masters]
        converge(self.masters)
        assert [master.write_count for master in self.masters] == writes
        self.data_keys.retire()
        for master in self.secret_masters():
            master.fetch_keys_anew()
            leaf = content(master)
            assert leaf is not None
            assert leaf == content(self.masters[0])
            (key,) = self.data_keys.fetch([ID]).values()
            assert key is None or not is_outdated(SecretBasket, leaf, key)
            assert signing.verify(self.new_signer, leaf)
            assert master.model_of(leaf).color == color
            assert not leaf["pin_hash"] or _QUICK.verify(leaf["pin_hash"], "1234")

    def color(self) -> str | None:
        document = self.masters[0].read()
        assert document is not None
        return self.masters[0].model_of(document).color


class ErasingMesh(SecretMesh):
    """Also erases the subject, at any moment."""

    @rule()
    def erase(self) -> None:
        self.data_keys.erase(ID)
        for master in self.secret_masters():
            master.fetch_keys_anew()


TestSecretMesh = SecretMesh.TestCase
TestErasingMesh = ErasingMesh.TestCase
for test_case in (TestSecretMesh, TestErasingMesh):
    test_case.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)
del test_case


def test_masters_end_with_one_ciphertext_of_equal_values(tmp_path: Path) -> None:
    signing.new_key_set(tmp_path / "keys.json")
    signer = TamperingSigner.from_file(tmp_path / "keys.json")
    data_keys = DataKeys(MemoryDataKeyStore(), AeadKeySet.new())
    with asyncio.Runner() as runner:
        masters = [SecretMaster(f"master-{i}", data_keys, signer, runner) for i in range(3)]
        first = SecretBasket.create(ID)
        masters[0].trees.save(masters[0].document_of(first))
        mesh(*masters)
        for master in masters:
            document = master.read()
            assert document is not None
            master.trees.save(master.document_of(master.model_of(document).change("red", 1, master.name)))
        colors = [str(leaf["color"]) for master in masters for leaf in master.trees.live_leaves(ID)]
        assert len(set(colors)) == 3
        converge([*masters])
        assert sum(master.write_count for master in masters) <= 9
        merged = content(masters[0])
        assert merged is not None
        assert str(merged["color"]) == min(colors)
        assert masters[0].model_of(merged).color == "red"
