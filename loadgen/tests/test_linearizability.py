"""The verdict on histories: written by hand, valid ones with planted faults, and all small ones."""

import itertools
import random
from dataclasses import dataclass

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loadgen.history import HistoryError, Operation
from loadgen.linearizability import Fault, Reads, check
from loadgen.tests import brute_force
from loadgen.tests.histories import any_histories, operation, valid_histories

CREATED = operation("create", 0, 1, 0)
BOTH = pytest.mark.parametrize("reads", Reads)


def faults(*history: Operation, reads: Reads = Reads.LINEARIZABLE) -> list[Fault]:
    return [violation.fault for violation in check(history, reads).violations]


@BOTH
def test_empty_history_is_linearizable(reads: Reads) -> None:
    verdict = check([], reads)
    assert (verdict.is_linearizable, verdict.operations, verdict.documents) == (True, 0, 0)


@BOTH
def test_concurrent_updates_and_reads_in_order_are_linearizable(reads: Reads) -> None:
    history = [
        CREATED,
        operation("update", 2, 9, 2, client=2),
        operation("update", 3, 10, 1, client=3),
        operation("read", 4, 5, 0, client=4),
        operation("read", 6, 8, 2, client=5),
    ]
    assert faults(*history, reads=reads) == []


@BOTH
def test_lost_update_is_found_and_both_updates_are_shown(reads: Reads) -> None:
    one, other = operation("update", 2, 5, 1, client=2), operation("update", 3, 6, 1, client=3)
    (violation,) = check([CREATED, one, other], reads).violations
    assert (violation.fault, violation.operations) == (Fault.LOST_UPDATE, (one, other))
    assert str(violation).splitlines() == [
        "document apple: lost update: two clients were told that theirs is change 1",
        "  [2 .. 5 ns] client 2: update, 200 with change_count 1",
        "  [3 .. 6 ns] client 3: update, 200 with change_count 1",
    ]


@BOTH
def test_update_with_the_count_of_the_creation_is_a_lost_update(reads: Reads) -> None:
    assert faults(CREATED, operation("update", 2, 3, 0), reads=reads) == [Fault.LOST_UPDATE]


@BOTH
def test_doubled_update_is_found(reads: Reads) -> None:
    doubled = operation("update", 2, 5, 2)
    (violation,) = check([CREATED, doubled], reads).violations
    assert (violation.fault, violation.operations) == (Fault.UNEXPLAINED_CHANGE, (doubled,))


@BOTH
def test_refused_update_that_was_applied_is_found(reads: Reads) -> None:
    refused = operation("update", 2, 3, status=409, client=2)
    assert faults(CREATED, refused, operation("read", 4, 5, 1), reads=reads) == [Fault.UNEXPLAINED_CHANGE]


@BOTH
@pytest.mark.parametrize("status", [None, 500, 503, 504, 200])
def test_update_of_unknown_outcome_may_be_applied_late_or_never(reads: Reads, status: int | None) -> None:
    unknown = operation("update", 2, 3, status=status, client=2)
    assert check([CREATED, unknown], reads).unknown == 1
    assert faults(CREATED, unknown, operation("read", 9, 10, 0), reads=reads) == []
    history = [CREATED, unknown, operation("read", 9, 10, 0), operation("read", 11, 12, 1)]
    assert faults(*history, reads=reads) == []


@BOTH
def test_update_of_unknown_outcome_is_applied_once(reads: Reads) -> None:
    unknown = operation("update", 2, 3, status=None, client=2)
    assert faults(CREATED, unknown, operation("read", 4, 5, 2), reads=reads) == [Fault.UNEXPLAINED_CHANGE]


@BOTH
def test_update_of_unknown_outcome_is_not_applied_before_its_start(reads: Reads) -> None:
    unknown = operation("update", 6, 7, status=None, client=2)
    assert faults(CREATED, operation("read", 4, 5, 1), unknown, reads=reads) == [Fault.UNEXPLAINED_CHANGE]
    assert faults(CREATED, operation("read", 4, 6, 1), unknown, reads=reads) == []


def test_stale_read_is_found_and_allowed_to_other_sessions() -> None:
    update, read = operation("update", 2, 3, 1, client=2), operation("read", 4, 5, 0, client=3)
    (violation,) = check([CREATED, update, read]).violations
    assert (violation.fault, violation.operations) == (Fault.STALE_READ, (update, read))
    assert faults(CREATED, update, read, reads=Reads.SESSION) == []


def test_two_reads_that_go_back_are_stale() -> None:
    update = operation("update", 2, 20, 1, client=2)
    history = [CREATED, operation("read", 3, 4, 1, client=3), operation("read", 5, 6, 0, client=4), update]
    assert faults(*history) == [Fault.STALE_READ]
    assert faults(*history, reads=Reads.SESSION) == []


