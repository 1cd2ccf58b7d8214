"""Locust in a process of its own, since it patches the one that it is in."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEADLINE_S = 60


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "locust", "-f", "loadgen/locustfile.py", *arguments]


@contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Locust in the background, with a page or without."""
    process = subprocess.Popen(  # noqa: S603 - the arguments are the tests' own
        command(*arguments),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=DEADLINE_S)


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    give_up_at_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < give_up_at_s, f"{what} took longer than {DEADLINE_S} s"
        time.sleep(0.05)
