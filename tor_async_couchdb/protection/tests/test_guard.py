from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

import pytest

from tor_async_couchdb.actions.write import AsyncPersister
from tor_async_couchdb.errors import ConnectError, InvalidDocumentError, TamperedError
from tor_async_couchdb.guard import Sought
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME, SIGNATURE_PROPERTY_NAME
from tor_async_couchdb.model.properties import Protection
from tor_async_couchdb.observer import Observer
from tor_async_couchdb.protection import signing
from tor_async_couchdb.protection.aead_key_set import AeadKeySet
from tor_async_couchdb.protection.data_keys import DataKeys
from tor_async_couchdb.protection.encryption import Encryption
from tor_async_couchdb.protection.guard import ProtectingGuard
from tor_async_couchdb.tests.fixtures import Connect
from tor_async_couchdb.tests.memory_data_keys import MemoryDataKeyStore
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.things import Documents, Thing, ThingByIDRetriever

M = TypeVar("M", bound=Model)

SOUGHT = Sought(Thing, None, "1")


class Signer:
    def sign(self, doc: Mapping[str, Any]) -> str:
        return f"signature of {signing.signed_bytes(doc).hex()}"

    def verify(self, doc: Mapping[str, Any], signature: str) -> bool:
        return signature == self.sign(doc)


class Secret(Model, tag="secret_v1.0"):
    text: Annotated[str | None, Protection.ENCRYPTED] = None
    count: Annotated[int, Protection.PUBLIC] = 0


def secret(**properties: Any) -> Document:
    return {"_id": "1", "type": "secret_v1.0", "text": "jane", "count": 0} | properties


class RecordingHistory:
    """Notes its calls, and answers each check with another model."""

    def __init__(self, answer: Any = None) -> None:
        self.calls: list[Any] = []
        self._answer = answer

    async def check_not_rolled_back(
        self,
        model: M | None,
        sought: Sought,
        read: Callable[[], Awaitable[M | None]],
        fetch_leaves: Callable[[str], Awaitable[list[Document]]],
    ) -> M | None:
        self.calls.append(("check", model, sought, await read(), await fetch_leaves("1")))
        answer: M | None = self._answer
        return answer

    async def wrote(self, model: Model) -> None:
        self.calls.append(("wrote", model))

    async def deletes(self, model: Model) -> None:
        self.calls.append(("deletes", model))
        raise ConnectError("down")

    async def deleted(self, model: Model) -> None:
        self.calls.append(("deleted", model))

    async def close(self) -> None:
        self.calls.append("closed")


@pytest.fixture
def encryption() -> Encryption:
    return Encryption(DataKeys(MemoryDataKeyStore(), AeadKeySet.new()))


async def test_sealed_document_is_encrypted_and_its_ciphertexts_are_signed(encryption: Encryption) -> None:
    guard = ProtectingGuard(signer=Signer(), encryption=encryption)
    sealed = await guard.seal(Secret, secret())
    assert "jane" not in str(sealed)
    assert signing.verify(Signer(), sealed)
    readable = (await guard.opener(Secret, [sealed]))(sealed)
    assert Secret.from_doc(readable) == Secret(id="1", text="jane")


async def test_signature_is_verified_before_anything_is_decrypted(encryption: Encryption) -> None:
    guard = ProtectingGuard(signer=Signer(), encryption=encryption)
    sealed = await guard.seal(Secret, secret())
    for changed in ({"text": "no ciphertext"}, {"count": 1}, {SIGNATURE_PROPERTY_NAME: "x"}, {"_id": "2"}):
        forged = sealed | changed
        open_document = await guard.opener(Secret, [forged])
        with pytest.raises(TamperedError) as caught:
            open_document(forged)
        assert caught.value.document_id == forged["_id"]
    unsigned = {name: value for name, value in sealed.items() if name != SIGNATURE_PROPERTY_NAME}
    with pytest.raises(TamperedError):
        (await guard.opener(Secret, [unsigned]))(unsigned)


async def test_document_that_can_not_be_signed_is_not_sealed() -> None:
    with pytest.raises(InvalidDocumentError, match="property 'type'"):
        await ProtectingGuard(signer=Signer()).seal(Thing, {"_id": "1", "key": "a"})


async def test_guard_with_an_encryption_alone_does_not_sign(encryption: Encryption) -> None:
    guard = ProtectingGuard(encryption=encryption)
    sealed = await guard.seal(Secret, secret())
    assert SIGNATURE_PROPERTY_NAME not in sealed
    assert guard.sign(sealed) is sealed
    assert (await guard.opener(Secret, [sealed]))(sealed) == secret()


