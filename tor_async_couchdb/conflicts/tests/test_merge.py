import itertools
from collections.abc import Sequence
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tor_async_couchdb.conflicts.merge import Leaf, check_mergeable, merge
from tor_async_couchdb.errors import InvalidDocumentError, UnmergeableError
from tor_async_couchdb.model import Document, Model
from tor_async_couchdb.model.change_sets import ChangeSet
from tor_async_couchdb.model.properties import (
    AddsWin,
    CountedOnce,
    Counter,
    Immutable,
    Latest,
    LatestBy,
    MergedBy,
    MergeStrategy,
    Protection,
    Superseded,
)


def only_even(values: Sequence[int]) -> int:
    if any(value % 2 for value in values):
        raise ValueError("has to be even")
    return max(values)


class Basket(Model, tag="basket_v1.0"):
    basket_id: Annotated[str, Immutable()]
    color: Annotated[str, LatestBy("updated_on")]
    superseded: Annotated[dict[str, int], Superseded("color")]
    note: Annotated[str | None, LatestBy("noted_on")] = None
    noted_on: Annotated[int | None, Latest()] = None
    updated_on: Annotated[int, Latest()]
    counts: Annotated[dict[str, int], Counter()]
    changes: Annotated[ChangeSet, CountedOnce()]
    tags: Annotated[list[Any], AddsWin()]
    size: Annotated[int, MergedBy(only_even)]


small = st.integers(0, 3)
ranges = st.tuples(st.integers(1, 4), small).map(lambda pair: [[pair[0], sum(pair)]])
writers = st.sampled_from(["2026-01-01.a", "2026-01-02.a", "2026-01-02.b", "2026-01-02", "2026-01-03"])
colors = st.sampled_from(["red", "green", "blue"])


@st.composite
def documents(draw: st.DrawFn) -> Document:
    color, updated_on = draw(colors), draw(small)
    lost = draw(st.dictionaries(colors, st.integers(0, updated_on)))
    noted_on = draw(st.none() | small)
    return {
        "_id": "basket",
        "_rev": "1-a",
        "type": "basket_v1.0",
        "basket_id": "b",
        "color": color,
        "superseded": {other: moment for other, moment in lost.items() if other != color},
        "note": None if noted_on is None else draw(colors),
        "noted_on": noted_on,
        "updated_on": updated_on,
        "counts": draw(st.dictionaries(st.sampled_from(["east", "west", "north"]), small)),
        "changes": draw(st.dictionaries(writers, ranges)),
        "tags": draw(st.lists(st.sampled_from(["a", "b", 1, 2.0]), unique=True)),
        "size": 2 * draw(small),
    }


def merged(*given_documents: Document) -> Document:
    return merge(Basket, [Leaf.of(Basket, document) for document in given_documents]).document


def example(**changes: Any) -> Document:
    return {
        "_id": "basket",
        "type": "basket_v1.0",
        "basket_id": "b",
        "color": "red",
        "superseded": {},
        "updated_on": 1,
        "counts": {},
        "changes": {},
        "tags": [],
        "size": 2,
    } | changes


@given(st.lists(documents(), min_size=1, max_size=3))
def test_merging_is_commutative(given_documents: list[Document]) -> None:
    results = [merged(*permutation) for permutation in itertools.permutations(given_documents)]
    assert all(str(result) == str(results[0]) for result in results)


@given(documents(), documents(), documents())
def test_merging_is_associative(a: Document, b: Document, c: Document) -> None:
    assert merged(merged(a, b), c) == merged(a, merged(b, c)) == merged(a, b, c)


@given(documents(), documents())
def test_merging_is_idempotent(a: Document, b: Document) -> None:
    assert merged(a, b, a) == merged(a, b) == merged(merged(a, b), a) == merged(merged(a, b), merged(a, b))


def test_later_color_is_kept_and_the_earlier_one_is_superseded() -> None:
    result = merged(example(color="red", updated_on=1), example(color="blue", updated_on=2))
    assert (result["color"], result["updated_on"], result["superseded"]) == ("blue", 2, {"red": 1})


def test_value_that_both_sides_set_is_not_superseded() -> None:
    assert merged(example(updated_on=1), example(updated_on=2))["superseded"] == {}


def test_highest_count_of_each_master_is_kept() -> None:
    result = merged(example(counts={"east": 3, "west": 1}), example(counts={"east": 2, "north": 4}))
    assert result["counts"] == {"east": 3, "north": 4, "west": 1}


def test_changes_are_the_union_of_all_revisions() -> None:
    one = {"2026-11-25.a": [[1, 2], [5, 5]], "2026-11-26.b": [[1, 1]]}
    other = {"2026-11-25.a": [[2, 3]], "2026-11-26.c": [[4, 4]]}
    assert merged(example(changes=one), example(changes=other))["changes"] == {
        "2026-11-25.a": [[1, 3], [5, 5]],
        "2026-11-26.b": [[1, 1]],
        "2026-11-26.c": [[4, 4]],
    }


