"""CouchDB's part in the tests: a query server in a process of its own, driven through its real pipe."""

import json
import os
import select
import subprocess
import sys
import time
from typing import Any

FUNCTIONS = "couch_named_python.tests.functions"
_DEADLINE_S = 30.0


class QueryServerProcess:
    """A running ``couch-named-python``; ``logs`` holds what it has logged so far."""

    def __init__(self, *allowed: str, environment: dict[str, str] | None = None) -> None:
        options = [option for name in allowed for option in ("--allow", name)]
        self.process = subprocess.Popen(  # noqa: S603 -- our own command
            [sys.executable, "-m", "couch_named_python.serve.command", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **(environment or {})},
        )
        if self.process.stdin is None or self.process.stdout is None:
            raise RuntimeError("no pipe")
        self._input = self.process.stdin
        self._output = self.process.stdout
        self.logs: list[str] = []
        self._received = b""

    def send(self, *command: Any) -> None:
        """Send a command, which is not waited for."""
        self.send_raw(json.dumps(command).encode() + b"\n")

    def send_raw(self, data: bytes) -> None:
        """Send bytes."""
        self._input.write(data)

    def prompt(self, *command: Any) -> Any:
        """Send a command and return its answer."""
        self.send(*command)
        return self.answer()

    def answer(self) -> Any:
        """Return the next answer; None if the process has closed the pipe instead."""
        while (line := self._read_line()) is not None:
            answer = json.loads(line)
            if isinstance(answer, list) and answer[:1] == ["log"]:
                self.logs.append(answer[1])
            else:
                return answer
        return None

    def _read_line(self) -> bytes | None:
        deadline_s = time.monotonic() + _DEADLINE_S
        while b"\n" not in self._received:
            remaining_s = max(deadline_s - time.monotonic(), 0)
            if not select.select([self._output], [], [], remaining_s)[0]:
                raise TimeoutError(f"no answer within {_DEADLINE_S} s")
            block = os.read(self._output.fileno(), 1 << 20)
            if not block:
                if self._received:
                    raise ValueError(f"an unfinished answer: {self._received!r}")
                return None
            self._received += block
        line, _, self._received = self._received.partition(b"\n")
        return line

    def add_functions(self, *names: str) -> None:
        """Reset, and add test functions as map functions."""
        self._set_up("reset", {"reduce_limit": True, "timeout": 5000})
        for name in names:
            self._set_up("add_fun", f"{FUNCTIONS}.{name}")

    def teach(self, **members: Any) -> None:
        """Send the design document "_design/foo" with these members."""
        self._set_up("ddoc", "new", "_design/foo", {"_id": "_design/foo", **members})

    def _set_up(self, *command: Any) -> None:
        if (answer := self.prompt(*command)) is not True:
            raise ValueError(f"{command} was answered with {answer}")

    def run(self, path: list[str], *arguments: Any) -> Any:
        """Run a function of "_design/foo" and return its answer."""
        return self.prompt("ddoc", "_design/foo", path, arguments)

    def run_function(self, kind: str, name: str, *arguments: Any) -> Any:
        """Teach a design document with one test function, run it and return its answer."""
        path = f"{FUNCTIONS}.{name}"
        is_single = kind in ("validate_doc_update", "rewrites")
        self.teach(**{kind: path if is_single else {"it": path}})
        return self.run([kind] if is_single else [kind, "it"], *arguments)

    def exit_status(self) -> int:
        """Wait for the process's end."""
        return self.process.wait(timeout=_DEADLINE_S)

    def close(self) -> None:
        """Close the pipe and wait for the process's end."""
        try:
            self.process.communicate(timeout=_DEADLINE_S)
        finally:
            self.process.kill()
