"""The page's service as a process."""

import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from watch.tests.fake_run import FakeRun

_ROOT = Path(__file__).parents[2]
_TIMEOUT_S = 20.0


@contextlib.contextmanager
def watching(run: FakeRun, log: Path, *, interval_s: float = 0.2) -> Iterator[str]:
    """The URL of a page that watches the run, on any free port."""
    database = "http://127.0.0.1:1/none"
    options = ["--port", "0", "--database", database, "--interval", str(interval_s)]
    command = [sys.executable, "-m", "watch.service", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - our own service
            command,
            cwd=_ROOT,
            env=os.environ | run.environment | {"PYTHONPATH": str(_ROOT)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline_s = time.monotonic() + _TIMEOUT_S
        while (listening := re.search(r"listening on (http://\S+)", log.read_text())) is None:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.02)
        yield listening[1]
    finally:
        process.terminate()
        process.wait(_TIMEOUT_S)
