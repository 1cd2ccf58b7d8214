"""Conflicts between revisions that different versions of a model have written."""

from typing import Any, ClassVar

import pytest

from tor_async_couchdb.conflicts.plan import resolve
from tor_async_couchdb.conflicts.resolver import by_type
from tor_async_couchdb.errors import UnmergeableError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.tests.houses import HouseV1, HouseV2, SafeV2, house


def newer(**properties: Any) -> Document:
    """The document of a house of version 2."""
    return HouseV2.from_doc(house()).as_doc_for_store() | properties


@pytest.mark.parametrize("newer_is_later", [True, False])
def test_leaves_of_two_versions_merge_as_the_newer_one_and_no_change_is_lost(newer_is_later: bool) -> None:
    leaves = [
        house(_rev="2-a", color="blue green", painted_on=5, counts={"east": 2, "west": 1}),
        newer(_rev="2-b", walls="pink", painted_on=6 if newer_is_later else 4, counts={"west": 3}),
    ]
    resolution = resolve(HouseV2, leaves)
    assert resolution.document is not None
    merged = HouseV2.from_doc(resolution.document)
    assert (merged.walls, merged.roof) == (("pink", "red") if newer_is_later else ("blue", "green"))
    assert merged.counts == {"east": 2, "west": 3}
    assert resolution.document["type"] == "house_v2.0"
    again = resolve(HouseV2, leaves[::-1])
    assert {each["_rev"] for each in again.revisions} == {each["_rev"] for each in resolution.revisions}


def test_properties_that_were_set_at_the_same_moment_come_from_the_same_leaf() -> None:
    leaves = [newer(_rev="2-a", walls="a", roof="z"), newer(_rev="2-b", walls="b", roof="y")]
    resolution = resolve(HouseV2, leaves)
    assert resolution.document is not None
    assert (resolution.document["walls"], resolution.document["roof"]) in {("a", "z"), ("b", "y")}


def test_counts_that_a_leaf_has_under_another_name_are_merged() -> None:
    class Counted(HouseV2, tag="house_v3.0"):
        reads: ClassVar = {
            "house_v0.0": lambda doc: doc | {"walls": "w", "roof": "r", "counts": {"old": doc["count"]}}
        }

    oldest = {"_id": "1", "_rev": "2-a", "type": "house_v0.0", "painted_on": 1, "count": 4}
    resolution = resolve(Counted, [oldest, newer(_rev="2-b", type="house_v3.0", counts={"east": 1})])
    assert resolution.document is not None
    assert resolution.document["counts"] == {"old": 4, "east": 1}


def test_ciphertexts_of_another_version_are_not_merged() -> None:
    leaves = [
        {"_id": "1", "_rev": "2-a", "type": "safe_v1.0", "code": "1234"},
        {"_id": "1", "_rev": "2-b", "type": "safe_v2.0", "combination": "1234"},
    ]
    with pytest.raises(UnmergeableError, match=r"revision of type safe_v1\.0 with encrypted properties"):
        resolve(SafeV2, leaves)


def test_class_of_a_type_is_the_one_whose_own_it_is() -> None:
    both: list[type[Model]] = [HouseV1, HouseV2]
    for classes in (both, both[::-1]):
        assert by_type(classes) == {"house_v1.0": HouseV1, "house_v2.0": HouseV2}
    assert by_type([HouseV2]) == {"house_v1.0": HouseV2, "house_v2.0": HouseV2}