async def test_guard_with_a_signer_alone_refuses_encrypted_properties() -> None:
    guard = ProtectingGuard(signer=Signer())
    with pytest.raises(TypeError, match="Secret has encrypted properties"):
        await guard.seal(Secret, secret())
    with pytest.raises(TypeError, match="Secret has encrypted properties"):
        await guard.opener(Secret, [])


async def test_witness_checks_what_was_read_and_learns_of_writes_and_deletions() -> None:
    newer = Thing(id="1", key="a", count=2)
    witness, thing = RecordingHistory(newer), Thing(id="1", key="a", count=1)
    guard = ProtectingGuard(witness=witness)
    assert guard.keeps_history

    async def read() -> Thing | None:
        return None

    async def fetch_leaves(document_id: str) -> list[Document]:
        return [{"_id": document_id}]

    assert await guard.check_not_rolled_back(thing, SOUGHT, read, fetch_leaves) is newer
    await guard.wrote(thing)
    with pytest.raises(ConnectError):
        await guard.deletes(thing)
    await guard.deleted(thing)
    await guard.close()
    assert witness.calls == [
        ("check", thing, SOUGHT, None, [{"_id": "1"}]),
        ("wrote", thing),
        ("deletes", thing),
        ("deleted", thing),
        "closed",
    ]


async def test_guard_without_a_witness_trusts_what_it_reads() -> None:
    async def read() -> Thing | None:
        raise AssertionError("read again")

    async def fetch_leaves(document_id: str) -> list[Document]:
        raise AssertionError("asked for the leaves")

    guard, thing = ProtectingGuard(signer=Signer()), Thing(id="1", key="a")
    assert not guard.keeps_history
    assert await guard.check_not_rolled_back(thing, SOUGHT, read, fetch_leaves) is thing
    await guard.deletes(thing)
    await guard.close()


def test_each_document_is_logged_once_and_reported_each_time(caplog: pytest.LogCaptureFixture) -> None:
    guard, observer = ProtectingGuard(), RecordingObserver()
    for document_id in ("a", "b", "a", "a"):
        guard.report_tampering(TamperedError(document_id), observer)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("CRITICAL", "ALARM: tampering detected in document 'a'"),
        ("CRITICAL", "ALARM: tampering detected in document 'b'"),
    ]
    assert [error.document_id for error in observer.tampered] == ["a", "b", "a", "a"]


def test_number_of_remembered_alarms_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    guard = ProtectingGuard(max_alarms=2)
    for document_id in ("a", "b", "c", "c", "a"):
        guard.report_tampering(TamperedError(document_id), Observer())
    assert [record.getMessage()[-3:] for record in caplog.records] == ["'a'", "'b'", "'c'", "'a'"]


def test_id_of_a_document_can_not_forge_lines_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    ProtectingGuard().report_tampering(TamperedError("a\nCRITICAL all is well"), Observer())
    assert "\n" not in caplog.records[0].getMessage()


NONCES = [".2.1.second", ".1.1.first"]


@pytest.mark.parametrize(
    "changed",
    [{}, *({NONCES_PROPERTY_NAME: other} for other in ([], NONCES[:1], NONCES[::-1], [*NONCES, "x"], None))],
)
async def test_signature_covers_the_nonces_of_the_last_writes(changed: Document) -> None:
    guard = ProtectingGuard(signer=Signer())
    document = {"_id": "1", "type": "thing_v1.0", "key": "a", "count": 0, NONCES_PROPERTY_NAME: NONCES}
    sealed = await guard.seal(Thing, document)
    assert (await guard.opener(Thing, [sealed]))(sealed) == document
    changed = {name: value for name, value in sealed.items() if name != NONCES_PROPERTY_NAME} | changed
    with pytest.raises(TamperedError):
        (await guard.opener(Thing, [changed]))(changed)


async def test_change_of_stored_nonces_is_tampering(connect: Connect, documents: Documents) -> None:
    database = connect(guard=ProtectingGuard(signer=Signer()))
    thing = await AsyncPersister(Thing(key="a"), database=database).persist()
    thing = await AsyncPersister(thing.replace(count=1), database=database).persist()
    retriever = ThingByIDRetriever(str(thing.id), database=database)
    assert await retriever.fetch() == thing
    stored = documents.get(str(thing.id))
    assert len(stored[NONCES_PROPERTY_NAME]) == 2
    documents.put(**stored | {NONCES_PROPERTY_NAME: stored[NONCES_PROPERTY_NAME][:1]})
    with pytest.raises(TamperedError):
        await retriever.fetch()
