import importlib
from collections.abc import Callable
from pathlib import Path

import pytest

from couch_named_python.loading.fingerprint import fingerprint

FILES = {
    "__init__.py": "VERSION = 1",
    "views.py": """
import json
from .tools import tool
import {0}.sub.deep

def one(doc):
    from {0} import late

def two(doc):
    pass
""",
    "tools.py": "from .constants import LIMIT\ndef tool(): return LIMIT",
    "constants.py": "LIMIT = 1",
    "late.py": "",
    "sub/__init__.py": "",
    "sub/deep.py": "from .. import constants",
    "unused.py": "",
}


@pytest.fixture
def package(source_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A package whose views import other modules of it, with a name of the test's own."""
    folder = source_folder / f"cnp_print_{abs(hash(request.node.name))}"
    for name, source in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source.format(folder.name))
    return folder


@pytest.fixture
def one(package: Path) -> Callable[..., None]:
    function: Callable[..., None] = importlib.import_module(f"{package.name}.views").one
    return function


def test_a_fingerprint_is_the_same_each_time(one: Callable[..., None]) -> None:
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one).startswith("source-")
    assert len(fingerprint(one)) == len("source-") + 16


@pytest.mark.parametrize("name", ["views.py", "tools.py", "constants.py", "late.py", "sub/deep.py"])
def test_it_changes_with_whatever_the_module_imports(
    package: Path, one: Callable[..., None], name: str
) -> None:
    before = fingerprint(one)
    path = package / name
    path.write_text(path.read_text() + "\nMORE = 1\n")
    assert fingerprint(one) != before


@pytest.mark.parametrize("name", ["unused.py", "sub/__init__.py"])
def test_what_is_not_imported_does_not_change_it(package: Path, one: Callable[..., None], name: str) -> None:
    before = fingerprint(one)
    (package / name).write_text("MORE = 1")
    assert fingerprint(one) == before


def test_two_functions_of_a_module_differ(package: Path, one: Callable[..., None]) -> None:
    assert fingerprint(one) != fingerprint(importlib.import_module(f"{package.name}.views").two)
