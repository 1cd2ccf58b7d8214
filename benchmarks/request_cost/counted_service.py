"""Runs a service and counts its function calls while it is told to. Started by calls.py.

    python counted_service.py PACKAGES MODULE [OPTIONS OF THE SERVICE]

PACKAGES are the names, separated by commas, of the packages whose modules are told apart. A line "start" on
standard input starts the count; a line "stop" ends it and prints the result as a line of JSON. It imports
only the standard library, because the service may come from another checkout.
"""

import contextlib
import dis
import json
import os
import runpy
import sys
import threading
from types import CodeType, FrameType
from typing import Any, TextIO


class Calls:
    """Counts the entries into Python functions, of one thread.

    `own_entries` are those into functions of the packages, `crossings` those of them that are called from
    another module of the packages.
    """

    def __init__(self, packages: frozenset[str]) -> None:
        self._packages = packages
        self._entry_offsets: dict[CodeType, int] = {}
        self.is_counting = False
        self.entries = self.own_entries = self.crossings = 0

    def profile(self, frame: FrameType, event: str, argument: Any) -> None:
        """A profile function for sys.setprofile."""
        if not self.is_counting or event != "call" or not self._is_entry(frame):
            return
        self.entries += 1
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in self._packages:
            return
        self.own_entries += 1
        caller = None if frame.f_back is None else frame.f_back.f_globals.get("__name__", "")
        if caller is not None and caller != module and caller.partition(".")[0] in self._packages:
            self.crossings += 1

    def _is_entry(self, frame: FrameType) -> bool:
        """Whether a call enters the function, and does not resume a coroutine or a generator."""
        code = frame.f_code
        if code not in self._entry_offsets:
            resumes = (step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")
            self._entry_offsets[code] = next(resumes, 0)
        return frame.f_lasti <= self._entry_offsets[code]


def obey(calls: Calls, output: TextIO) -> None:
    """Does what the lines of standard input say, until its end."""
    for line in sys.stdin:
        calls.is_counting = line.strip() == "start"
        counts = {name: getattr(calls, name) for name in ("entries", "own_entries", "crossings")}
        print(json.dumps(counts), file=output, flush=True)


def main() -> None:
    """Runs the service until a signal ends it."""
    packages, module, *options = sys.argv[1:]
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the service's own output goes to standard error
    calls = Calls(frozenset(packages.split(",")))
    threading.Thread(target=obey, args=(calls, output), daemon=True).start()
    sys.argv[1:] = options
    sys.setprofile(calls.profile)
    with contextlib.suppress(KeyboardInterrupt):
        runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
