from importlib.resources import files
from typing import Any

import pytest
import yaml

from couch_named_python import Forbidden
from couch_named_python.deploy.design_files import design_documents
from couch_named_python.examples import fruits
from couch_named_python.views import emitted_rows

FRUIT = {"type": "fruit_v1.0", "fruit_id": "f1", "color": "red", "created_on": "2026-11-21T10:00:00"}


def test_views_index_fruits_and_nothing_else() -> None:
    assert emitted_rows(fruits.by_color, FRUIT) == [("red", "f1")]
    assert emitted_rows(fruits.color_by_id, FRUIT) == [("f1", "red")]
    assert emitted_rows(fruits.by_month, FRUIT) == [([2026, 11], 1)]
    for view in (fruits.by_color, fruits.color_by_id, fruits.by_month):
        assert emitted_rows(view, {"type": "vegetable"}) == []


def test_distinct_values_reduce_and_rereduce() -> None:
    assert fruits.distinct_values([], ["b", "a", "b"], False) == ["a", "b"]
    assert fruits.distinct_values(None, [["a", "b"], ["c", "a"]], True) == ["a", "b", "c"]


def test_the_filter_selects_by_color() -> None:
    assert fruits.of_color(FRUIT, {"query": {"color": "red"}})
    assert not fruits.of_color(FRUIT, {"query": {}})


@pytest.mark.parametrize("color", [None, ""])
def test_a_fruit_without_a_color_is_forbidden(color: str | None) -> None:
    fruits.has_a_color(FRUIT, None, {}, {})
    fruits.has_a_color({"type": "fruit_v1.0", "_deleted": True}, FRUIT, {}, {})
    with pytest.raises(Forbidden):
        fruits.has_a_color({**FRUIT, "color": color}, None, {}, {})


def test_paint_changes_the_color() -> None:
    request: dict[str, Any] = {"query": {"color": "green"}}
    assert fruits.paint(FRUIT, request) == ({**FRUIT, "color": "green"}, "painted")
    assert fruits.paint(None, request) == (None, "no such fruit")


def test_the_design_document_names_functions_that_exist() -> None:
    definitions = yaml.safe_load(files("couch_named_python.examples").joinpath("design.yml").read_text())
    (document,) = design_documents(definitions)
    assert document["views"]["colors"] == {
        "map": "couch_named_python.examples.fruits.color_by_id|1",
        "reduce": "couch_named_python.examples.fruits.distinct_values|1",
    }