@pytest.mark.parametrize("kind", ["read", "update"])
def test_session_goes_forward_only(kind: str) -> None:
    seen = operation("read" if kind == "read" else "update", 4, 5, 1, client=2)
    update = [operation("update", 2, 3, 1)] if kind == "read" else []
    back = operation("read", 6, 7, 0, client=2)
    (violation,) = check([CREATED, *update, seen, back], Reads.SESSION).violations
    assert (violation.fault, violation.operations) == (Fault.SESSION, (seen, back))


@BOTH
def test_read_of_the_future_is_found(reads: Reads) -> None:
    read, update = operation("read", 2, 3, 1, client=2), operation("update", 4, 5, 1, client=3)
    (violation,) = check([CREATED, read, update], reads).violations
    assert (violation.fault, violation.operations) == (Fault.READ_OF_THE_FUTURE, (read, update))


@BOTH
def test_updates_in_the_wrong_order_are_found(reads: Reads) -> None:
    later, earlier = operation("update", 2, 3, 2, client=2), operation("update", 4, 5, 1, client=3)
    assert faults(CREATED, later, earlier, reads=reads) == [Fault.WRONG_ORDER]


@BOTH
def test_document_that_nobody_made_is_found(reads: Reads) -> None:
    assert faults(operation("read", 2, 3, 0), reads=reads) == [Fault.UNEXPLAINED_CHANGE]


@BOTH
def test_huge_change_count_is_found_at_once(reads: Reads) -> None:
    assert faults(CREATED, operation("read", 2, 3, 2**62), reads=reads) == [Fault.UNEXPLAINED_CHANGE]


@BOTH
def test_document_that_is_made_again_starts_a_new_epoch(reads: Reads) -> None:
    history = [
        operation("create", 0, 1, 0, epoch="monday"),
        operation("update", 2, 3, 1, epoch="monday"),
        operation("delete", 4, 5, epoch="monday"),
        operation("read", 6, 7, status=404),
        operation("create", 8, 9, 0, epoch="friday"),
        operation("update", 10, 11, 1, epoch="friday"),
    ]
    assert faults(*history, reads=reads) == []
    without_deletion = [each for each in history if each.kind != "delete"]
    assert faults(*without_deletion, reads=reads) == [Fault.UNEXPLAINED_CHANGE]
    unknown = operation("delete", 4, 5, status=None, client=2)
    assert faults(*without_deletion, unknown, reads=reads) == []


def test_read_of_an_earlier_epoch_is_stale() -> None:
    history = [
        operation("create", 0, 1, 0, epoch="a"),
        operation("delete", 2, 3, epoch="a", client=4),
        operation("create", 4, 5, 0, epoch="b", client=2),
        operation("read", 6, 7, 0, epoch="a", client=3),
    ]
    assert faults(*history) == [Fault.STALE_READ]
    assert faults(*history, reads=Reads.SESSION) == []
    back = operation("read", 8, 9, 0, epoch="a", client=2)
    assert faults(*history, back, reads=Reads.SESSION) == [Fault.SESSION]


def test_reads_that_find_nothing_while_there_is_something_are_found() -> None:
    history = [CREATED, operation("read", 2, 3, status=404, client=2), operation("read", 4, 5, 0, client=3)]
    assert faults(*history) == [Fault.STALE_READ]
    assert faults(*history, reads=Reads.SESSION) == []
    assert faults(CREATED, operation("read", 2, 3, status=404)) == [Fault.UNEXPLAINED_CHANGE]


@BOTH
def test_deleted_twice_or_made_twice_is_found(reads: Reads) -> None:
    deletions = operation("delete", 2, 3, client=2), operation("delete", 4, 5, client=3)
    assert faults(CREATED, *deletions, reads=reads) == [Fault.LOST_UPDATE]
    assert faults(CREATED, operation("create", 2, 3, 0, client=2), reads=reads) == [Fault.WRONG_EPOCH]


def test_documents_are_checked_apart() -> None:
    other = operation("create", 0, 1, 0, document="pear")
    wrong = operation("update", 2, 3, 3, document="pear")
    verdict = check([CREATED, other, wrong, operation("update", 4, 5, 1)])
    assert [violation.document for violation in verdict.violations] == ["pear"]
    assert str(verdict) == "linearizable: no, 4 operations"


def test_verdict_says_what_reads_were_held_to() -> None:
    assert str(check([CREATED] * 1)) == "linearizable: yes, 1 operations"
    assert (
        str(check([CREATED], Reads.SESSION)) == "linearizable: yes, 1 operations (writes; reads per session)"
    )


def test_sessions_need_clients_that_do_one_thing_at_a_time() -> None:
    history = [operation("create", 0, 5, 0), operation("read", 4, 6, 0)]
    assert check(history).is_linearizable
    with pytest.raises(HistoryError, match="client 1 has two operations at the same time"):
        check(history, Reads.SESSION)


@BOTH
@given(history=valid_histories())
def test_what_a_correct_service_does_is_linearizable(reads: Reads, history: list[Operation]) -> None:
    verdict = check(history, reads)
    assert verdict.is_linearizable, verdict.violations[0]
    assert verdict.operations == len(history)


