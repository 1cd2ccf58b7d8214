"""The rule for writes to a cluster, against a simulated one and step by step."""

from collections.abc import Container

import pytest

from tor_async_couchdb.documents.leaf import Leaf
from tor_async_couchdb.documents.nonces import MAX_NONCES
from tor_async_couchdb.documents.sealing import Attempt, Decision, Known, Pushed, Step, decide
from tor_async_couchdb.model import Document
from tor_async_couchdb.testing.cluster_mistakes import MISTAKES
from tor_async_couchdb.testing.cluster_schedules import CIRCUMSTANCES, Schedule

SCHEDULES = 220  # for each of the ten circumstances
MAX_SCHEDULES = 700  # until a mistake has to show


@pytest.mark.parametrize("circumstances", CIRCUMSTANCES)
def test_no_acknowledged_change_is_lost_or_doubled(circumstances: str) -> None:
    outcomes = [Schedule(seed, CIRCUMSTANCES[circumstances]).run() for seed in range(SCHEDULES)]
    problems = {seed: outcome.problems for seed, outcome in enumerate(outcomes) if outcome.problems}
    assert problems == {}
    # The schedules are no good if nobody meets anybody.
    assert sum(outcome.acknowledged for outcome in outcomes) > 4 * SCHEDULES
    assert sum(outcome.refused for outcome in outcomes) > SCHEDULES
    assert sum(outcome.hows["buried"] for outcome in outcomes) > SCHEDULES / 2


def test_clients_that_stay_alive_learn_what_became_of_each_write() -> None:
    outcomes = [Schedule(seed, CIRCUMSTANCES["clients only"]).run() for seed in range(SCHEDULES)]
    assert sum(outcome.unknown for outcome in outcomes) == 0


@pytest.mark.parametrize("name", MISTAKES)
def test_simulation_finds_a_planted_mistake(name: str) -> None:
    mistake = MISTAKES[name]
    circumstances = CIRCUMSTANCES[mistake.circumstances]
    assert any(
        Schedule(seed, circumstances, mistake.make_sealer).run().problems for seed in range(MAX_SCHEDULES)
    )


@pytest.mark.parametrize("seed", [0, 7, 4711])
def test_schedule_with_the_same_seed_runs_the_same_way(seed: int) -> None:
    first, second = (Schedule(seed, CIRCUMSTANCES["all at once"]).run() for _ in range(2))
    assert first == second


# --- the steps

BASE = "5-b"


def nonce(number: int, generation: int, *, since: int = 1, database_id: str = "here") -> str:
    return f"{database_id}.{generation}.{since}.{number}"


def leaf(rev: str, *ancestors: str, nonces: list[str] | None = None, **members: object) -> Leaf:
    """The leaf whose last nonces are `nonces`, the latest first."""
    generation, _, name = rev.partition("-")
    ids = [name, *(ancestor.partition("-")[2] for ancestor in ancestors)]
    revisions = {"start": int(generation), "ids": ids}
    document = {"_id": "d", "_rev": rev, "_revisions": revisions, "write_nonces_v1.0": nonces or []}
    return Leaf(document | members)


def attempt_of(number: int = 1, base: str | None = BASE, *, accepted: str | None = None) -> Attempt:
    generation = 1 if base is None else int(base.partition("-")[0]) + 1
    document: Document = {"_id": "d", "write_nonces_v1.0": [nonce(number, generation)]}
    attempt = Attempt(document if base is None else document | {"_rev": base})
    if accepted is not None:
        attempt.revs.add(accepted)
    return attempt


def step(
    attempt: Attempt,
    *leaves: Leaf,
    buried: Container[str] = (),
    pushed: Pushed | None = None,
    age_s: float = 0.0,
) -> Decision:
    ages_s = {each.rev: age_s for each in leaves}
    return decide(attempt, leaves, Known("here", buried=buried, pushed=pushed, ages_s=ages_s))


OWN = leaf("6-m", BASE, "4-a", nonces=[nonce(1, 6)])
HIGHER = leaf("6-z", BASE, "4-a", nonces=[nonce(2, 6)])
LOWER = leaf("6-a", BASE, "4-a", nonces=[nonce(3, 6)])
UNDONE = leaf("7-u", "6-a", BASE, _deleted=True, undone={"rev": "6-a"})


def test_write_on_all_copies_without_a_rival_is_acknowledged() -> None:
    attempt = attempt_of(accepted="6-m")
    attempt.revs_on_all_copies.add("6-m")
    assert step(attempt, OWN).step is Step.ACKNOWLEDGE


def test_lower_leaf_is_buried_by_its_writer_under_the_highest() -> None:
    assert step(attempt_of(accepted="6-m"), OWN, HIGHER) == Decision(Step.BURY, HIGHER, [OWN])


