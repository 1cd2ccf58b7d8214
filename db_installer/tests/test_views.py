import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from couch_named_python.deploy.design_files import design_documents
from couch_named_python.twins import TwinsDatabase
from couch_named_python.views import emitted_rows
from db_installer import views
from db_installer.folders import DESIGN_DOCS_FOLDER

PYTHON_FOLDER = DESIGN_DOCS_FOLDER.with_name("design_docs_python")
NAMES = [path.stem for path in sorted(DESIGN_DOCS_FOLDER.glob("*.json"))]
TYPES = (
    "fruit_v1.0",
    "FRUIT_V12.30",
    "fruit_history_v1.0",
    "Fruit_History_V2.10",
    "fruit_v1",
    "fruit_v1.0x",
    "fruit_v\u0661.\u0660",
    "xfruit_v1.0",
    "",
    7,
    None,
    ["fruit_v1.0"],
)


def design_document(folder: Path, name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return {"_id": f"_design/{name}"} | document


def generated_documents(count: int) -> Iterator[dict[str, Any]]:
    values = (None, "red", "", 0, -1.5, True, ["a", 1], {"b": None}, "é😀")
    generator = random.Random(20150617)  # noqa: S311 - not a secret
    for number in range(count):
        document: dict[str, Any] = {"_id": f"{number:06}"}
        for name, choices in (
            ("type", TYPES),
            ("fruit_id", values),
            ("color", values),
            ("email_hash", values),
            ("updated_on", values),
        ):
            if generator.random() < 0.9:
                document[name] = generator.choice(choices)
        yield document


@pytest.mark.parametrize("name", NAMES)
def test_python_design_document_is_the_twin_of_the_javascript_one(name: str) -> None:
    javascript = design_document(DESIGN_DOCS_FOLDER, name)
    for view in javascript["views"].values():
        view["map"] = f"db_installer.views.{name}"
    (expected,) = design_documents({name: {"views": javascript["views"]}}, language="python")
    assert design_document(PYTHON_FOLDER, name) == expected


def test_fruit_is_found_by_what_it_has() -> None:
    fruit = {"_id": "x", "type": "fruit_v1.0", "fruit_id": "f", "color": "red"}
    assert emitted_rows(views.fruit_by_email_hash, fruit) == []
    assert emitted_rows(views.fruit_by_email_hash, fruit | {"email_hash": None}) == []
    assert emitted_rows(views.fruit_by_email_hash, fruit | {"email_hash": "h"}) == [("h", None)]
    assert emitted_rows(views.fruit_by_fruit_id, fruit) == [("f", None)]
    assert emitted_rows(views.fruit_by_color, fruit) == [("red", None)]


@pytest.mark.parametrize("document", [{}, *({"type": kind} for kind in TYPES[2:])])
def test_anything_else_is_no_fruit(document: dict[str, Any]) -> None:
    assert emitted_rows(views.fruit_by_fruit_id, document) == []
    assert emitted_rows(views.fruit_by_color, document) == []
    assert emitted_rows(views.fruit_by_email_hash, document | {"email_hash": "h"}) == []


def test_history_of_a_fruit_is_found_by_its_id_and_in_order() -> None:
    part = {"_id": "x", "type": "fruit_history_v1.0", "fruit_id": "f", "updated_on": "2026", "color": "red"}
    assert emitted_rows(views.fruit_history_by_fruit_id, part) == [(["f", "2026"], part)]
    assert emitted_rows(views.fruit_history_by_fruit_id, part | {"fruit_id": 7}) == []
    assert emitted_rows(views.fruit_history_by_fruit_id, part | {"type": "fruit_v1.0"}) == []
    assert emitted_rows(views.fruit_by_fruit_id, part) == []


def test_conflicts_are_found_by_the_losing_revisions() -> None:
    assert emitted_rows(views.conflicts, {"_conflicts": ["1-a"]}) == [(["1-a"], None)]
    assert emitted_rows(views.conflicts, {}) == []


def test_views_in_both_languages_have_the_same_rows() -> None:
    if "COUCHDB_URL" not in os.environ:
        pytest.skip("COUCHDB_URL is not set: the stand-in has no query servers")
    credentials = (os.environ["COUCHDB_USER"], os.environ["COUCHDB_PASSWORD"])
    url = os.environ["COUCHDB_URL"].split(",")[0]  # of several nodes of a cluster
    with TwinsDatabase(url, credentials) as twins:
        refusal = twins.refusal(design_document(PYTHON_FOLDER, NAMES[0]))
        if refusal is not None:
            pytest.skip(f"CouchDB has no query server for these views: {refusal}")
        twins.fill(generated_documents(10_000))
        for name in NAMES:
            python, javascript = (
                design_document(PYTHON_FOLDER, name),
                design_document(DESIGN_DOCS_FOLDER, name),
            )
            assert list(twins.differences(python, javascript)) == []
