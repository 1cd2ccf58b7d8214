"""What pyproject.toml says of the distribution, compared with the packages."""

import ast
import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from suite.table import ROOT

PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES = [name.rstrip("*") for name in PROJECT["tool"]["setuptools"]["packages"]["find"]["include"]]
DATA: dict[str, list[str]] = PROJECT["tool"]["setuptools"]["package-data"]
LEFT_OUT = {"tests", "node_modules", "__pycache__"}
# A user of the pytest plugin has pytest.
TEST_ONLY = {"pytest"}


def shipped_files() -> Iterator[Path]:
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*"):
            relative = path.relative_to(ROOT)
            if path.is_file() and not LEFT_OUT.intersection(relative.parts) and path.name != "README.md":
                yield relative


def is_in_wheel(path: Path) -> bool:
    if path.suffix == ".py":
        return all((ROOT / parent / "__init__.py").exists() for parent in path.parents[:-1])
    patterns = DATA["*"] if (ROOT / path.parent / "__init__.py").exists() else []
    for folder in path.parents:
        own = DATA.get(".".join(folder.parts), []) if folder.parts else []
        if any(fnmatch.fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in own):
            return True
    return any(fnmatch.fnmatch(path.name, pattern) for pattern in patterns)


def test_wheel_has_every_file_of_its_packages() -> None:
    files = [*shipped_files()]
    assert len(files) > 100
    assert [str(path) for path in files if not is_in_wheel(path)] == []


def test_each_package_is_typed() -> None:
    assert [package for package in PACKAGES if not (ROOT / package / "py.typed").exists()] == []


def imported() -> set[str]:
    """The modules that the packages import from elsewhere."""
    names: set[str] = set()
    for path in shipped_files():
        if path.suffix == ".py":
            for node in ast.walk(ast.parse((ROOT / path).read_text())):
                if isinstance(node, ast.Import):
                    names.update(alias.name for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                    names.add(node.module)
    known = sys.stdlib_module_names | set(PACKAGES) | TEST_ONLY
    return {name for name in names if name.partition(".")[0] not in known}


def distribution_of(module: str, distributions: Mapping[str, list[str]]) -> str:
    """The distribution that has the module; several may have a part of one package."""
    path = module.replace(".", "/")
    candidates = distributions[module.partition(".")[0]]
    found = (
        name
        for name in dict.fromkeys(candidates)
        if {f"{path}.py", f"{path}/__init__.py"}.intersection(map(str, metadata.files(name) or ()))
    )
    return next(found, candidates[0]).lower().replace("_", "-")


def test_dependencies_and_extras_are_what_the_packages_import() -> None:
    project = PROJECT["project"]
    extras = [text for texts in project["optional-dependencies"].values() for text in texts]
    required = [*project["dependencies"], *extras]
    declared = {re.split(r"[<>=]", text)[0].lower().replace("_", "-") for text in required}
    distributions = metadata.packages_distributions()
    used = {distribution_of(name, distributions) for name in imported()}
    assert used == declared


@pytest.mark.parametrize("group", ["scripts", "pytest11"])
def test_entry_points_exist(group: str) -> None:
    project = PROJECT["project"]
    points = project["scripts"] if group == "scripts" else project["entry-points"]["pytest11"]
    for target in points.values():
        module = target.partition(":")[0].replace(".", "/")
        assert (ROOT / f"{module}.py").exists(), target
