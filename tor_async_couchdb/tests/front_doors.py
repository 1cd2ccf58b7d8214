"""What a test asks of a library's front door, such as `from tor_async_couchdb import …`."""

import ast
import subprocess
import sys
import types
from pathlib import Path

# The packages of the extras.
EXTRAS = ("tink", "argon2", "rfc8785", "cbor2", "flatbuffers", "yaml", "opentelemetry")


def offered_names(door: types.ModuleType) -> list[str]:
    """The public names of a package, without its modules, in order."""
    return sorted(
        name
        for name, value in vars(door).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    )


def names_used_by_api_file(door: types.ModuleType) -> list[str]:
    """The names that the package's `tests/api.py` imports from the front door and uses, in order."""
    api = ast.parse((Path(str(door.__file__)).parent / "tests" / "api.py").read_text())
    imports = [node for node in ast.walk(api) if isinstance(node, ast.ImportFrom)]
    imported = {alias.name for node in imports if node.module == door.__name__ for alias in node.names}
    return sorted(imported & {node.id for node in ast.walk(api) if isinstance(node, ast.Name)})


def error_of_import_without_extras(module: str) -> str:
    """Imports a module in a new process without the packages of the extras; "" if that succeeds."""
    program = f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r})); import {module}"
    command = [sys.executable, "-W", "error", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stderr  # noqa: S603 - our own command
