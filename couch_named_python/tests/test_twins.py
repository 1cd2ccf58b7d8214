import os
import random
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from couch_named_python.deploy.design_files import design_documents
from couch_named_python.twins import TwinsDatabase, _differing_rows

JAVASCRIPT_VIEWS = """
by_color:
  map: |
    function (fruit) {
      if (fruit.type === "fruit_v1.0") { emit(fruit.color, fruit.fruit_id); }
    }
by_month:
  map: |
    function (fruit) {
      if (fruit.type === "fruit_v1.0") {
        var parts = fruit.created_on.split("-");
        emit([parseInt(parts[0], 10), parseInt(parts[1], 10)], 1);
      }
    }
  reduce: _sum
colors:
  map: |
    function (fruit) {
      if (fruit.type === "fruit_v1.0") { emit(fruit.fruit_id, fruit.color); }
    }
  reduce: |
    function (keys, values, rereduce) {
      var all = rereduce ? [].concat.apply([], values) : values;
      return all.filter(function (value, i) { return all.indexOf(value) === i; }).sort();
    }
"""
PYTHON_VIEWS = """
fruits:
  views:
    by_color: couch_named_python.examples.fruits.by_color
    by_month: {map: couch_named_python.examples.fruits.by_month, reduce: _sum}
    colors:
      map: couch_named_python.examples.fruits.color_by_id
      reduce: couch_named_python.examples.fruits.distinct_values
"""
DOCUMENTS = 10_000


def fruits(count: int) -> Iterator[dict[str, Any]]:
    """Generate fruits, the same each time, among them what is no fruit and what a view can't read."""
    chance = random.Random(7)  # noqa: S311 -- test data
    for number in range(count):
        fruit = {
            "_id": f"{number:08x}",
            "type": chance.choice(["fruit_v1.0", "fruit_v1.0", "fruit_v1.0", "vegetable_v1.0", "", None]),
            "fruit_id": chance.choice(
                [f"f{number}", number, number / 4, float(number), [number], {"é": "\n\u2028"}]
            ),
            "color": chance.choice(["red", "grün", "", "black \U0001f347", '"', "a\\b"]),
            "created_on": f"{chance.randint(1, 3000)}-{chance.randint(1, 12):02}-01T00:00:00",
        }
        if chance.random() < 0.1:
            del fruit["created_on"]
        yield fruit


@pytest.fixture
def twins() -> Iterator[TwinsDatabase]:
    if "COUCHDB_URL" not in os.environ:
        pytest.skip("COUCHDB_URL is not set: views are compared on a real CouchDB only")
    credentials = os.environ.get("COUCHDB_USER", ""), os.environ.get("COUCHDB_PASSWORD", "")
    url = os.environ["COUCHDB_URL"].split(",")[0]  # of several nodes of a cluster
    with TwinsDatabase(url, credentials) as database:
        yield database


def test_python_views_index_ten_thousand_documents_as_their_javascript_twins_do(twins: TwinsDatabase) -> None:
    (python,) = design_documents(yaml.safe_load(PYTHON_VIEWS))
    if (refusal := twins.refusal(python)) is not None:
        pytest.skip(f"COUCHDB_URL's server can't run couch_named_python.examples: {refusal}")
    twins.fill(fruits(DOCUMENTS))
    javascript = {"language": "javascript", "views": yaml.safe_load(JAVASCRIPT_VIEWS)}
    assert list(twins.differences(python, javascript)) == []
    javascript["views"]["by_color"]["map"] = "function (fruit) { emit(fruit.color, null); }"
    with_a_difference = {"language": "javascript", "views": javascript["views"]}
    assert len(list(twins.differences(python, with_a_difference))) > DOCUMENTS / 2


def test_rows_differ_by_what_is_missing_and_by_what_is_another() -> None:
    assert list(_differing_rows("v", [{"key": 1}], [{"key": 1}])) == []
    assert list(_differing_rows("v", [{"key": 1}, {"key": True}], [{"key": 1}, {"key": 1}, {"key": 2}])) == [
        'v, row 1: {"key": true} in Python, {"key": 1} in JavaScript',
        'v, row 2: null in Python, {"key": 2} in JavaScript',
    ]
