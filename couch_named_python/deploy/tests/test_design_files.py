from pathlib import Path
from typing import Any

import pytest
import yaml

from couch_named_python.deploy.design_files import DesignError, design_documents, read_design_files
from couch_named_python.loading.fingerprint import fingerprint
from couch_named_python.tests import functions
from couch_named_python.tests.driver import FUNCTIONS as F


def test_all_kinds_of_functions_become_a_design_document_with_their_versions() -> None:
    definition = f"""
towns:
  views:
    short: {F}.townmap
    counted: {{map: {F}.townmap, reduce: _count}}
    summed: {{map: {F}.townmap, reduce: {F}.values_sum}}
  validate_doc_update: {F}.validate_forbidden
  filters: {{good: {F}.filter_good}}
  updates: {{basic: {F}.update_basic}}
  shows: {{simple: {F}.show_simple}}
  lists: {{simple: {F}.list_simple, rows: {F}.list_generator}}
  rewrites: {F}.rewrite_basic
  options: {{partitioned: false}}
  autoupdate: false
"""
    assert design_documents(yaml.safe_load(definition), language="python3") == [
        {
            "_id": "_design/towns",
            "language": "python3",
            "views": {
                "short": {"map": f"{F}.townmap|123"},
                "counted": {"map": f"{F}.townmap|123", "reduce": "_count"},
                "summed": {"map": f"{F}.townmap|123", "reduce": f"{F}.values_sum"},
            },
            "validate_doc_update": f"{F}.validate_forbidden",
            "filters": {"good": f"{F}.filter_good"},
            "updates": {"basic": f"{F}.update_basic"},
            "shows": {"simple": f"{F}.show_simple"},
            "lists": {"simple": f"{F}.list_simple", "rows": f"{F}.list_generator"},
            "rewrites": f"{F}.rewrite_basic",
            "options": {"partitioned": False},
            "autoupdate": False,
        }
    ]


def test_fingerprints_take_the_place_of_versions() -> None:
    (document,) = design_documents({"a": {"views": {"v": f"{F}.townmap"}}}, as_fingerprints=True)
    assert document["views"]["v"]["map"] == f"{F}.townmap|{fingerprint(functions.townmap)}"


@pytest.mark.parametrize(
    "reduce", ["_sum", "_count", "_stats", "_approx_count_distinct", "_first", "_top_10"]
)
def test_built_in_reduces_are_left_alone(reduce: str) -> None:
    (document,) = design_documents({"a": {"views": {"v": {"map": f"{F}.emit_once", "reduce": reduce}}}})
    assert document["views"]["v"]["reduce"] == reduce


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ([], r"a: not a mapping: \[\]"),
        ({"view": {}}, "a: unknown key 'view'"),
        ({"language": "python"}, "a: unknown key 'language'"),
        ({1: {}}, "a: the key 1 is no string"),
        ({"views": f"{F}.emit_once"}, "a: views: not a mapping"),
        (
            {"views": {"v": {"map": f"{F}.emit_once", "rereduce": "_sum"}}},
            "a: views: 'v': unknown key 'rereduce'",
        ),
        ({"views": {"v": {"reduce": "_sum"}}}, "a: views: 'v': no map function"),
        (
            {"views": {"v": {"map": f"{F}.emit_once", "reduce": "_summ"}}},
            "no built-in reduce function '_summ'",
        ),
        ({"views": {"v": 3}}, "a: views: 'v': not a mapping: 3"),
        ({"views": {"v": {"map": 3}}}, "a: views: 'v': map: not the name of a function: 3"),
        ({"views": {"v": f"{F}.townmap|123"}}, "has a version; cnp-upload appends it"),
        ({"views": {"v": f"{F}.nothing"}}, f"a: views: 'v': map: module '{F}' has no function 'nothing'"),
        ({"views": {"v": "cnp_missing.views.f"}}, "cannot import 'cnp_missing.views'"),
        ({"views": {"v": f"{F}.system"}}, "has no function 'system'"),
        ({"views": {"v": "nothing"}}, "'nothing' is not package.module.function"),
        ({"views": {"v": f"{F}.values_sum"}}, r"values_sum\(.*\) .* is called with 1 arguments"),
        (
            {"views": {"v": {"map": f"{F}.emit_once", "reduce": f"{F}.emit_once"}}},
            "is called with 3 arguments",
        ),
        ({"filters": {"f": f"{F}.emit_once"}}, "a: filters: 'f': .* is called with 2 arguments"),
        ({"lists": {"f": f"{F}.emit_once"}}, "is called with 2 arguments"),
        (
            {"validate_doc_update": f"{F}.filter_good"},
            "a: validate_doc_update: .* is called with 4 arguments",
        ),
        ({"rewrites": f"{F}.filter_good"}, "is called with 1 arguments"),
        ({"validate_doc_update": f"{F}.validate_async"}, "a: validate_doc_update: .* is async"),
        ({"filters": {"f": f"{F}.filter_async"}}, "a: filters: 'f': .* is async"),
        ({"validate_doc_update": f"{F}.validate_generator"}, "only map and list functions yield"),
    ],
)
def test_what_is_wrong_is_one_line_that_says_where(definition: Any, message: str) -> None:
    with pytest.raises(DesignError, match=message) as caught:
        design_documents({"a": definition})
    assert "\n" not in str(caught.value)


def test_files_are_read_together(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text("a: {views: {}}")
    (tmp_path / "b.yml").write_text("b: {}\nc: {}")
    assert read_design_files([tmp_path / "a.yml", tmp_path / "b.yml"]) == {
        "a": {"views": {}},
        "b": {},
        "c": {},
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "expected"),
        ("", "not a mapping: None"),
        ("- a", "not a mapping"),
        ("a: {}\na: {}", "'a' is given twice"),
        ("a: {views: {v: x.y, v: x.z}}", "'v' is given twice"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "design.yml"
    path.write_text(text)
    with pytest.raises(DesignError, match=message) as caught:
        read_design_files([path])
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_name_in_two_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DesignError, match=r"missing\.yml: .*No such file"):
        read_design_files([tmp_path / "missing.yml"])
    path = tmp_path / "a.yml"
    path.write_text("a: {}")
    with pytest.raises(DesignError, match="design document 'a' is also in another file"):
        read_design_files([path, path])
