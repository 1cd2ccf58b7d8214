"""The samples as running services."""

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from suite.processes import Process

ROOT = Path(__file__).parent.parent
_SAMPLES = ROOT / "samples"

# Every service's own default is 8445, so that the copies of one another stay equal.
_PORTS = {
    "crud/basic": 8445,
    "crud/retry": 8446,
    "crud/exp_backoff": 8447,
    "health": 8448,
    "metrics": 8449,
    "crud/tampering": 8452,
    "crud/group_commit": 8454,
}
_ANY_PORT = 0
_READY_TIMEOUT_S = 20.0
_REQUEST_TIMEOUT_S = 5.0
_LISTENING = re.compile(r"listening on (http://\S+)")


@dataclass(frozen=True)
class Sample:
    """A sample's folder below samples/, and the port that the suite gives to it."""

    name: str
    port: int

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"samples.{self.name.replace('/', '.')}.service"


@dataclass(frozen=True)
class Service:
    """A sample that runs and answers."""

    sample: Sample
    url: str
    process: Process


def find_samples() -> list[Sample]:
    """All samples, in the order of their ports; those without one come last, and get any."""
    names = [str(path.parent.relative_to(_SAMPLES)) for path in sorted(_SAMPLES.rglob("service.py"))]
    samples = [Sample(name, _PORTS.get(name, _ANY_PORT)) for name in names]
    return sorted(samples, key=lambda sample: sample.port or sys.maxsize)


@contextlib.contextmanager
def running_services(
    samples: Sequence[Sample], database_url: str, environment: Mapping[str, str], logs: Path
) -> Iterator[list[Service]]:
    """Starts the samples together, and stops them together; all have said that they are well.

    Raises:
        SuiteError: one of them isn't, or has ended.
    """
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(_start(sample, database_url, environment, logs)) for sample in samples
        ]
        stack.callback(_ask_to_stop, processes)
        yield [
            Service(sample, _wait_until_well(process), process)
            for sample, process in zip(samples, processes, strict=True)
        ]


def _ask_to_stop(processes: Sequence[Process]) -> None:
    for process in processes:
        process.ask_to_stop()


def _start(sample: Sample, database_url: str, environment: Mapping[str, str], logs: Path) -> Process:
    command = [sys.executable, "-m", sample.module, "--port", str(sample.port), "--database", database_url]
    log = logs / f"{sample.name.replace('/', '_')}.log"
    return Process(sample.name, command, log, environment)


def _wait_until_well(process: Process) -> str:
    process.wait_until(lambda: _LISTENING.search(process.log.read_text()) is not None, _READY_TIMEOUT_S)
    listening = _LISTENING.search(process.log.read_text())
    url = "" if listening is None else listening[1]
    process.wait_until(lambda: _is_well(url), _READY_TIMEOUT_S)
    return url


def _is_well(url: str) -> bool:
    try:
        answer = requests.get(f"{url}/_health?quick=false", timeout=_REQUEST_TIMEOUT_S)
    except requests.RequestException:
        return False
    return answer.ok
