"""The peer's service, with its own packages in a virtual environment of its own."""

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from suite.couchdb import CouchDB
from suite.errors import SuiteError
from suite.processes import Process, signals_wait

_PEERS = Path(__file__).parent / "peers"
_REQUIREMENTS = _PEERS / "requirements.txt"
_READY_TIMEOUT_S = 20.0
_RUNNING = re.compile(r"running on (http://\S+)")


def install_peer(folder: Path, log: Path) -> None:
    """Makes the virtual environment in `folder`, unless it is there with just these packages.

    Raises:
        SuiteError: it can't be made.
    """
    installed = folder / "installed-requirements.txt"
    if installed.exists() and installed.read_text() == _REQUIREMENTS.read_text():
        return
    install = [str(folder / "bin" / "pip"), "install", "--no-deps", "-r", str(_REQUIREMENTS)]
    with log.open("wb") as output:
        for command in ([sys.executable, "-m", "venv", "--clear", str(folder)], install):
            completed = subprocess.run(  # noqa: S603 - the benchmark's own commands, no shell
                command, stdout=output, stderr=subprocess.STDOUT, check=False
            )
            if completed.returncode:
                raise SuiteError(f"The peer's packages can't be installed: see {log}.")
    installed.write_text(_REQUIREMENTS.read_text())


@contextlib.contextmanager
def running_peer(folder: Path, couchdb: CouchDB, database: str, logs: Path) -> Iterator[str]:
    """The URL of the peer's service on a database.

    Raises:
        SuiteError: it did not start.
    """
    command = [
        str(folder / "bin" / "uvicorn"),
        "--app-dir",
        str(_PEERS),
        "fastapi_aiocouch:app",
        "--port",
        "0",
    ]
    environment = couchdb.environment | {"COUCHDB_URL": couchdb.url, "COUCHDB_DATABASE": database}
    with contextlib.ExitStack() as stack:
        with signals_wait():
            process = stack.enter_context(Process("the peer", command, logs / "peer.log", environment))
        process.wait_until(lambda: _RUNNING.search(process.log.read_text()) is not None, _READY_TIMEOUT_S)
        running = _RUNNING.search(process.log.read_text())
        yield "" if running is None else running[1]


def peer_versions() -> str:
    """What the peer is made of, for instance "fastapi 0.165.0, aiocouch 4.0.1"."""
    names = ("fastapi", "aiocouch", "uvicorn")
    lines = (line for line in _REQUIREMENTS.read_text().splitlines() if line.startswith(names))
    return ", ".join(line.replace("==", " ") for line in lines)
