"""The command line: runs a service until Ctrl-C, or while another command runs."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import requests

from embedded_couchdb.errors import EmbeddedCouchDBError
from tor_async_couchdb.errors import CouchDBError
from tor_async_couchdb.installer import install
from tor_async_couchdb.installer.option_types import UserPassword
from tor_async_couchdb.installer.options import signer_of
from tor_async_couchdb.testing.couchdb import running_couchdb
from tor_async_service.local.resources import RESOURCES, filled, resources_of

_READY_TIMEOUT_S = 30.0
_REQUEST_TIMEOUT_S = 5.0
_STOP_TIMEOUT_S = 20.0  # a service takes up to 10 s to finish what is in flight
_POLL_INTERVAL_S = 0.05
_LISTENING = re.compile(r"listening on (http://\S+)")


class LocalServiceError(Exception):
    """The service did not start."""


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line. A wrong one ends the process with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m tor_async_service.local",
        description="Runs a service with all that it needs: on the CouchDB that COUCHDB_URL names "
        "(administrator: COUCHDB_USER, COUCHDB_PASSWORD), or else on the stand-in.",
        usage="%(prog)s [OPTION ...] MODULE [-- OPTION OF THE SERVICE ...]",
        epilog="What follows -- are options of the service. In them "
        + ", ".join(f"{{{name}}}" for name in RESOURCES)
        + " stand for what is made for it.",
        allow_abbrev=False,
    )
    parser.add_argument("module", metavar="MODULE", help="the service, as python -m takes it")
    parser.add_argument("--database", metavar="NAME", default="local", help="its database [%(default)s]")
    parser.add_argument("--design-docs", metavar="FOLDER", help="design documents of the database")
    parser.add_argument("--seed-docs", metavar="FOLDER", help="seed documents of the database")
    parser.add_argument("--port", type=int, default=8445, help="port to listen on [%(default)s]")
    parser.add_argument(
        "--folder", type=Path, default=Path(".run"), help="where data and keys are kept [%(default)s]"
    )
    parser.add_argument(
        "--while",
        dest="command",
        metavar="COMMAND",
        help="run COMMAND with the service's URL in SERVICE_URL, and end with its exit status; the service "
        "is on any free port then, and its database, data and keys are new and are removed at the end",
    )
    given = sys.argv[1:] if arguments is None else [*arguments]
    end = given.index("--") if "--" in given else len(given)  # argparse takes no options on both sides of it
    # A script has options of its own behind a second --, after those that it was given.
    own = [option for option in given[end + 1 :] if option != "--"]
    options = parser.parse_args(given[:end], argparse.Namespace(options=own))
    try:
        filled(options.options, dict.fromkeys(RESOURCES, ""))
    except (IndexError, KeyError, ValueError) as error:
        parser.error(f"what stands in braces after --: {error}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status: that of the command or of the service, or 1 after a line on standard error."""
    options = parse(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        if options.command is not None:
            return _run_command(options)
        return _run_until_interrupted(options)
    except (CouchDBError, EmbeddedCouchDBError, LocalServiceError, OSError, RuntimeError) as error:
        sys.stderr.write(f"python -m tor_async_service.local: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


def _run_until_interrupted(options: argparse.Namespace) -> int:
    options.folder.mkdir(parents=True, exist_ok=True)
    with _started(options, options.folder, options.database, options.port, output=None) as service:
        try:
            return service.wait()
        except KeyboardInterrupt:  # a terminal's Ctrl-C has reached the service, too
            return _stopped(service)


def _run_command(options: argparse.Namespace) -> int:
    name = f"{options.database}_{uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        log = folder / "service.log"
        with (
            log.open("wb") as output,
            _started(options, folder, name, 0, output=output.fileno()) as service,
        ):
            environment = os.environ | {"SERVICE_URL": _url_when_healthy(service, log)}
            return subprocess.run(  # noqa: S603 - what the caller asks for
                shlex.split(options.command), env=environment, check=False
            ).returncode


@contextlib.contextmanager
def _started(
    options: argparse.Namespace, folder: Path, database: str, port: int, *, output: int | None
) -> Iterator[subprocess.Popen[bytes]]:
    """The service on an installed database; both end with the block. A database of a command's is deleted."""
    _say_which_couchdb()
    with (
        running_couchdb(folder / "couchdb") as couchdb,
        resources_of(options.options, folder) as values,
    ):
        install(
            couchdb.url,
            database,
            credentials=UserPassword(couchdb.username, couchdb.password),
            design_docs_folder=options.design_docs,
            seed_docs_folder=options.seed_docs,
            seed_doc_signer=signer_of(values["key_set"]) if "key_set" in values else None,
        )
        service = subprocess.Popen(  # noqa: S603 - the caller's own service
            [
                *(sys.executable, "-m", options.module),
                *("--port", str(port), "--database", f"{couchdb.url}/{database}"),
                *filled(options.options, values),
            ],
            env=os.environ | {"COUCHDB_USER": couchdb.username, "COUCHDB_PASSWORD": couchdb.password},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=None if output is None else subprocess.STDOUT,
        )
        try:
            yield service
        finally:
            _stopped(service)
            if options.command is not None:
                couchdb.succeed("DELETE", database)


def _say_which_couchdb() -> None:
    if "COUCHDB_URL" in os.environ:
        sys.stderr.write("Using the CouchDB that COUCHDB_URL names.\n")
    else:
        sys.stderr.write("Starting the CouchDB stand-in (the first time its packages are installed) ...\n")


def _url_when_healthy(service: subprocess.Popen[bytes], log: Path) -> str:
    """The URL of the service, once its thorough health check succeeds.

    Raises:
        LocalServiceError: it ended, or took too long; the message has its log.
    """
    deadline_s = time.monotonic() + _READY_TIMEOUT_S
    while service.poll() is None and time.monotonic() < deadline_s:
        found = _LISTENING.search(log.read_text(errors="replace"))
        if found is not None and _answers(f"{found[1]}/_health?quick=false"):
            return found[1]
        time.sleep(_POLL_INTERVAL_S)
    raise LocalServiceError(f"the service did not start:\n{log.read_text(errors='replace')}")


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=_REQUEST_TIMEOUT_S).ok
    except requests.RequestException:
        return False


def _stopped(service: subprocess.Popen[bytes]) -> int:
    """Ends the service, if it runs; its exit status."""
    service.terminate()
    try:
        return service.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        service.kill()
        return service.wait()
