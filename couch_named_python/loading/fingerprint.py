"""A fingerprint of a design function's source, which changes whenever the source does."""

import ast
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import FunctionType
from typing import cast

from couch_named_python.versions import FINGERPRINT_PREFIX, DesignFunction

_HEX_DIGITS = 16


def fingerprint(function: DesignFunction) -> str:
    """Return "source-" and a hash of the module that defines the function and of what that imports.

    The hash covers whole modules and what they import in turn, within the module's own top-level package:
    a changed constant or helper changes the fingerprint, and so does a changed comment. It covers neither
    third-party packages nor the ``__init__`` modules that an import only passes through.

    Raises:
        OSError: a source file can't be read.
    """
    digest = hashlib.sha256(cast(FunctionType, function).__name__.encode())
    for name, source in sorted(_sources(function.__module__).items()):
        digest.update(f"\0{name}\0".encode() + source)
    return FINGERPRINT_PREFIX + digest.hexdigest()[:_HEX_DIGITS]


def _sources(module_name: str) -> dict[str, bytes]:
    package = module_name.partition(".")[0]
    sources: dict[str, bytes] = {}
    to_read = [module_name]
    while to_read:
        name = to_read.pop()
        spec = _find_spec(name)
        if name in sources or spec is None or spec.origin is None:
            continue
        sources[name] = Path(spec.origin).read_bytes()
        if spec.origin.endswith(".py"):
            imported = _imported_names(sources[name], spec.parent)
            to_read += [other for other in imported if other.partition(".")[0] == package]
    return sources


def _find_spec(name: str) -> ModuleSpec | None:
    """Return the spec of a module; None if the name is no module's, such as that of an imported function."""
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


def _imported_names(source: bytes, package: str | None) -> Iterator[str]:
    """Yield the full names that the source of a module in ``package`` imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            relative = "." * node.level + (node.module or "")
            base = importlib.util.resolve_name(relative, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
