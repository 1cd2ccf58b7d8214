from typing import Annotated

import pytest

from tor_async_couchdb.errors import TamperedError
from tor_async_couchdb.guard import Guard, Sought
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.properties import Protection
from tor_async_couchdb.tests.recording_observer import RecordingObserver
from tor_async_couchdb.tests.things import Thing

DOCUMENT = {"_id": "1", "type": "thing_v1.0", "key": "a", "count": 0}


class Secret(Model, tag="secret_v1.0"):
    text: Annotated[str | None, Protection.ENCRYPTED] = None


async def test_documents_are_stored_and_read_unchanged() -> None:
    guard = Guard()
    before = dict(DOCUMENT)
    assert await guard.seal(Thing, DOCUMENT) is DOCUMENT
    assert guard.sign(DOCUMENT) is DOCUMENT
    open_document = await guard.opener(Thing, [DOCUMENT])
    assert open_document(DOCUMENT) is DOCUMENT
    assert before == DOCUMENT


async def test_model_with_encrypted_properties_is_never_stored_or_read_without_an_encryption() -> None:
    for document in ({"_id": "1", "text": "secret"}, {"_id": "1", "text": None}):
        with pytest.raises(TypeError, match="Secret has encrypted properties: give its database a"):
            await Guard().seal(Secret, document)
        with pytest.raises(TypeError, match="Secret has encrypted properties"):
            await Guard().opener(Secret, [document])


@pytest.mark.parametrize("model", [Thing(id="1", key="a"), None])
async def test_read_is_trusted_without_another_one(model: Thing | None) -> None:
    async def read() -> Thing | None:
        raise AssertionError("read again")

    async def fetch_leaves(document_id: str) -> list[Document]:
        raise AssertionError("asked for the leaves")

    guard = Guard()
    assert not guard.keeps_history
    assert await guard.check_not_rolled_back(model, Sought(Thing, None, "1"), read, fetch_leaves) is model


async def test_writes_and_deletions_are_never_refused() -> None:
    guard, thing = Guard(), Thing(id="1", key="a")
    await guard.wrote(thing)
    await guard.deletes(thing)
    await guard.deleted(thing)
    await guard.close()


def test_each_report_of_tampering_reaches_the_observer(caplog: pytest.LogCaptureFixture) -> None:
    observer, error = RecordingObserver(), TamperedError("1")
    for _ in range(2):
        Guard().report_tampering(error, observer)
    assert observer.tampered == [error, error]
    assert caplog.records == []
