import re
from typing import Any

import pytest

from tor_async_couchdb.documents.nonces import MAX_NONCES, Nonce, Nonces, merged, nonces_of, parsed
from tor_async_couchdb.model import Document
from tor_async_couchdb.model.model import NONCES_PROPERTY_NAME


def document_with(*nonces: str, rev: str | None = None) -> Document:
    document: Document = {"_id": "a", "n": 1, NONCES_PROPERTY_NAME: list(nonces)}
    return document if rev is None else document | {"_rev": rev}


def next_nonce(document: Document, database_id: str = "here") -> Nonce | None:
    return parsed(nonces_of(Nonces(database_id).added_to(document))[0])


def test_first_write_has_one_nonce_and_its_document_is_left_as_it_was() -> None:
    document = {"_id": "a"}
    written = Nonces("here", token=lambda: "random").added_to(document)
    assert written == {"_id": "a", NONCES_PROPERTY_NAME: ["here.1.1.random"]}
    assert document == {"_id": "a"}


def test_each_write_has_a_nonce_of_its_own() -> None:
    nonces = {nonces_of(Nonces("").added_to({"_id": "a"}))[0] for _ in range(1000)}
    assert len(nonces) == 1000
    assert all(re.fullmatch(r"\.1\.1\.[\w-]{12}", nonce) for nonce in nonces)


def test_generation_is_that_of_the_revision_that_the_write_makes() -> None:
    assert next_nonce({"_id": "a", "_rev": "7-b"}) == Nonce("here", 8, since=8)


def test_since_goes_on_as_long_as_this_database_and_library_make_all_revisions() -> None:
    assert next_nonce(document_with("here.7.3.x", rev="7-b")) == Nonce("here", 8, since=3)


@pytest.mark.parametrize(
    "before", ["here.6.3.x", "here.8.3.x", "there.7.3.x", ".7.3.x", "here.7.x", "here.7.-3.x", "nonsense", ""]
)
def test_since_begins_anew_after_a_revision_that_was_made_elsewhere(before: str) -> None:
    assert next_nonce(document_with(before, "here.7.3.x", rev="7-b")) == Nonce("here", 8, since=8)


def test_document_that_is_made_again_begins_anew() -> None:
    assert next_nonce(document_with("here.7.3.x")) == Nonce("here", 1, since=1)


def test_nonces_are_bounded_and_the_newest_is_the_first() -> None:
    tokens = iter(range(100))
    nonces = Nonces("here", token=lambda: str(next(tokens)))
    document: Document = {"_id": "a"}
    for generation in range(1, 3 * MAX_NONCES):
        document = nonces.added_to(document) | {"_rev": f"{generation}-b"}
        newest = range(generation, max(0, generation - MAX_NONCES), -1)
        assert nonces_of(document) == [f"here.{each}.1.{each - 1}" for each in newest]


@pytest.mark.parametrize("malformed", [None, "here.1.1.x", 7, {"here.1.1.x": 1}, True])
def test_property_that_is_no_list_has_no_nonces(malformed: Any) -> None:
    document = {"_id": "a", "_rev": "1-b", NONCES_PROPERTY_NAME: malformed}
    assert list(nonces_of(document)) == []
    assert next_nonce(document) == Nonce("here", 2, since=2)
    assert len(Nonces("here").added_to(document)[NONCES_PROPERTY_NAME]) == 1
    assert merged([document]) == {}


def test_what_is_no_text_in_the_list_is_left_out() -> None:
    document: Document = {NONCES_PROPERTY_NAME: [None, 7, ["here.1.1.x"], "here.1.1.x", {}]}
    assert nonces_of(document) == ["here.1.1.x"]


@pytest.mark.parametrize(
    "nonce",
    ["", "...", "here.1.x", "here.1.1.x.y", "here.one.1.x", "here.1.-1.x", "here.1..x", "here.².1.x",
     "here.٣.1.x", "here.1234567890.1.x"],
)  # fmt: skip
def test_malformed_nonce_has_no_parts(nonce: str) -> None:
    assert parsed(nonce) is None


@pytest.mark.parametrize("database_id", ["", "here", "-_9"])
def test_nonce_names_its_database(database_id: str) -> None:
    assert next_nonce({"_id": "a"}, database_id) == Nonce(database_id, 1, since=1)


def test_merge_has_the_nonces_of_all_leaves_once_whatever_their_order() -> None:
    one = document_with("here.9.2.a", "here.8.2.b", "malformed")
    other = document_with("there.10.2.c", "here.8.2.b")
    expected = {NONCES_PROPERTY_NAME: ["there.10.2.c", "here.9.2.a", "here.8.2.b", "malformed"]}
    assert merged([one, other]) == merged([other, one]) == expected


def test_merge_has_a_bounded_number_of_nonces_the_newest_first() -> None:
    leaves = [document_with(*(f"{n}.{generation}.1.x" for generation in range(8, 0, -1))) for n in range(9)]
    nonces = nonces_of(merged(leaves))
    assert len(nonces) == 32
    assert nonces[0] == "8.8.1.x"
    assert {nonce.split(".")[1] for nonce in nonces} == {"8", "7", "6", "5"}


def test_merge_of_leaves_without_nonces_has_none() -> None:
    assert merged([{"_id": "a"}, {"_id": "a"}]) == {}
