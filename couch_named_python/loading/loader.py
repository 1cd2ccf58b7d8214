"""From a name in a design document to a Python function, if it may be run."""

import importlib
from collections.abc import Iterable
from types import FunctionType

from couch_named_python.errors import FatalError, QueryServerError, TimeLimitError
from couch_named_python.loading.installed_code import InstalledCode
from couch_named_python.versions import FINGERPRINT_PREFIX, DesignFunction, get_version

# The name under which CouchDB's own query server reports it: a PUT of the design document is then
# answered with 400 and the reason.
_ERROR_NAME = "compilation_error"


class FunctionLoader:
    """Finds functions by their path, ``package.module.function`` or ``package.module.function|version``.

    Only modules on the allow-list are imported. Each entry is the dotted name of a module or package and
    allows everything below it. The function must be defined in an allowed module too: what that imports
    from elsewhere (``from os import system``) can't be reached through it.
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = tuple(allowed)
        self._functions: dict[str, DesignFunction] = {}
        self._code = InstalledCode(name.partition(".")[0] for name in self._allowed)

    def check_code(self) -> None:
        """Check that the imported code is still the installed code.

        Raises:
            FatalError: a source file has changed. As the answer to a reset this fails no request: CouchDB
                starts another process, which imports the new code.
        """
        if self._code.has_changed():
            raise FatalError("code_changed", "the installed code is newer than this process")

    def load(self, path: str) -> DesignFunction:
        """Return the function that ``path`` names, remembered for as long as this process lives.

        Raises:
            QueryServerError: the path is malformed or not allowed.
            FatalError: the imported code has no such function, or has it under another version. The
                process ends because its code may be older than what is installed; the next imports it anew.
        """
        if path not in self._functions:
            name, _, wanted = path.partition("|")
            function = self.find(name)
            installed = installed_version(function, as_fingerprint=wanted.startswith(FINGERPRINT_PREFIX))
            if installed != wanted:
                reason = (
                    f"'{path}': the design document wants version {wanted or 'none'}, installed is version "
                    f"{installed or 'none'}; upload the design document again with cnp-upload"
                )
                raise FatalError(_ERROR_NAME, reason)
            self._functions[path] = function
        return self._functions[path]

    def find(self, name: str) -> DesignFunction:
        """Return the function called ``name``, whatever its version.

        Raises:
            QueryServerError: the name is malformed or not allowed.
            FatalError: the module can't be imported or has no such function.
        """
        module_name, _, function_name = name.rpartition(".")
        if not module_name or not all(map(str.isidentifier, name.split("."))):
            raise QueryServerError(_ERROR_NAME, f"'{name}' is not package.module.function[|version]")
        self._check_allowed(module_name, name)
        importlib.invalidate_caches()
        try:
            module = importlib.import_module(module_name)
        except TimeLimitError:
            raise
        except BaseException as error:
            reason = f"cannot import '{module_name}' for '{name}': {type(error).__name__}: {error}"
            raise FatalError(_ERROR_NAME, reason) from error
        self._code.remember()
        function = vars(module).get(function_name)
        if not isinstance(function, FunctionType):
            raise FatalError(_ERROR_NAME, f"module '{module_name}' has no function '{function_name}'")
        self._check_allowed(function.__module__, name)
        return function

    def _check_allowed(self, module_name: str, path: str) -> None:
        if not any(module_name == name or module_name.startswith(f"{name}.") for name in self._allowed):
            allowed = ", ".join(self._allowed) or "nothing"
            reason = f"'{path}': module '{module_name}' is not allowed (allowed: {allowed}; see --allow)"
            raise QueryServerError(_ERROR_NAME, reason)


def installed_version(function: DesignFunction, *, as_fingerprint: bool) -> str:
    """Return what follows the ``|`` in the function's path; "" for a function without a version."""
    if as_fingerprint:
        # Imported here because it slows the start, and only design documents with fingerprints need it.
        from couch_named_python.loading.fingerprint import fingerprint

        return fingerprint(function)
    version = get_version(function)
    return "" if version is None else str(version)
