"""One run at a time: the second is told about the first."""

import contextlib
import datetime
import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

from suite.errors import SuiteError


@contextlib.contextmanager
def only_run(folder: Path) -> Iterator[Callable[[str], None]]:
    """Holds a lock in `folder`; what the block is given takes the addresses of the run, for a second one.

    Raises:
        SuiteError: another process holds it. The text says since when, and the addresses of that run.
    """
    with (folder / "running").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise SuiteError(f"Already running, {file.read().strip()}.") from None
        since = f"since {datetime.datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"

        def say_where(addresses: str) -> None:
            file.truncate(0)
            file.write(f"{since}, at {addresses}")
            file.flush()

        say_where("addresses that are not known yet")
        yield say_where
        file.truncate(0)
