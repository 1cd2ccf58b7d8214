import json
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from db_installer.folders import DESIGN_DOCS_FOLDER, SEED_DOCS_FOLDER
from samples.crud.basic.model import Fruit
from tor_async_couchdb.installer import CommandLineParser
from tor_async_couchdb.testing.couchdb import CouchDBServer

README = Path(__file__).parent.parent / "README.md"
FRUIT_ID = "e370582d3894489192a679533e4f01ef"

design_files = sorted(DESIGN_DOCS_FOLDER.iterdir())


@pytest.fixture
def database(couchdb: CouchDBServer) -> Iterator[str]:
    """The name of an empty database."""
    with couchdb.new_database() as url:
        yield url.rpartition("/")[2]


def _install(couchdb: CouchDBServer, database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own interpreter and module
        [
            *(sys.executable, "-m", "db_installer.installer", "--log=info"),
            f"--host={couchdb.url}",
            f"--database={database}",
            f"--creds={couchdb.username}:{couchdb.password}",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def _documents(couchdb: CouchDBServer, database: str) -> dict[str, str]:
    rows = couchdb.succeed("GET", f"{database}/_all_docs").json()["rows"]
    return {row["id"]: row["value"]["rev"] for row in rows}


def test_the_command_installs_and_a_second_time_changes_nothing(
    couchdb: CouchDBServer, database: str
) -> None:
    first = _install(couchdb, database)
    assert (first.returncode, first.stdout) == (0, "")
    documents = _documents(couchdb, database)
    assert set(documents) == {
        "_design/conflicts",
        "_design/fruit_by_color",
        "_design/fruit_by_email_hash",
        "_design/fruit_by_fruit_id",
        "_design/fruit_history_by_fruit_id",
        FRUIT_ID,
    }
    assert first.stderr.count("Successfully put") == 6
    second = _install(couchdb, database)
    assert second.returncode == 0
    assert "Successfully" not in second.stderr
    assert _documents(couchdb, database) == documents
    assert couchdb.password not in first.stderr + second.stderr


# To delete a database at the moment when its limit changes is more than the stand-in can do.
@pytest.mark.parametrize("arguments", [[], ["--delete=true", "--revs_limit=1000"]])
def test_three_commands_at_the_same_time_all_end_with_0_and_the_database_is_complete(
    couchdb: CouchDBServer, arguments: list[str]
) -> None:
    name = f"tor_async_couchdb_test_{uuid.uuid4().hex}"
    try:
        with ThreadPoolExecutor(3) as pool:
            results = list(pool.map(lambda _: _install(couchdb, name, *arguments), range(3)))
        assert [result.returncode for result in results] == [0, 0, 0], [result.stderr for result in results]
        assert len(_documents(couchdb, name)) == 6
    finally:
        couchdb.request("DELETE", name)


def test_the_command_ends_with_1_and_one_line_when_the_host_is_not_there() -> None:
    nowhere = CouchDBServer("http://127.0.0.1:1", "admin", "secret")
    result = _install(nowhere, "fruits")
    assert result.returncode == 1
    assert result.stderr.endswith(": http://127.0.0.1:1: can't be reached: is CouchDB running there?\n")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("path", design_files, ids=lambda path: path.stem)
def test_a_design_document_holds_one_view_that_is_named_as_itself(path: Path) -> None:
    body = json.loads(path.read_text())
    assert list(body["views"]) == [path.stem]
    assert body["language"] == "javascript"


def test_the_views_hold_fruits_and_survive_whatever_else_is_in_the_database(
    couchdb: CouchDBServer, database: str
) -> None:
    strangers: list[dict[str, Any]] = [
        {"fruit_id": "no type", "color": "red"},
        {"type": None, "fruit_id": "1", "color": "red"},
        {"type": 1.0, "fruit_id": "1", "color": "red"},
        {"type": ["fruit_v1.0"], "fruit_id": "1", "color": "red"},
        {"type": {"match": 1}, "fruit_id": "1", "color": "red"},
        {"type": "fruit_v1", "fruit_id": "1", "color": "red"},
        {"type": "fruit_v1x0", "fruit_id": "1", "color": "red"},
        {"type": "grapefruit_v1.0", "fruit_id": "1", "color": "red"},
        {"type": "fruit_v1.0_peel", "fruit_id": "1", "color": "red"},
    ]
    fruits = [{"type": "fruit_v2.13", "fruit_id": "2", "color": "blue"}]
    couchdb.succeed("POST", f"{database}/_bulk_docs", json={"docs": strangers + fruits})
    assert _install(couchdb, database).returncode == 0

    def keys(view: str) -> list[str]:
        path = f"{database}/_design/{view}/_view/{view}?reduce=false"
        return [row["key"] for row in couchdb.succeed("GET", path).json()["rows"]]

    assert keys("fruit_by_fruit_id") == ["2", FRUIT_ID]
    assert keys("fruit_by_color") == ["blue", "red"]
    assert keys("conflicts") == []


def test_the_view_of_conflicts_finds_a_document_with_two_leaves(
    couchdb: CouchDBServer, database: str
) -> None:
    assert _install(couchdb, database).returncode == 0
    leaves = [{"_id": "1", "_rev": f"1-{letter * 32}", "color": letter} for letter in "ab"]
    couchdb.succeed("POST", f"{database}/_bulk_docs", json={"docs": leaves, "new_edits": False})
    rows = couchdb.succeed("GET", f"{database}/_design/conflicts/_view/conflicts?reduce=false").json()["rows"]
    assert [(row["id"], row["key"]) for row in rows] == [("1", [f"1-{'a' * 32}"])]


def test_the_seed_document_is_a_fruit_of_the_samples() -> None:
    (path,) = SEED_DOCS_FOLDER.iterdir()
    assert path.name == "red.json"
    seed = json.loads(path.read_text())
    fruit = Fruit.from_doc(seed)
    assert (fruit.fruit_id, fruit.color, fruit.change_count) == (FRUIT_ID, "red", 0)
    assert fruit.created_on == fruit.updated_on == "2015-06-17T19:54:02.133017+00:00"
    assert fruit.as_doc_for_store() == seed


def test_the_readme_names_every_option() -> None:
    options = re.findall(r"--[\w-]+", CommandLineParser("", "").format_usage())
    text = README.read_text()
    assert len(options) == 15
    assert [option for option in options if f"`{option}`" not in text] == []
