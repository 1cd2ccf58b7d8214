import dataclasses
import datetime
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tor_async_couchdb.model.change_sets import (
    FOLDED_AFTER_DAYS,
    ChangeNamer,
    ChangeSet,
    count_changes,
    merged_changes,
    with_change,
)

FIRST_DAY = datetime.date(2026, 11, 26)


class Clock:
    """The day, as all processes see it."""

    def __init__(self) -> None:
        self.today = FIRST_DAY

    def __call__(self) -> datetime.date:
        return self.today

    def advance(self, days: int) -> None:
        self.today += datetime.timedelta(days=days)


def changed(changes: ChangeSet, namer: ChangeNamer, times: int = 1) -> ChangeSet:
    for _ in range(times):
        changes = with_change(changes, namer.name("a"))
    return changes


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def namer(clock: Clock) -> ChangeNamer:
    return ChangeNamer(clock)


def test_changes_of_one_process_on_one_day_are_a_range(namer: ChangeNamer) -> None:
    [(writer, ranges)] = changed({}, namer, 3).items()
    assert writer.startswith("2026-11-26.")
    assert ranges == [(1, 3)]


def test_process_takes_another_name_each_day_in_utc(clock: Clock, namer: ChangeNamer) -> None:
    names = []
    for _ in range(2):
        names += [namer.name("a") for _ in range(2)]
        clock.advance(1)
    writers = [writer for name in names for writer in name]
    assert writers[0] == writers[1] != writers[2] == writers[3]
    assert len({writer.partition(".")[2] for writer in writers}) == 2
    assert next(iter(ChangeNamer().name("a"))).startswith(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}.")


def test_changes_of_two_processes_from_the_same_base_both_count(clock: Clock) -> None:
    base = changed({}, ChangeNamer(clock), 2)
    assert count_changes(merged_changes([changed(base, ChangeNamer(clock)) for _ in range(2)])) == 4


def test_change_that_comes_back_before_it_is_tried_again_counts_once(namer: ChangeNamer) -> None:
    base, change = changed({}, namer), namer.name("a")
    lost, won = with_change(base, change), changed(base, namer)
    assert count_changes(with_change(merged_changes([lost, won]), change)) == 3


def test_change_that_was_given_up_is_not_counted(namer: ChangeNamer) -> None:
    base = changed({}, namer)
    namer.name("a")
    assert count_changes(changed(base, namer)) == 2


def test_changes_of_old_days_become_one_count(clock: Clock, namer: ChangeNamer) -> None:
    old = changed({}, namer, 4)
    clock.advance(FOLDED_AFTER_DAYS)
    kept = changed(old, namer)
    assert kept.items() >= old.items()
    clock.advance(1)
    folded = changed(kept, namer)
    assert count_changes(folded) == 6
    assert folded["2026-11-27"] == [(1, 4)]
    assert len(folded) == 3


def test_document_that_is_changed_for_years_has_names_of_a_month(clock: Clock) -> None:
    changes: ChangeSet = {}
    namers = [ChangeNamer(clock) for _ in range(3)]
    for _ in range(800):
        clock.advance(1)
        for namer in namers:
            changes = changed(changes, namer)
    assert count_changes(changes) == 2400
    assert len(changes) == 1 + 3 * (FOLDED_AFTER_DAYS + 1)


def test_count_stays_that_of_its_day_while_there_is_nothing_to_fold(clock: Clock, namer: ChangeNamer) -> None:
    """So a late change has more time."""
    changes = {"2026-10-01": [(1, 7)]}
    assert changed(changes, namer).items() >= changes.items()


def test_late_change_is_not_counted_and_none_is_counted_twice(clock: Clock, namer: ChangeNamer) -> None:
    base = changed({}, namer, 2)
    late = changed(base, ChangeNamer(clock), 3)
    clock.advance(FOLDED_AFTER_DAYS + 1)
    folded = changed(base, namer)
    assert count_changes(folded) == 3
    assert merged_changes([late, folded]) == folded


