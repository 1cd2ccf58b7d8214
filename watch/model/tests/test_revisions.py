from typing import Any

import pytest

from watch.model.revisions import Comparison, trees, winner_of


def leaf(*revs: str, **members: Any) -> dict[str, Any]:
    """A leaf revision; `revs` are its path, the leaf first."""
    start = int(revs[0].partition("-")[0])
    ids = [rev.partition("-")[2] for rev in revs]
    return {"_id": "x", "_rev": revs[0], "_revisions": {"start": start, "ids": ids}, **members}


def test_winner_is_the_one_that_couchdb_shows() -> None:
    longest = leaf("3-a", "2-a", "1-a")
    assert winner_of([leaf("2-z", "1-a"), longest]) == "3-a"
    assert winner_of([leaf("3-b", "2-b", "1-a"), longest]) == "3-b"
    assert winner_of([longest | {"_deleted": True}, leaf("2-z", "1-a")]) == "2-z"
    assert winner_of([]) is None


def test_tree_has_winner_loser_and_deleted_leaf() -> None:
    leaves = [
        leaf("3-b", "2-b", "1-a", color="red"),
        leaf("2-c", "1-a", color="blue"),
        leaf("3-d", "2-d", "1-a", _deleted=True),
    ]
    nodes = {node["rev"]: node for node in trees({"east": leaves})["east"]}
    assert {rev: node["role"] for rev, node in nodes.items()} == {
        "1-a": "",
        "2-b": "",
        "2-d": "",
        "3-b": "winner",
        "2-c": "conflict",
        "3-d": "deleted",
    }
    assert nodes["2-c"]["parent"] == "1-a"
    assert nodes["1-a"]["parent"] is None
    assert nodes["2-c"]["color"] == "blue"


def test_a_long_history_is_cut() -> None:
    path = [f"{number}-{number}" for number in range(40, 0, -1)]
    nodes = trees({"east": [leaf(*path)]})["east"]
    assert [node["rev"] for node in nodes] == ["37-37", "38-38", "39-39", "40-40"]


def test_a_fork_of_long_branches_is_shown_with_both_ends() -> None:
    trunk = [f"{number}-t" for number in range(5, 0, -1)]
    east, west = ([f"{number}-{name}" for number in range(40, 5, -1)] + trunk for name in "ew")
    sides = trees({"east": [leaf(*east)], "west": [leaf(*west)]})
    shown = {name: [(node["rev"], node["depth"]) for node in nodes] for name, nodes in sides.items()}
    begin = shown["east"][0][1]
    assert shown["east"] == [
        ("5-t", begin),
        ("6-e", begin + 1),
        ("37-e", begin + 2),
        ("38-e", begin + 3),
        ("39-e", begin + 4),
        ("40-e", begin + 5),
    ]
    assert [node["skipped"] for node in sides["west"]][2] == 30
    assert [depth for _, depth in shown["west"]] == [depth for _, depth in shown["east"]]


def test_of_many_deleted_leaves_the_newest_are_shown() -> None:
    dead = [leaf(f"{n}-d", *(f"{m}-t" for m in range(n - 1, 0, -1)), _deleted=True) for n in range(2, 20)]
    alive = leaf(*(f"{n}-t" for n in range(20, 0, -1)))
    roles = [node["role"] for node in trees({"east": [alive, *dead]})["east"]]
    assert roles.count("deleted") == 2
    assert roles.count("winner") == 1


class TestComparison:
    @pytest.fixture
    def comparison(self) -> Comparison:
        return Comparison(("east", "west"))

    def test_masters_are_equal_again_after_the_link_is_healed(self, comparison: Comparison) -> None:
        comparison.linked("cut", 1.0)
        comparison.changed("east", "a", frozenset({"1-a"}), 2.0)
        comparison.changed("west", "b", frozenset({"1-b"}), 2.0)
        assert comparison.as_json()["differing"] == 2
        comparison.linked("up", 10.0)
        comparison.changed("west", "a", frozenset({"1-a"}), 11.0)
        assert comparison.as_json()["equal_again_after_s"] is None
        comparison.changed("east", "b", frozenset({"1-b"}), 11.3)
        shown = comparison.as_json()
        assert shown["differing"] == 0
        assert shown["most_different"] == 2
        assert shown["equal_again_after_s"] == pytest.approx(1.3)

    def test_next_cut_forgets_the_last_verdict(self, comparison: Comparison) -> None:
        self.test_masters_are_equal_again_after_the_link_is_healed(comparison)
        comparison.linked("cut", 20.0)
        assert comparison.as_json()["equal_again_after_s"] is None

    def test_a_cut_during_which_nothing_changed_has_no_verdict(self, comparison: Comparison) -> None:
        comparison.linked("cut", 1.0)
        comparison.linked("up", 2.0)
        comparison.changed("east", "a", frozenset({"1-a"}), 3.0)
        comparison.changed("west", "a", frozenset({"1-a"}), 4.0)
        assert comparison.as_json()["equal_again_after_s"] is None
