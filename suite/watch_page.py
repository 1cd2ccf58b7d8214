"""The page that shows what happens, as a process beside the services."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from suite import screen
from suite.processes import Process, signals_wait
from suite.services import answers
from watch.packages import PackagesError, install_packages

_MODULE = "watch.service"
_READY_TIMEOUT_S = 60.0


@contextlib.contextmanager
def watch_page(port: int, database_url: str, logs: Path, environment: Mapping[str, str]) -> Iterator[Process]:
    """The page on `port`, as a process that runs until the block ends.

    `environment` says where the control API is, and has the credentials of the database.

    Raises:
        SuiteError: it does not start.
    """
    try:
        install_packages()
    except PackagesError as error:
        screen.complain(f"The watch page has no charts: {error}")
    command = [sys.executable, "-m", _MODULE, "--port", str(port), "--database", database_url]
    with contextlib.ExitStack() as stack:
        with signals_wait():
            page = stack.enter_context(Process("The watch page", command, logs / "watch.log", environment))
        page.wait_until(lambda: answers(f"http://127.0.0.1:{port}/"), _READY_TIMEOUT_S)
        yield page