def test_change_of_a_process_whose_clock_is_far_behind_is_counted(clock: Clock, namer: ChangeNamer) -> None:
    slow = ChangeNamer(lambda: FIRST_DAY)
    clock.advance(FOLDED_AFTER_DAYS + 10)
    changes = changed(changed({"2026-11-20.old": [(1, 5)]}, namer), slow, 2)
    assert count_changes(changes) == 8
    assert count_changes(merged_changes([changes, changed(changes, namer)])) == 9


def test_process_whose_clock_is_far_ahead_keeps_the_changes_that_it_reads(namer: ChangeNamer) -> None:
    changes = changed({}, namer, 3)
    changes = changed(changes, ChangeNamer(lambda: datetime.date(2099, 1, 1)))
    assert count_changes(changed(changes, namer, 2)) == 6


def test_names_that_are_no_days_are_neither_folded_nor_dropped(clock: Clock, namer: ChangeNamer) -> None:
    changes: ChangeSet = {"": [(1, 1)], "2026": [(1, 2)], "2026-1-1.x": [(1, 3)], "east": [(1, 4)]}
    assert changed(changes, namer).items() >= changes.items()


# --- all sets of changes ---

DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]
WRITERS = [f"{day}.{process}" for day in DAYS for process in "ab"]
RANGES = st.sets(st.integers(1, 6), min_size=1).map(
    lambda numbers: merged_changes([{"w": [(number, number)]} for number in numbers])["w"]
)


@st.composite
def change_sets(draw: st.DrawFn) -> ChangeSet:
    changes = draw(st.dictionaries(st.sampled_from([*WRITERS, "east"]), RANGES))
    count = draw(st.none() | st.integers(1, 9))
    fold = {} if count is None else {draw(st.sampled_from(DAYS)): [(1, count)]}
    return merged_changes([changes, fold])


@given(st.lists(change_sets(), min_size=1, max_size=3))
def test_merging_is_commutative_and_idempotent(sets: list[ChangeSet]) -> None:
    merged = merged_changes(sets)
    assert all(merged_changes(order) == merged for order in itertools.permutations(sets))
    assert merged_changes([merged, *sets]) == merged_changes([merged]) == merged


@given(change_sets(), change_sets(), change_sets())
def test_merging_is_associative(a: ChangeSet, b: ChangeSet, c: ChangeSet) -> None:
    assert merged_changes([merged_changes([a, b]), c]) == merged_changes([a, merged_changes([b, c])])
    assert merged_changes([a, b, c]) == merged_changes([a, merged_changes([b, c])])


@given(change_sets(), st.dates(datetime.date(2026, 1, 1), datetime.date(2026, 3, 1)))
def test_change_adds_one_and_contains_what_was_there(changes: ChangeSet, today: datetime.date) -> None:
    after = changed(changes, ChangeNamer(lambda: today))
    assert count_changes(after) == count_changes(changes) + 1
    assert merged_changes([changes, after]) == after


# --- databases that lag behind, tries that lose and come back, folds ---


@dataclasses.dataclass(frozen=True)
class Leaf:
    """A leaf revision: its set of changes, and which changes it really has."""

    changes: ChangeSet
    truth: frozenset[int]

    @classmethod
    def merged(cls, leaves: "list[Leaf]") -> "Leaf":
        truth = frozenset[int]().union(*(leaf.truth for leaf in leaves))
        return cls(merged_changes([leaf.changes for leaf in leaves]), truth)


@dataclasses.dataclass
class Try:
    """A change that a process goes on trying in one database."""

    database: int
    number: int
    name: ChangeSet
    begun_on: datetime.date


