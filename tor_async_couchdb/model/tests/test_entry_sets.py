import itertools

from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.model.entry_sets import EntrySet, covers, one_entry, size, union

NAMES = st.sets(st.tuples(st.sampled_from("ab"), st.integers(1, 12)))


def entry_set(names: set[tuple[str, int]]) -> EntrySet:
    return union(*(one_entry(writer, number) for writer, number in sorted(names)))


def test_neighbours_become_one_range() -> None:
    assert entry_set({("a", 1), ("a", 2), ("a", 3), ("a", 7), ("b", 2)}) == {
        "a": [(1, 3), (7, 7)],
        "b": [(2, 2)],
    }


def test_nothing_is_a_set_too() -> None:
    assert union() == {}
    assert size({}) == 0
    assert covers({}, {})
    assert not covers({}, one_entry("a", 1))


@given(NAMES, NAMES)
def test_sets_are_those_of_their_names(one: set[tuple[str, int]], other: set[tuple[str, int]]) -> None:
    together = union(entry_set(one), entry_set(other))
    assert together == entry_set(one | other)
    assert size(together) == len(one | other)
    assert covers(entry_set(one), entry_set(other)) == (other <= one)


@given(NAMES)
def test_ranges_are_in_order_with_a_gap_between_each_two(names: set[tuple[str, int]]) -> None:
    for ranges in entry_set(names).values():
        for (_, high), (low, _) in itertools.pairwise(ranges):
            assert high + 1 < low
