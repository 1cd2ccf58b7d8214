import importlib
from pathlib import Path

import pytest

from couch_named_python.loading.installed_code import InstalledCode


@pytest.fixture
def source(source_folder: Path, request: pytest.FixtureRequest) -> Path:
    """A module that is imported, with a name of the test's own."""
    path = source_folder / f"cnp_code_{abs(hash(request.node.name))}.py"
    path.write_text("A = 1")
    importlib.import_module(path.stem)
    return path


def test_code_that_stays_has_not_changed(source: Path) -> None:
    code = InstalledCode([source.stem])
    code.remember()
    code.remember()
    assert not code.has_changed()


def test_changed_code_has_changed_for_good(source: Path) -> None:
    code = InstalledCode([source.stem])
    code.remember()
    source.write_text("A = 22")
    assert code.has_changed()
    code.remember()
    assert code.has_changed()


def test_removed_code_has_changed(source: Path) -> None:
    code = InstalledCode([source.stem])
    code.remember()
    source.unlink()
    assert code.has_changed()


def test_other_packages_do_not_count(source: Path) -> None:
    code = InstalledCode(["cnp_another"])
    code.remember()
    source.write_text("A = 22")
    assert not code.has_changed()
