from typing import Annotated

from tor_async_couchdb.conflicts.counts import counts_of, highest_of, missing_from
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.change_sets import ChangeSet
from tor_async_couchdb.model.properties import CountedOnce, Counter, Immutable


class Counted(Model, tag="counted_v1.0"):
    key: Annotated[str, Immutable()]
    changes: Annotated[dict[str, int], Counter()]
    moves: Annotated[dict[str, int], Counter()]


def test_counts_of_each_master_are_summed() -> None:
    document = {"key": "k", "changes": {"east": 3, "west": 1}, "moves": {"east": 2, "north": 4}}
    assert counts_of(Counted, document) == {"east": 5, "west": 1, "north": 4}


class Listed(Model, tag="listed_v1.0"):
    key: Annotated[str, Immutable()]
    changes: Annotated[ChangeSet, CountedOnce()]
    moves: Annotated[dict[str, int], Counter()]


def test_changes_of_each_process_are_counted() -> None:
    changes = {"2026-10-27": [[1, 812]], "2026-11-26.a": [[1, 4], [6, 6]]}
    document = {"key": "k", "changes": changes, "moves": {"east": 2}}
    assert counts_of(Listed, document) == {"2026-10-27": 812, "2026-11-26.a": 5, "east": 2}
    assert counts_of(Listed, {"key": "k"}) == {}


def test_count_of_a_later_day_stands_for_the_processes_before_it() -> None:
    before = {"": 0, "2026-10-27": 812, "2026-11-26.a": 5, "east": 3}
    after = {"2026-11-27": 817, "2026-11-28.b": 1}
    assert highest_of([before, after]) == {"": 0, "east": 3} | after
    assert missing_from(after, before) == {"": 0, "east": 3}
    assert missing_from(before, after) == after


def test_missing_are_the_counts_that_are_lower_or_not_there() -> None:
    assert missing_from({"east": 3, "west": 1}, {"east": 3, "west": 2, "north": 0}) == {"west": 2, "north": 0}
    assert missing_from({"": 0}, {}) == {}


def test_highest_count_of_each_master_is_taken() -> None:
    assert highest_of([{"east": 3, "west": 1}, {}, {"east": 2, "north": 0}]) == {
        "east": 3,
        "west": 1,
        "north": 0,
    }
    assert highest_of([]) == {}
