"""The stand-in as a child process that ends with the process that started it."""

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from embedded_couchdb.errors import EmbeddedCouchDBError
from embedded_couchdb.node import SERVER_FOLDER

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 5.0
LOG_NAME = "server.log"


class EmbeddedCouchDB:
    """A CouchDB stand-in on 127.0.0.1, running from `start()` (or `with`) to `stop()`.

    Its databases are in `folder` and survive it, kill -9 included. Its log is the file `log`. It ends when
    this process ends, however that happens. It installs nothing: `node.find_node` and `node.install` do.

    Args:
        node: The Node.js executable.
        folder: Where the databases are. It is created if it is missing.
        port: 0 lets the operating system choose a free port. `start()` replaces it by the chosen one, so that
            a restart gets the same address.
        username: The name of the administrator, who is the only user.
        password: The administrator's password.
    """

    def __init__(self, node: Path, folder: Path, *, port: int = 0, username: str, password: str) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / LOG_NAME
        self._command = [str(node), str(SERVER_FOLDER / "server.js"), "--folder", str(folder)]
        self._credentials = {"COUCHDB_USER": username, "COUCHDB_PASSWORD": password}
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Start the server."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the server."""
        self.stop()

    @property
    def url(self) -> str:
        """The server's URL, without credentials and without a trailing slash."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the server.

        Raises:
            EmbeddedCouchDBError: The server was not started.
        """
        return self._running().pid

    @property
    def is_running(self) -> bool:
        """Whether the server was started and has not ended since, by itself or otherwise."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the server and return once it answers requests.

        Raises:
            EmbeddedCouchDBError: The server ended (port or folder in use) or did not answer within 15 s.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            log_start = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the caller's own node, no shell
                [*self._command, "--port", str(self.port)],
                env=os.environ | self._credentials,
                stdin=subprocess.PIPE,  # never written to: the server ends when it closes
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which then stops the server
            )
        ready = self._first_line()
        if ready is None:
            self.stop()
            raise EmbeddedCouchDBError(self._why_not_started(log_start))
        self.port = int(json.loads(ready)["url"].rpartition(":")[2])

    def wait(self) -> int:
        """Wait until the server ends; return its exit status."""
        return self._running().wait()

    def stop(self) -> None:
        """Stop the server, if it runs, and return once it has ended."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """End the server with SIGKILL, if it runs: no chance to save anything. `start()` starts it again."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise EmbeddedCouchDBError("The CouchDB stand-in is not running: call start() first.")
        return self._process

    def _first_line(self) -> bytes | None:
        output = self._running().stdout
        if output is None:
            return None
        deadline = time.monotonic() + START_TIMEOUT_S
        readable, _, _ = select.select([output], [], [], deadline - time.monotonic())
        return (output.readline() or None) if readable else None

    def _why_not_started(self, log_start: int) -> str:
        with self.log.open("rb") as log:
            log.seek(log_start)
            lines = log.read().decode(errors="replace").splitlines()
        if lines:
            return f"The CouchDB stand-in did not start: {lines[0]}"
        return f"The CouchDB stand-in did not answer within {START_TIMEOUT_S:.0f} s: see {self.log}."