def test_write_whose_leaf_is_buried_on_all_copies_has_lost_the_race() -> None:
    attempt = attempt_of(accepted="6-m")
    burial = leaf("7-u", "6-m", BASE, "4-a", _deleted=True, undone={"rev": "6-m"})
    # As long as a copy lacks the burial, another writer may build on the leaf there.
    assert step(attempt, burial, HIGHER) == Decision(Step.PUSH, HIGHER, [burial])
    assert step(attempt, burial, HIGHER, pushed=Pushed("6-z", frozenset({"7-u"}))).step is Step.CONFLICT
    assert step(attempt, burial, HIGHER, buried={"7-u"}).step is Step.CONFLICT


def test_lower_leaf_of_another_writer_is_buried() -> None:
    assert step(attempt_of(accepted="6-m"), OWN, LOWER) == Decision(Step.BURY, OWN, [LOWER])


@pytest.mark.parametrize(
    "nonces",
    [[], ["other.6.1.9"], ["here.6.6.9"], [nonce(9, 5)], ["no nonce"]],
    ids=["no nonce", "another cluster's", "after another program's", "a copy of an older", "malformed"],
)
@pytest.mark.parametrize("age_s", [0.0, 1000.0])
def test_leaf_from_elsewhere_is_never_buried(nonces: list[str], age_s: float) -> None:
    foreign = leaf("6-a", "5-f", "4-a", nonces=nonces)
    decision = step(attempt_of(accepted="6-m"), OWN, foreign, age_s=age_s)
    assert decision.step is Step.PUSH
    assert decision.others == []


def test_older_changes_are_not_buried_under_a_leaf_from_elsewhere() -> None:
    foreign = leaf("7-f", "6-f", "5-f", "4-a")  # it does not contain 5-b, which may be acknowledged
    assert step(attempt_of(accepted="6-m"), OWN, foreign).step is Step.WAIT  # for somebody to merge them
    assert step(attempt_of(accepted="6-m"), OWN, foreign, age_s=1.1).step is Step.UNKNOWN


def test_own_change_alone_is_buried_under_a_leaf_from_elsewhere() -> None:
    foreign = leaf("7-f", "6-f", BASE, "4-a")
    assert step(attempt_of(accepted="6-m"), OWN, foreign).step is Step.BURY


def test_pad_of_another_writers_change_is_not_buried_under_a_leaf_from_elsewhere() -> None:
    attempt = attempt_of(accepted="6-m")
    attempt.nonces.add(nonce(4, 8))
    attempt.pads.add("8-p")
    pad = leaf("8-p", "7-o", "6-m", BASE, nonces=[nonce(4, 8), nonce(2, 7), nonce(1, 6)])
    foreign = leaf("9-f", "8-f", "7-f", "6-m", BASE, nonces=[nonce(1, 6)])
    assert step(attempt, pad, foreign) == (Step.WAIT, None, ())
    assert step(attempt, pad, foreign, age_s=9.0) == (Step.UNKNOWN, None, ())


@pytest.mark.parametrize(
    ("deletion", "follows"), [("6-a", Step.PUSH), ("5-t", Step.PUSH), ("4-t", Step.ACKNOWLEDGE)]
)
def test_new_document_has_to_rank_above_one_that_begins_from_the_latest_deletion(
    deletion: str, follows: Step
) -> None:
    attempt = attempt_of(accepted="6-m")
    attempt.revs_on_all_copies.add("6-m")
    tombstone = leaf(deletion, "3-z", _deleted=True)
    assert step(attempt, OWN, tombstone, buried={deletion}).step is follows
    pushed = Pushed("6-m", frozenset())
    decision = step(attempt, OWN, tombstone, buried={deletion}, pushed=pushed)
    assert decision.step is (Step.PAD if follows is Step.PUSH else Step.ACKNOWLEDGE)


def test_new_document_has_to_rank_above_one_that_begins_from_a_deletion_that_was_buried() -> None:
    attempt = attempt_of(accepted="6-m")
    attempt.revs_on_all_copies.add("6-m")
    deletion = leaf("6-a", BASE, _deleted=True, type="d_v1.0")
    burial = deletion.burial()
    assert burial["type"] == "d_v1.0"
    buried = leaf("7-u", "6-a", BASE, **{name: burial[name] for name in ("_deleted", "undone")})
    assert step(attempt, OWN, buried, buried={"7-u"}).step is Step.PUSH
    assert step(attempt, OWN, UNDONE, buried={"7-u"}).step is Step.ACKNOWLEDGE  # this one was no deletion


@pytest.mark.parametrize("undone", [True, "no", ["x"], {"deletion": True}])
def test_document_may_have_a_property_that_is_named_like_the_mark_of_a_burial(undone: object) -> None:
    assert leaf("6-m", BASE, undone=undone).deletion_generation is None