class Databases(RuleBasedStateMachine):
    """Databases that replicate, with one document and two processes each; no outage is too long."""

    is_bounded = True

    @initialize(count=st.integers(2, 3))
    def start(self, count: int) -> None:
        self.clock = Clock()
        self.namers = [[ChangeNamer(self.clock) for _ in range(2)] for _ in range(count)]
        self.leaves = [[Leaf({}, frozenset())] for _ in range(count)]
        self.tries: list[Try] = []
        self.acknowledged = [set[int]() for _ in range(count)]
        self.begun = 0
        self.days_apart = 0

    def a(self, number: int) -> int:
        return number % len(self.leaves)

    def put(self, database: int, leaf: Leaf) -> None:
        if leaf not in self.leaves[database]:
            self.leaves[database].append(leaf)

    @rule(database=st.integers(0, 2), process=st.integers(0, 1))
    def begin(self, database: int, process: int) -> None:
        database = self.a(database)
        self.begun += 1
        name = self.namers[database][process].name("a")
        self.tries.append(Try(database, self.begun, name, self.clock.today))

    @rule(database=st.integers(0, 2), process=st.integers(0, 1))
    def restart_process(self, database: int, process: int) -> None:
        self.namers[self.a(database)][process] = ChangeNamer(self.clock)

    @precondition(lambda self: self.tries)
    @rule(index=st.integers(0, 9), is_won=st.booleans())
    def go_on(self, index: int, is_won: bool) -> None:
        """A process reads and merges all leaves and writes. A try that loses is a leaf beside the others."""
        each = self.tries[index % len(self.tries)]
        read = Leaf.merged(self.leaves[each.database])
        written = Leaf(with_change(read.changes, each.name), read.truth | {each.number})
        if is_won:
            self.tries.remove(each)
            self.leaves[each.database] = [written]
            self.acknowledged[each.database].add(each.number)
        else:
            self.put(each.database, written)

    @precondition(lambda self: self.tries)
    @rule(index=st.integers(0, 9))
    def give_up(self, index: int) -> None:
        self.tries.pop(index % len(self.tries))

    @rule(database=st.integers(0, 2), index=st.integers(0, 9))
    def bury(self, database: int, index: int) -> None:
        """A leaf that has nothing acknowledged beyond the others is deleted."""
        database = self.a(database)
        leaves = self.leaves[database]
        others = [leaf for leaf in leaves if leaf is not leaves[index % len(leaves)]]
        if others and Leaf.merged(others).truth >= self.acknowledged[database]:
            self.leaves[database] = others

    @rule(database=st.integers(0, 2))
    def merge(self, database: int) -> None:
        database = self.a(database)
        self.leaves[database] = [Leaf.merged(self.leaves[database])]

    @rule(to=st.integers(0, 2), source=st.integers(0, 2), index=st.integers(0, 9))
    def replicate_one_leaf(self, to: int, source: int, index: int) -> None:
        leaves = self.leaves[self.a(source)]
        self.put(self.a(to), leaves[index % len(leaves)])

    @rule(days=st.sampled_from([1, 1, 2, 12, 29]))
    def advance_the_clock(self, days: int) -> None:
        if self.is_bounded and self.days_apart + days > FOLDED_AFTER_DAYS - 1:
            self.replicate_all()
        self.days_apart += days
        self.clock.advance(days)
        # No request takes longer than a day.
        yesterday = self.clock.today - datetime.timedelta(days=1)
        self.tries = [each for each in self.tries if each.begun_on >= yesterday]

    def replicate_all(self) -> None:
        merged = Leaf.merged([leaf for leaves in self.leaves for leaf in leaves])
        self.leaves = [[merged] for _ in self.leaves]
        self.days_apart = 0

    @invariant()
    def each_change_counts_once(self) -> None:
        for leaf in itertools.chain(*getattr(self, "leaves", [])):
            assert count_changes(leaf.changes) == len(leaf.truth)

    @invariant()
    def no_document_grows_for_ever(self) -> None:
        for leaf in itertools.chain(*getattr(self, "leaves", [])):
            days = {writer[:10] for writer in leaf.changes}
            assert len(days) <= FOLDED_AFTER_DAYS + 2 or not self.is_bounded

    def teardown(self) -> None:
        if not hasattr(self, "leaves"):
            return
        self.replicate_all()
        [merged] = self.leaves[0]
        assert merged.truth >= set().union(*self.acknowledged)
        self.each_change_counts_once()


class LateDatabases(Databases):
    """The same with outages of any length."""

    is_bounded = False

    @invariant()
    def each_change_counts_once(self) -> None:
        """At most once."""
        for leaf in itertools.chain(*getattr(self, "leaves", [])):
            assert count_changes(leaf.changes) <= len(leaf.truth)


TestDatabases = Databases.TestCase
TestLateDatabases = LateDatabases.TestCase
for test_case in (TestDatabases, TestLateDatabases):
    test_case.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
del test_case
