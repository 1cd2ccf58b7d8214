"""How many functions one PUT enters, and how often it crosses from one module of ours into another."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import requests

from suite.errors import SuiteError
from suite.processes import signals_wait
from suite.services import LISTENING
from suite.table import Sample

_PACKAGES = "samples,tor_async_couchdb,tor_async_service"
_PROGRAM = Path(__file__).with_name("counted_service.py")
_WARM_UP, _PUTS = 20, 50
_REQUEST_TIMEOUT_S = 60.0
_READY_TIMEOUT_S = 30.0
_POLL_INTERVAL_S = 0.05
_STOP_TIMEOUT_S = 30.0


class Calls(NamedTuple):
    """Means over the PUTs: entries into Python functions, into ours, and calls between modules of ours."""

    entries: float
    own_entries: float
    crossings: float


def environment_of(checkout: Path) -> dict[str, str]:
    """The variables that make Python import the checkout in `checkout` and not the one that it runs in."""
    return {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"}


def count_calls(sample: Sample, database_url: str, environment: Mapping[str, str], log: Path) -> Calls:
    """The calls of one PUT of the sample, on a database that is installed.

    Raises:
        SuiteError: the service ended.
    """
    command = [
        sys.executable,
        str(_PROGRAM),
        _PACKAGES,
        sample.module,
        "--port",
        "0",
        "--database",
        database_url,
    ]
    with _running(command, environment, log) as process, requests.Session() as session:
        url = _wait_until_listening(process, log)
        created = session.post(f"{url}/v1.0/fruits", json={"color": "red"}, timeout=_REQUEST_TIMEOUT_S)
        fruit = f"{url}/v1.0/fruits/{created.json()['fruit_id']}"

        def put(times: int) -> None:
            for _ in range(times):
                answer = session.put(fruit, json={"color": "blue"}, timeout=_REQUEST_TIMEOUT_S)
                answer.raise_for_status()

        put(_WARM_UP)
        before = _told(process, "start", log)
        put(_PUTS)
        after = _told(process, "stop", log)
    return Calls(*((after[name] - before[name]) / _PUTS for name in Calls._fields))


@contextlib.contextmanager
def _running(
    command: list[str], environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[str]"]:
    with contextlib.ExitStack() as stack:
        with signals_wait():
            errors = stack.enter_context(log.open("wb"))
            process = stack.enter_context(
                subprocess.Popen(  # noqa: S603 - the benchmark's own command, no shell
                    command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                )
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_listening(process: "subprocess.Popen[str]", log: Path) -> str:
    deadline_s = time.monotonic() + _READY_TIMEOUT_S
    while (listening := LISTENING.search(log.read_text())) is None:
        if process.poll() is not None or time.monotonic() > deadline_s:
            raise SuiteError(f"The service ended or did not listen: see {log}.")
        time.sleep(_POLL_INTERVAL_S)
    return listening[1]


def _told(process: "subprocess.Popen[str]", order: str, log: Path) -> dict[str, int]:
    """The counts so far, after the program has got the order."""
    if process.stdin is None or process.stdout is None:
        raise RuntimeError("no pipe")
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(f"{order}\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise SuiteError(f"The service ended: see {log}.")
    counts: dict[str, int] = json.loads(answer)
    return counts