@given(history=valid_histories(), seed=st.integers())
def test_order_of_the_lines_does_not_matter(history: list[Operation], seed: int) -> None:
    random.Random(seed).shuffle(history)  # noqa: S311 - not a secret
    assert check(history).is_linearizable


SETTLED = valid_histories(epochs=False, settled=True).filter(
    lambda history: any(each.kind == "update" for each in history)
)


def updates_of(history: list[Operation]) -> list[Operation]:
    return [each for each in history if each.kind == "update"]


@BOTH
@given(history=SETTLED, data=st.data())
def test_planted_lost_update_is_found(reads: Reads, history: list[Operation], data: st.DataObject) -> None:
    """The service overwrites an update: from then on all counts are lower by one."""
    lost = data.draw(st.sampled_from(updates_of(history)))
    count = lost.change_count or 0
    for each in history:
        if each is not lost and (each.change_count or 0) > count:
            each.change_count = (each.change_count or 0) - 1
    others = [each for each in updates_of(history) if each.change_count == count and each is not lost]
    assume(others)
    assert faults(*history, reads=reads) == [Fault.LOST_UPDATE]


@BOTH
@given(history=SETTLED, data=st.data())
def test_planted_doubled_update_is_found(reads: Reads, history: list[Operation], data: st.DataObject) -> None:
    """The service applies an update twice: from then on all counts are higher by one."""
    doubled = data.draw(st.sampled_from(updates_of(history)))
    count = doubled.change_count or 0
    for each in history:
        if (each.change_count or 0) >= count:
            each.change_count = (each.change_count or 0) + 1
    assert faults(*history, reads=reads) == [Fault.UNEXPLAINED_CHANGE]


@given(history=SETTLED, data=st.data())
def test_planted_stale_read_is_found(history: list[Operation], data: st.DataObject) -> None:
    """The last read shows a version before the last one."""
    history[-1].change_count = data.draw(st.integers(0, (history[-1].change_count or 0) - 1))
    assert faults(*history) == [Fault.STALE_READ]


@BOTH
@given(history=SETTLED, data=st.data())
def test_planted_read_of_the_future_is_found(
    reads: Reads, history: list[Operation], data: st.DataObject
) -> None:
    """A read that ended before an update was sent shows it, or a later one."""
    update = data.draw(st.sampled_from(updates_of(history)))
    assume(update.start_ns >= 4)
    shown = data.draw(st.integers(update.change_count or 0, history[-1].change_count or 0))
    read = operation("read", 2, data.draw(st.integers(2, update.start_ns - 1)), shown, client=77, epoch="1")
    later = [each for each in updates_of(history) if (each.change_count or 0) <= shown]
    assume(max(each.start_ns for each in later) > read.end_ns)
    assert faults(*history, read, reads=reads) == [Fault.READ_OF_THE_FUTURE]


@BOTH
@given(history=any_histories())
def test_verdict_is_that_of_a_search(reads: Reads, history: list[Operation]) -> None:
    assert check(history, reads).is_linearizable == brute_force.is_linearizable(history, reads)


@given(history=any_histories(epochs=("1", "2"), most=7))
def test_verdict_on_two_epochs_is_that_of_a_search_unless_it_is_lenient(history: list[Operation]) -> None:
    expected = brute_force.is_linearizable(history, Reads.LINEARIZABLE)
    verdict = check(history)
    if expected or not any(each.is_unknown for each in history):
        assert verdict.is_linearizable == expected, verdict.violations


@given(history=valid_histories(most=7))
def test_search_accepts_what_a_correct_service_does(history: list[Operation]) -> None:
    assert brute_force.is_linearizable(history, Reads.LINEARIZABLE)


@dataclass(frozen=True)
class Timing:
    """When an operation of an exhaustive history starts and ends."""

    start_ns: int
    end_ns: int


def test_verdict_on_all_tiny_histories_is_that_of_a_search() -> None:
    """Two updates and a read of one document, with all counts, outcomes and overlaps."""
    times = [Timing(*pair) for pair in itertools.combinations(range(2, 6), 2)]
    shapes = [("update", 1), ("update", 2), ("update", None)]
    wrong = 0
    for (one, other), moments in itertools.product(
        itertools.product(shapes, repeat=2), itertools.product(times, repeat=3)
    ):
        history = [CREATED]
        for client, ((_, count), time) in enumerate(zip((one, other), moments, strict=False), 2):
            status = None if count is None else 200
            history.append(
                operation("update", time.start_ns, time.end_ns, count, client=client, status=status)
            )
        for seen in range(3):
            read = operation("read", moments[2].start_ns, moments[2].end_ns, seen, client=4)
            for reads in Reads:
                expected = brute_force.is_linearizable([*history, read], reads)
                assert check([*history, read], reads).is_linearizable == expected, (history, read, reads)
                wrong += not expected
    assert wrong > 0


def test_operations_survive_json() -> None:
    update = operation("update", 2, 3, 1, epoch="monday")
    assert msgspec.json.decode(msgspec.json.encode(update), type=Operation) == update
