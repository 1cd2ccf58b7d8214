"""Writes of one document by one process are sent one after the other, whatever they are based on."""

import asyncio
from collections.abc import Callable

import pytest

from tor_async_couchdb import deadline
from tor_async_couchdb.documents.nonces import Nonces
from tor_async_couchdb.documents.writer import DocumentWriter
from tor_async_couchdb.errors import ConnectError
from tor_async_couchdb.model import Document
from tor_async_couchdb.observer import Observer


class HeldRule:
    """Keeps each write until the test answers it."""

    nonces = Nonces("here")

    def __init__(self) -> None:
        self.sent: list[Document] = []
        self._answers: list[asyncio.Future[Document]] = []

    async def base_of_new(self, document_id: str) -> Document:
        return {}

    async def write(self, document: Document, observer: Observer) -> Document:
        self.sent.append(document)
        self._answers.append(asyncio.get_running_loop().create_future())
        return await self._answers[-1]

    def succeed(self, rev: str) -> None:
        self._answers[-1].set_result(self.sent[-1] | {"_rev": rev})


@pytest.fixture
def rule() -> HeldRule:
    return HeldRule()


@pytest.fixture
def write(rule: HeldRule) -> Callable[[str, str], asyncio.Task[Document]]:
    async def choose() -> HeldRule:
        return rule

    writer = DocumentWriter(choose)
    return lambda document_id, rev: asyncio.create_task(
        writer.write({"_id": document_id, "_rev": rev}, Observer())
    )


Write = Callable[[str, str], asyncio.Task[Document]]


async def turn() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_write_of_a_document_waits_for_the_one_before_and_is_then_sent(
    rule: HeldRule, write: Write
) -> None:
    first, second = write("a", "1-x"), write("a", "2-y")
    await turn()
    assert [document["_rev"] for document in rule.sent] == ["1-x"]
    rule.succeed("2-y")
    await turn()
    assert [document["_rev"] for document in rule.sent] == ["1-x", "2-y"]
    rule.succeed("3-z")
    assert [(await task)["_rev"] for task in (first, second)] == ["2-y", "3-z"]


async def test_write_of_another_document_does_not_wait(rule: HeldRule, write: Write) -> None:
    tasks = [write("a", "1-x"), write("b", "1-x")]
    await turn()
    assert len(rule.sent) == 2
    for task in tasks:
        task.cancel()


async def test_write_does_not_wait_beyond_its_deadline(rule: HeldRule, write: Write) -> None:
    first = write("a", "1-x")
    await turn()
    with deadline.within(0.01):
        second = write("a", "2-y")
    with pytest.raises(ConnectError, match="another write of the document"):
        await second
    assert len(rule.sent) == 1
    first.cancel()