def test_set_is_the_union_of_all_revisions() -> None:
    assert merged(example(tags=["b", 1.0]), example(tags=["a", 1]))["tags"] == ["a", "b", 1]


def test_missing_timestamp_is_the_oldest() -> None:
    assert merged(example(note="old"), example(note="new", noted_on=0))["note"] == "new"


def test_merge_function_gets_the_distinct_values_in_order() -> None:
    given_values: list[Sequence[int]] = []

    def noting(values: Sequence[int]) -> int:
        given_values.append(values)
        return values[0]

    class Noted(Model, tag="noted_v1.0"):
        size: Annotated[int, MergedBy(noting)]

    merge(Noted, [Leaf.of(Noted, {"type": "noted_v1.0", "size": size}) for size in (3, 1, 3)])
    assert given_values == [[1, 3]]


def test_values_that_a_merge_function_refuses_are_unmergeable() -> None:
    with pytest.raises(UnmergeableError, match="property 'size' of document 'basket': has to be even"):
        merged(example(size=1), example(size=2))


def test_immutable_property_that_differs_is_unmergeable() -> None:
    with pytest.raises(UnmergeableError, match="property 'basket_id' of document 'basket'"):
        merged(example(basket_id="a"), example(basket_id="b"))


def test_leaf_that_does_not_fit_the_model_is_an_error() -> None:
    with pytest.raises(InvalidDocumentError, match="basket"):
        merged(example(), example(size="large"))


def test_numbers_and_names_of_a_merged_document_are_canonical() -> None:
    result = merged(example(tags=[{"b": 1.0, "a": 2}]))
    assert str(result["tags"]) == "[{'a': 2, 'b': 1}]"
    assert list(result) == sorted(result)


class Secret(Model, tag="secret_v1.0"):
    pin: Annotated[str | None, LatestBy("updated_on"), Protection.ENCRYPTED]
    updated_on: Annotated[int, Latest(), Protection.PUBLIC]


def without_nonce(doc: Document) -> Document:
    return doc | {"pin": doc["pin"].partition(":")[2]}


def test_smallest_of_the_ciphertexts_of_a_value_is_kept() -> None:
    leaves = [
        Leaf.of(Secret, {"type": "secret_v1.0", "pin": pin, "updated_on": updated_on}, without_nonce)
        for pin, updated_on in (("nonce2:1234", 5), ("nonce1:1234", 3), ("nonce0:9999", 4))
    ]
    for permutation in itertools.permutations(leaves):
        assert merge(Secret, permutation).document["pin"] == "nonce1:1234"


def declaring(**declarations: Any) -> type[Model]:
    namespace = {"__annotations__": declarations, "__module__": __name__}
    meta: Any = type(Model)
    model_class: type[Model] = meta("Declared", (Model,), namespace, tag="declared_v1.0", kw_only=True)
    return model_class


PUBLIC = Annotated[int, Immutable(), Protection.PUBLIC]


def test_model_whose_properties_all_declare_a_strategy_is_mergeable() -> None:
    check_mergeable(Basket)
    check_mergeable(Secret)


@pytest.mark.parametrize(
    ("reason", "declarations"),
    [
        ("declares no merge strategy", {"size": int}),
        ("declares no merge strategy", {"size": Annotated[int, Protection.PUBLIC], "on": PUBLIC}),
        ("merges by 'on', which has to merge by Latest", {"size": Annotated[int, LatestBy("on")]}),
        ("has to be a dict", {"size": Annotated[int, Counter()]}),
        ("has to be a ChangeSet", {"size": Annotated[dict[str, int], CountedOnce()]}),
        ("has to be a list", {"size": Annotated[int, AddsWin()]}),
        (
            "keeps what 'on' lost, which has to merge by LatestBy",
            {"size": Annotated[dict[str, int], Superseded("on")]},
        ),
        (
            "must take one of the values",
            {"size": Annotated[dict[str, int], Counter(), Protection.HASHED], "on": PUBLIC},
        ),
        (
            "would show what 'pin' protects",
            {
                "size": Annotated[dict[str, int], Superseded("pin"), Protection.PUBLIC],
                "pin": Annotated[str | None, LatestBy("at"), Protection.ENCRYPTED],
                "at": Annotated[int, Latest(), Protection.PUBLIC],
                "on": PUBLIC,
            },
        ),
        (
            "which has to be a str",
            {
                "size": Annotated[dict[str, int], Superseded("pin")],
                "pin": Annotated[int, LatestBy("at")],
                "at": Annotated[int, Latest()],
            },
        ),
    ],
)
def test_declaration_that_can_not_work_is_an_error_that_names_it(
    reason: str, declarations: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match=reason):
        check_mergeable(declaring(**{"on": Annotated[int, Immutable()]} | declarations))


def test_strategy_that_is_not_implemented_is_unmergeable() -> None:
    class Custom(MergeStrategy):
        pass

    model_class = declaring(size=Annotated[int, Custom()])
    with pytest.raises(UnmergeableError, match="size"):
        merge(model_class, [Leaf.of(model_class, {"type": "declared_v1.0", "size": 1})] * 2)