def test_tombstone_of_another_program_may_have_anything_for_a_mark() -> None:
    assert leaf("6-m", BASE, _deleted=True, undone=True).deletion_generation is None


def test_new_document_counts_once_a_pad_was_seen_above_those_that_begin_from_the_same_tombstone() -> None:
    attempt = attempt_of(accepted="6-m")
    attempt.begins_from_tombstone = True
    pushed = Pushed("6-m", frozenset())
    assert step(attempt, OWN).step is Step.PUSH
    assert step(attempt, OWN, pushed=pushed).step is Step.PAD
    attempt.nonces.add(nonce(9, 7))
    attempt.revs.add("7-p")
    attempt.pads_on_most_copies.add("7-p")
    assert step(attempt, OWN, pushed=pushed).step is Step.PAD  # a pad that dropped out proves nothing
    padded = leaf("7-p", "6-m", BASE, nonces=[nonce(9, 7), nonce(1, 6)])
    assert step(attempt, padded).step is Step.ACKNOWLEDGE
    rival = leaf("7-q", "6-q", BASE, nonces=[nonce(5, 7), nonce(4, 6)])
    assert step(attempt, padded, rival) == Decision(Step.BURY, rival, [padded])


def test_tombstones_are_pushed_before_the_write_counts() -> None:
    attempt = attempt_of(accepted="6-m")
    assert step(attempt, OWN, UNDONE) == Decision(Step.PUSH, OWN, [UNDONE])
    pushed = Pushed("6-m", frozenset({"7-u"}))
    assert step(attempt, OWN, UNDONE, pushed=pushed).step is Step.PAD
    attempt.revs_on_all_copies.add("6-m")
    assert step(attempt, OWN, UNDONE, pushed=pushed).step is Step.ACKNOWLEDGE
    assert step(attempt, OWN, UNDONE, pushed=Pushed("6-m", frozenset())).step is Step.PUSH
    assert step(attempt, OWN, UNDONE, pushed=Pushed("6-q", frozenset({"7-u"}))).step is Step.PUSH


def test_change_that_another_writer_built_on_keeps_its_own_revision() -> None:
    attempt = attempt_of(accepted="6-m")
    attempt.pads.add("8-p")  # on top of 7-x, another writer's
    padded = leaf("8-p", "7-x", "6-m", BASE, nonces=[nonce(8, 8), nonce(7, 7), nonce(1, 6)])
    assert attempt.is_tip_of(padded)
    assert not attempt.has_its_content_in(padded)
    assert attempt.rev_in(padded) == "6-m"
    attempt.revs.add("7-q")  # a pad right on top of 6-m
    assert attempt.rev_in(leaf("7-q", "6-m", BASE, nonces=[nonce(9, 7)])) == "7-q"


def test_revision_that_is_forgotten_is_no_base_for_another_write() -> None:
    attempt = attempt_of()
    attempt.is_unanswered = True
    cut = leaf("9-x", "8-x", nonces=[nonce(9, 9), nonce(8, 8), nonce(7, 7), nonce(1, 6)])
    assert attempt.is_in(cut)
    assert attempt.rev_in(cut) == "8-x"


def test_write_that_not_all_copies_took_needs_a_majority_alive() -> None:
    assert step(attempt_of(accepted="6-m"), OWN, pushed=Pushed("6-m", frozenset())).step is Step.PAD


def test_only_undone_leaves_are_no_state_of_a_document() -> None:
    assert step(attempt_of(accepted="6-m"), UNDONE).step is Step.WAIT


def test_unanswered_write_is_sent_again_while_its_parent_stands() -> None:
    attempt = attempt_of()
    attempt.is_unanswered = True
    assert step(attempt, leaf(BASE, "4-a", nonces=[nonce(7, 5)])).step is Step.RESEND


def test_unanswered_create_of_which_there_is_no_trace_is_sent_again() -> None:
    attempt = attempt_of(base=None)
    attempt.is_unanswered = True
    assert step(attempt).step is Step.RESEND


def test_change_that_later_writes_contain_is_found_by_its_nonce() -> None:
    later = leaf("8-x", "7-x", nonces=[nonce(8, 8), nonce(7, 7), nonce(1, 6)])  # its history is cut
    attempt = attempt_of(accepted="6-m")
    attempt.revs_on_all_copies.add("6-m")
    assert step(attempt, later, pushed=Pushed("8-x", frozenset())).step in (Step.ACKNOWLEDGE, Step.PAD)


def test_change_that_may_have_been_forgotten_is_of_unknown_outcome() -> None:
    start = 7 + MAX_NONCES
    nonces = [nonce(100 + generation, generation) for generation in range(start, start - MAX_NONCES, -1)]
    later = leaf(f"{start}-x", f"{start - 1}-x", nonces=nonces)
    assert step(attempt_of(accepted="6-m"), later).step is Step.UNKNOWN
