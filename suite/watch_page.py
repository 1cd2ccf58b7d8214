"""The page that shows what happens, as a process beside the services."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from suite.processes import Process, signals_wait
from suite.services import answers

_MODULE = "watch.service"
_READY_TIMEOUT_S = 20.0


def has_watch_page() -> bool:
    """Whether there is such a page."""
    return importlib.util.find_spec("watch") is not None


@contextlib.contextmanager
def watch_page(port: int, logs: Path, environment: Mapping[str, str]) -> Iterator[Process]:
    """The page on `port`, as a process that runs until the block ends.

    `environment` says where the control API is.

    Raises:
        SuiteError: it does not start.
    """
    command = [sys.executable, "-m", _MODULE, "--port", str(port)]
    with contextlib.ExitStack() as stack:
        with signals_wait():
            page = stack.enter_context(Process("The watch page", command, logs / "watch.log", environment))
        page.wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), _READY_TIMEOUT_S)
        yield page
