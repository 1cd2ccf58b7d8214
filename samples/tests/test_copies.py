"""Samples are copied, by their readers, and some of their files by one another: those copies stay equal."""

import difflib
import shutil
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import pytest
from openapi_spec_validator import validate

from samples.tests.folders import SAMPLES, name_of, sample_folders
from suite.resources import resources_of
from suite.table import sample_named
from tor_async_couchdb.testing.couchdb import CouchDBServer
from tor_async_service.local.resources import filled
from tor_async_service.tests.processes import TIMEOUT_S, running

MAX_LINES = 80
MAX_LINES_OF_BASIC = 150
FILES = ("model.py", "async_action.py", "service.py")
SAMPLE_FILES = sorted(path for folder in sample_folders() for path in folder.glob("*.py"))
LADDER = [SAMPLES / "crud" / name for name in ("basic", "retry", "exp_backoff", "group_commit")]
# How many lines of these samples differ, counted as the added and the removed lines of a diff.
MAX_CHANGED_LINES = {("basic", "retry"): 4, ("retry", "exp_backoff"): 5, ("basic", "group_commit"): 14}
# Fruits' owners have a context and interactions of their own.
MORE_FILES = {"crud/hash_and_encrypt": {"owner_action.py", "owner_service.py"}}


def test_samples_are_found() -> None:
    names = {name_of(folder) for folder in sample_folders()}
    assert {"crud/basic", "crud/retry", "crud/exp_backoff", "health", "metrics"} <= names


@pytest.mark.parametrize("file_name", ["model.py", "service.py"])
@pytest.mark.parametrize("folder", LADDER[1:], ids=name_of)
def test_only_the_lesson_differs_between_the_samples_of_the_ladder(folder: Path, file_name: str) -> None:
    assert (folder / file_name).read_bytes() == (LADDER[0] / file_name).read_bytes()


@pytest.mark.parametrize("folder", sample_folders(), ids=name_of)
def test_sample_is_three_files(folder: Path) -> None:
    names = {path.name for path in folder.glob("*.py")}
    assert names == {"__init__.py", *FILES} | MORE_FILES.get(name_of(folder), set())


@pytest.mark.parametrize("path", SAMPLE_FILES, ids=name_of)
def test_file_of_a_sample_is_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_LINES


def test_basic_is_small() -> None:
    lines = [line for name in FILES for line in (LADDER[0] / name).read_text().splitlines()]
    assert len(lines) <= MAX_LINES_OF_BASIC


def changed_lines(before: Path, after: Path) -> list[str]:
    """The lines that a diff of two samples adds and removes."""
    changed = []
    for name in FILES:
        old, new = ((folder / name).read_text().splitlines() for folder in (before, after))
        diff = list(difflib.unified_diff(old, new, n=0, lineterm=""))[2:]  # the first two name the files
        changed += [line for line in diff if line.startswith(("+", "-"))]
    return changed


@pytest.mark.parametrize(("before", "after"), MAX_CHANGED_LINES)
def test_lesson_is_a_few_lines(before: str, after: str) -> None:
    changed = changed_lines(SAMPLES / "crud" / before, SAMPLES / "crud" / after)
    assert 0 < len(changed) <= MAX_CHANGED_LINES[before, after], "\n".join(changed)


def test_every_folder_is_a_package() -> None:
    folders = {
        parent for path in SAMPLES.rglob("*.py") for parent in path.parents if SAMPLES in parent.parents
    }
    assert folders
    assert [name_of(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("folder", sample_folders(), ids=name_of)
async def test_copy_of_a_sample_runs_under_another_name_and_describes_itself(
    folder: Path, tmp_path: Path, couchdb: CouchDBServer, database_url: str
) -> None:
    shutil.copytree(folder, tmp_path / "my_own_service", ignore=shutil.ignore_patterns("__pycache__"))
    sample = sample_named(name_of(folder))
    with resources_of(sample) as values:
        arguments = ("--port", "0", "--database", database_url, *filled(sample.options, values))
        await _run_copy(arguments, couchdb, tmp_path)


async def _run_copy(arguments: Sequence[str], couchdb: CouchDBServer, folder: Path) -> None:
    async with (
        running(
            "my_own_service.service",
            *arguments,
            username=couchdb.username,
            password=couchdb.password,
            folder=folder,
        ) as service,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as client,
    ):
        url = await service.url()
        async with client.get(f"{url}/_health?quick=false") as response:
            assert response.status == 200, await response.text()
        async with client.get(f"{url}/_openapi") as response:
            validate(await response.json())
        service.process.terminate()
        assert await service.status() == 0
