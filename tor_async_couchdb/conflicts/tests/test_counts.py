from typing import Annotated

from tor_async_couchdb.conflicts.counts import counts_of, highest_of
from tor_async_couchdb.model import Model
from tor_async_couchdb.model.properties import Counter, Immutable


class Counted(Model, tag="counted_v1.0"):
    key: Annotated[str, Immutable()]
    changes: Annotated[dict[str, int], Counter()]
    moves: Annotated[dict[str, int], Counter()]


def test_counts_of_each_master_are_summed() -> None:
    document = {"key": "k", "changes": {"east": 3, "west": 1}, "moves": {"east": 2, "north": 4}}
    assert counts_of(Counted, document) == {"east": 5, "west": 1, "north": 4}


def test_highest_count_of_each_master_is_taken() -> None:
    assert highest_of([{"east": 3, "west": 1}, {}, {"east": 2, "north": 0}]) == {
        "east": 3,
        "west": 1,
        "north": 0,
    }
    assert highest_of([]) == {}
