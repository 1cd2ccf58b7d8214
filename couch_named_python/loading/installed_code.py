"""Whether the code that this process has imported is still the code that is installed."""

import os
import sys
from collections.abc import Iterable


class InstalledCode:
    """The source files behind the imported modules of some packages, as they were when recorded."""

    def __init__(self, packages: Iterable[str]) -> None:
        self._packages = frozenset(packages)
        self._files: dict[str, tuple[int, ...]] = {}

    def remember(self) -> None:
        """Record the files of all modules imported since the last call."""
        for name, module in list(sys.modules.items()):
            path = getattr(module, "__file__", None)
            if path is not None and path not in self._files and name.partition(".")[0] in self._packages:
                self._files[path] = _state(path)

    def has_changed(self) -> bool:
        """Return whether one of the files has been replaced, changed or removed since it was recorded."""
        return any(_state(path) != state for path, state in self._files.items())


def _state(path: str) -> tuple[int, ...]:
    try:
        status = os.stat(path)  # noqa: PTH116 -- pathlib would cost a tenth of the start-up time
    except OSError:
        return ()
    return status.st_mtime_ns, status.st_size, status.st_ino
