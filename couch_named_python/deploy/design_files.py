"""Design documents from YAML files that name Python functions."""

import inspect
import re
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from couch_named_python.errors import QueryServerError
from couch_named_python.loading.loader import FunctionLoader, installed_version
from couch_named_python.versions import DesignFunction

# https://docs.couchdb.org/en/stable/ddocs/ddocs.html#built-in-reduce-functions, and those of 3.5.
_BUILT_IN_REDUCE = re.compile(r"_(sum|count|stats|approx_count_distinct|first|last|(top|bottom)_[1-9]\d*)")

# How many arguments the query server calls each kind of function with.
_ARGUMENTS = {
    "map": 1,
    "reduce": 3,
    "filters": 2,
    "lists": 2,
    "rewrites": 1,
    "shows": 2,
    "updates": 2,
    "validate_doc_update": 4,
}
_GROUPS = ("filters", "lists", "shows", "updates")
_SINGLE_FUNCTIONS = ("rewrites", "validate_doc_update")
_SETTINGS = ("autoupdate", "options")


class DesignError(Exception):
    """A definition is wrong. The message is one line that says where and why."""


class _UniqueKeyLoader(yaml.SafeLoader):
    """A loader that refuses a key given twice; YAML's own keeps only the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key}' is given twice", node.start_mark
                )
        return super().construct_mapping(node, deep)


def read_design_files(paths: Iterable[Path]) -> dict[str, Any]:
    """Return the definitions of all design documents in the files, by name.

    Raises:
        DesignError: a file can't be read, isn't a YAML mapping, or repeats a design document of another.
    """
    definitions: dict[str, Any] = {}
    for path in paths:
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)  # noqa: S506 -- a SafeLoader
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise DesignError(f"{path}: {' '.join(str(error).split())}") from error
        for name, definition in _mapping(content, str(path)).items():
            if name in definitions:
                raise DesignError(f"{path}: design document '{name}' is also in another file")
            definitions[name] = definition
    return definitions


def design_documents(
    definitions: Mapping[str, Any], *, language: str = "python", as_fingerprints: bool = False
) -> list[dict[str, Any]]:
    """Return the design documents, without ``_rev``, with each function checked and its version appended.

    ``definitions`` is what the YAML files hold: {name: {"views": {view: "package.module.function" or
    {"map": …, "reduce": …}}, "filters": {…}, "validate_doc_update": …, …}}.

    Raises:
        DesignError: a key is unknown, or a function is missing, async or takes other arguments.
    """
    builder = _Builder(as_fingerprints)
    return [
        {"_id": f"_design/{name}", "language": language, **builder.design_document(name, definition)}
        for name, definition in definitions.items()
    ]


class _Builder:
    def __init__(self, as_fingerprints: bool) -> None:
        self._as_fingerprints = as_fingerprints

    def design_document(self, name: str, definition: Any) -> dict[str, Any]:
        document: dict[str, Any] = {}
        for key, value in _mapping(definition, name).items():
            where = f"{name}: {key}"
            if key == "views":
                views = _mapping(value, where)
                document[key] = {view: self._view(f"{where}: '{view}'", views[view]) for view in views}
            elif key in _GROUPS:
                paths = _mapping(value, where)
                document[key] = {each: self._path(f"{where}: '{each}'", key, paths[each]) for each in paths}
            elif key in _SINGLE_FUNCTIONS:
                document[key] = self._path(where, key, value)
            elif key in _SETTINGS:
                document[key] = value
            else:
                raise DesignError(f"{name}: unknown key '{key}'")
        return document

    def _view(self, where: str, value: Any) -> dict[str, str]:
        functions = {"map": value} if isinstance(value, str) else _mapping(value, where)
        if unknown := functions.keys() - {"map", "reduce"}:
            raise DesignError(f"{where}: unknown key '{min(unknown)}'")
        if "map" not in functions:
            raise DesignError(f"{where}: no map function")
        return {kind: self._view_function(f"{where}: {kind}", kind, path) for kind, path in functions.items()}

    def _view_function(self, where: str, kind: str, path: Any) -> str:
        if kind == "reduce" and isinstance(path, str) and path.startswith("_"):
            if not _BUILT_IN_REDUCE.fullmatch(path):
                raise DesignError(f"{where}: CouchDB has no built-in reduce function '{path}'")
            return path
        return self._path(where, kind, path)

    def _path(self, where: str, kind: str, name: Any) -> str:
        """Return the function's name with its version. Errors begin with ``where``."""
        if not isinstance(name, str):
            raise DesignError(f"{where}: not the name of a function: {name!r}")
        if "|" in name:
            raise DesignError(f"{where}: '{name}' has a version; cnp-upload appends it, so leave it out")
        try:
            function = FunctionLoader([name.partition(".")[0]]).find(name)
        except QueryServerError as error:
            raise DesignError(f"{where}: {' '.join(error.reason.split())}") from error
        _check_call(where, kind, name, function)
        version = installed_version(function, as_fingerprint=self._as_fingerprints)
        return f"{name}|{version}" if version else name


def _check_call(where: str, kind: str, name: str, function: DesignFunction) -> None:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise DesignError(f"{where}: {name} is async; the query server runs plain functions")
    if inspect.isgeneratorfunction(function) and kind not in ("map", "lists"):
        raise DesignError(f"{where}: {name} is a generator; only map and list functions yield")
    count = _ARGUMENTS[kind]
    if kind == "lists" and inspect.isgeneratorfunction(function):
        count += 1  # the rows
    signature = inspect.signature(function)
    try:
        signature.bind(*range(count))
    except TypeError as error:
        raise DesignError(f"{where}: {name}{signature} is called with {count} arguments") from error


def _mapping(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DesignError(f"{where}: not a mapping: {value!r}")
    for key in value:
        if not isinstance(key, str):
            raise DesignError(f"{where}: the key {key!r} is no string; put it in quotes")
    return value
