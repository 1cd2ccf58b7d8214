import msgspec

from samples.crud.multi_master.model import Fruit
from tor_async_couchdb import ChangeNamer
from tor_async_couchdb.conflicts.merge import Leaf, check_mergeable, merge


def merged(*fruits: Fruit) -> Fruit:
    leaves = [Leaf.of(Fruit, fruit.as_doc_for_store()) for fruit in fruits]
    return Fruit.from_doc(merge(Fruit, leaves).document)


def test_fruit_declares_how_it_merges() -> None:
    check_mergeable(Fruit)


def test_changes_on_two_masters_are_all_counted_and_the_later_color_stays() -> None:
    fruit, east_namer, west_namer = Fruit.create("green"), ChangeNamer(), ChangeNamer()
    east = fruit.change_color("red", east_namer.name("f")).change_color("blue", east_namer.name("f"))
    west = msgspec.structs.replace(
        fruit.change_color("black", west_namer.name("f")), updated_on="2100-01-01T00:00:00.000000+00:00"
    )
    both = merged(east, west)
    assert both == merged(west, east)
    assert both.change_count == 3
    assert both.color == "black"
    assert both.superseded == {"blue": east.updated_on}


def test_change_that_is_tried_again_counts_once() -> None:
    fruit, namer = Fruit.create("green"), ChangeNamer()
    change = namer.name("f")
    lost = fruit.change_color("red", change)
    again = merged(lost, fruit.change_color("blue", namer.name("f"))).change_color("red", change)
    assert again.change_count == 2


def test_new_color_clears_the_superseded_ones() -> None:
    fruit = msgspec.structs.replace(Fruit.create("green"), superseded={"red": Fruit.create("x").updated_on})
    changed = fruit.change_color("blue", ChangeNamer().name("f"))
    assert changed.superseded == {}
    assert changed.updated_on > fruit.updated_on
    assert changed.change_count == 1
