"""Histories of one fruit, honest and broken, and the verdict on each."""

from dataclasses import dataclass, field
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from loadgen.answers import NO_ANSWER, NOT_SENT, Answer, Outcome
from loadgen.ledger import Balance, Ledger, Verdict

FIRST_COUNT = 3
HONEST = ("acknowledge", "refuse", "give up", "apply unanswered", "drop unanswered")


@dataclass
class History:
    """A fruit in a service that does to each update what it's told."""

    count: int = FIRST_COUNT
    answers: list[Answer] = field(default_factory=list)

    def play(self, *events: str) -> "History":
        for event in events:
            self.answers.append(self._answer(event))
        return self

    def _answer(self, event: str) -> Answer:
        if event in ("acknowledge", "double", "apply unanswered"):
            self.count += 2 if event == "double" else 1
        if event in ("apply unanswered", "drop unanswered"):
            return NO_ANSWER
        if event == "refuse":
            return NOT_SENT
        if event == "give up":
            return Answer(Outcome.GIVEN_UP, conflicts=1)
        # An overwritten update was made from the state before the last one, so it has that one's count.
        return Answer(Outcome.SUCCEEDED, change_count=self.count)

    def ledger(self) -> Ledger:
        ledger = Ledger({"apple": FIRST_COUNT})
        for answer in self.answers:
            ledger.record_update("apple", answer)
        return ledger

    def verdict(self, final_count: int | None = None) -> Verdict:
        return self.ledger().settle({"apple": self.count if final_count is None else final_count})


histories = st.lists(st.sampled_from(HONEST), max_size=30)


@given(histories)
def test_honest_history_is_never_blamed(events: list[str]) -> None:
    verdict = History().play(*events).verdict()
    assert verdict.lost == 0
    assert verdict.violations == ()
    assert verdict.acknowledged == events.count("acknowledge")
    assert verdict.refused == events.count("refuse") + events.count("give up")
    assert verdict.unknown == events.count("apply unanswered") + events.count("drop unanswered")
    assert verdict.in_database == events.count("acknowledge") + events.count("apply unanswered")


@given(histories, st.randoms(use_true_random=False), st.data())
def test_balance_never_blames_an_honest_service_whatever_is_in_flight(
    events: list[str], random: Random, data: st.DataObject
) -> None:
    history = History().play(*events)
    random.shuffle(history.answers)
    del history.answers[data.draw(st.integers(0, len(events))) :]
    ledger = history.ledger()
    balance = ledger.balance()
    assert balance.lost == 0
    assert ledger.acknowledged <= balance.in_database <= history.count - FIRST_COUNT


@given(histories, st.integers(1, 5))
def test_balance_counts_overwritten_updates_at_once(before: list[str], overwritten: int) -> None:
    history = History().play(*before, "acknowledge", *["overwrite"] * overwritten)
    assert history.ledger().balance().lost == overwritten


def test_balance_takes_what_reads_show() -> None:
    ledger = Ledger({"apple": 3})
    ledger.record_read("apple", Answer(Outcome.SUCCEEDED, change_count=5))
    ledger.record_read("apple", Answer(Outcome.REFUSED))
    assert ledger.balance() == Balance(in_database=2, lost=0)


@given(st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 3000)))
def test_shared_counts_are_found_however_far_apart(counts: list[int]) -> None:
    ledger = Ledger({"apple": 0})
    for count in counts:
        ledger.record_update("apple", Answer(Outcome.SUCCEEDED, change_count=count))
    assert ledger.balance().lost == len(counts) - len(set(counts))


@given(histories, st.integers(1, 5), histories)
def test_each_overwritten_update_is_counted_lost(
    before: list[str], overwritten: int, after: list[str]
) -> None:
    history = History().play(*before, "acknowledge", *["overwrite"] * overwritten, *after)
    assert history.verdict().lost == overwritten


@given(histories, st.integers(1, 10))
def test_each_update_that_went_with_the_database_is_counted_lost(before: list[str], gone: int) -> None:
    history = History().play(*before, *["acknowledge"] * gone)
    assert history.verdict(final_count=history.count - gone).lost == gone


@given(histories, histories)
def test_doubled_update_is_named_unless_an_unknown_one_could_account_for_it(
    before: list[str], after: list[str]
) -> None:
    verdict = History().play(*before, "double", *after).verdict()
    dropped = (before + after).count("drop unanswered")
    assert verdict.lost == 0
    assert bool(verdict.violations) == (dropped == 0)
    assert all("apple" in violation and "twice" in violation for violation in verdict.violations)


def test_loss_on_one_fruit_is_not_made_up_for_by_another() -> None:
    ledger = Ledger({"apple": 0, "pear": 0})
    for _ in range(2):
        ledger.record_update("apple", Answer(Outcome.SUCCEEDED, change_count=1))
    ledger.record_update("pear", Answer(Outcome.SUCCEEDED, change_count=2))
    verdict = ledger.settle({"apple": 1, "pear": 2})
    assert (verdict.acknowledged, verdict.in_database, verdict.lost) == (3, 3, 1)
    assert len(verdict.violations) == 2
    assert verdict.violations[0].startswith("fruit apple: 2 updates acknowledged, only 1 in the database")


def test_equal_counts_of_two_fruits_are_no_loss() -> None:
    ledger = Ledger({"apple": 0, "pear": 0})
    for fruit_id in ("apple", "pear"):
        ledger.record_update(fruit_id, Answer(Outcome.SUCCEEDED, change_count=1))
    verdict = ledger.settle({"apple": 1, "pear": 1})
    assert (verdict.lost, verdict.violations) == (0, ())
