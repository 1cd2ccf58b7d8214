"""What each kind of answer means."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.answers import OUTCOME_UNKNOWN_PROBLEM, Outcome, answer_to_read, answer_to_update, conflict_count

FRUIT_ID = "ab" * 16


def fruit(change_count: object, fruit_id: str = FRUIT_ID) -> bytes:
    return json.dumps({"fruit_id": fruit_id, "change_count": change_count}).encode()


def test_update_that_answers_with_the_fruit_succeeded() -> None:
    answer = answer_to_update(200, 3, fruit(7), FRUIT_ID)
    assert (answer.outcome, answer.change_count, answer.conflicts) == (Outcome.SUCCEEDED, 7, 3)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b"\xff", fruit("7"), fruit(True), fruit(-1), fruit(2**63), fruit(7, "cd" * 16)],
)
def test_200_without_the_fruit_proves_no_update_and_no_read(body: bytes) -> None:
    assert answer_to_update(200, 0, body, FRUIT_ID).outcome is Outcome.UNKNOWN
    assert answer_to_read(200, 0, body, FRUIT_ID).outcome is Outcome.REFUSED


def test_409_is_given_up() -> None:
    answer = answer_to_update(409, 1, b'{"title": "Conflict"}', FRUIT_ID)
    assert (answer.outcome, answer.conflicts, answer.detail) == (Outcome.GIVEN_UP, 1, "409 Conflict")


def test_503_is_refused_unless_it_says_that_the_outcome_is_unknown() -> None:
    problem = json.dumps({"type": OUTCOME_UNKNOWN_PROBLEM}).encode()
    assert answer_to_update(503, 0, problem, FRUIT_ID).outcome is Outcome.UNKNOWN
    assert answer_to_update(500, 0, problem, FRUIT_ID).outcome is Outcome.REFUSED
    assert answer_to_update(503, 0, b'{"type": "about:blank"}', FRUIT_ID).outcome is Outcome.REFUSED
    assert answer_to_update(503, 0, b"", FRUIT_ID).outcome is Outcome.REFUSED


@given(
    status=st.integers(100, 599).filter(lambda status: status not in (200, 409, 412, 503)),
    body=st.binary(),
)
def test_any_other_status_is_refused(status: int, body: bytes) -> None:
    assert answer_to_update(status, 0, body, FRUIT_ID).outcome is Outcome.REFUSED
    assert answer_to_read(status, 0, body, FRUIT_ID).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("header", "count"),
    [("0", 0), ("12", 12), (None, 0), ("", 0), ("-1", 0), ("x", 0), ("²", 0), (["1", "2"], 0), ("1" * 10, 0)],
)
def test_conflict_count_is_a_small_number_or_none(header: object, count: int) -> None:
    assert conflict_count(header) == count
