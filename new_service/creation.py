"""Makes the project: all of it or nothing."""

import socket
import tempfile
from pathlib import Path

from new_service.errors import NewServiceError
from new_service.generation import Plan, format_python, write
from new_service.git import commit_all
from new_service.origin import remember
from suite.table import ROOT, SAMPLES

_FIRST_PORT, _LAST_PORT = 8470, 8999


def create(target: Path, plan: Plan) -> None:
    """Makes the project in `target`, which must not exist or be empty, as a git repository with one commit.

    Raises:
        NewServiceError: it can't be made. Nothing is left behind.
    """
    check_target(target)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as temporary:
            folder = Path(temporary) / target.name
            folder.mkdir()
            write(folder, plan.files())
            format_python(folder)
            remember(folder, plan)
            commit_all(folder, f"Make {target.name} from the sample {plan.sample.name} of tor-async-suite")
            folder.rename(target)
    except OSError as error:
        raise NewServiceError(f"{error.filename or target}: {error.strerror}") from error


def check_target(target: Path) -> None:
    """Returns if a project can be made there.

    Raises:
        NewServiceError: it can't.
    """
    if target.is_relative_to(ROOT):
        raise NewServiceError(f"{target}: is in the checkout of tor-async-suite; take a folder outside of it")
    if not target.parent.is_dir():
        raise NewServiceError(f"{target}: there is no folder {target.parent}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NewServiceError(f"{target}: exists already, and is no empty folder")


def free_port() -> int:
    """A port that no sample has, and that nothing listens on now.

    Raises:
        NewServiceError: there is none.
    """
    taken = {sample.port_of(number) for sample in SAMPLES for number in sample.numbers}
    for port in range(_FIRST_PORT, _LAST_PORT + 1):
        if port not in taken and _is_free(port):
            return port
    raise NewServiceError(f"no port from {_FIRST_PORT} to {_LAST_PORT} is free: give one with --port")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
