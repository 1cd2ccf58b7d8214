"""The samples as running services."""

import contextlib
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import requests

from suite.processes import Process, signals_wait

ROOT = Path(__file__).parent.parent
_SAMPLES = ROOT / "samples"

# Every service's own default is 8445, so that the copies of one another stay equal.
PORTS: Mapping[str, int] = {
    "crud/basic": 8445,
    "crud/retry": 8446,
    "crud/exp_backoff": 8447,
    "health": 8448,
    "metrics": 8449,
    "crud/multi_master": 8450,
    "crud/tampering": 8452,
    "crud/hash_and_encrypt": 8453,
    "crud/group_commit": 8454,
    "leader": 8455,
}
# Samples that show something only as several processes, on ports that follow one another.
_PROCESSES = {"crud/multi_master": 2, "leader": 3}
_ANY_PORT = 0
_READY_TIMEOUT_S = 20.0
_REQUEST_TIMEOUT_S = 5.0
_LISTENING = re.compile(r"listening on (http://\S+)")


@dataclass(frozen=True)
class Sample:
    """A sample's folder below samples/, and how the suite starts a process of it, the `number`th."""

    name: str
    port: int
    options: tuple[str, ...] = ()
    number: int = 1

    @property
    def label(self) -> str:
        """What a process of it is called."""
        return self.name if self.number == 1 else f"{self.name} ({self.number})"

    @property
    def numbers(self) -> range:
        """The numbers of the processes that the suite runs of it."""
        return range(1, _PROCESSES.get(self.name, 1) + 1)

    def another(self, number: int, *options: str) -> "Sample":
        """The `number`th process of it, on a port that follows the first one's."""
        port = self.port + number - 1 if self.port else _ANY_PORT
        return replace(self, port=port, options=options, number=number)

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


def find_samples(ports: Mapping[str, int] = PORTS) -> list[Sample]:
    """All samples, in the order of their ports; those without one come last, and get any."""
    names = [str(path.parent.relative_to(_SAMPLES)) for path in sorted(_SAMPLES.rglob("service.py"))]
    samples = [Sample(name, ports.get(name, _ANY_PORT)) for name in names]
    return sorted(samples, key=lambda sample: sample.port or sys.maxsize)


@contextlib.contextmanager
def running_services(
    samples: Sequence[Sample], database_url: str, environment: Mapping[str, str], logs: Path
) -> Iterator[list[Service]]:
    """Starts the samples together, and stops them together; all have said that they are well.

    Raises:
        SuiteError: one of them isn't, or has ended.
    """
    with processes_of([(sample, database_url, environment) for sample in samples], logs) as services:
        yield services


@contextlib.contextmanager
def processes_of(
    starts: Sequence[tuple[Sample, str, Mapping[str, str]]], logs: Path
) -> Iterator[list[Service]]:
    """The same for samples that each have a database's URL and an environment of their own."""
    with contextlib.ExitStack() as stack:
        with signals_wait():
            processes = [stack.enter_context(_start(*start, logs)) for start in starts]
        stack.callback(_ask_to_stop, processes)
        yield [
            Service(start[0], _wait_until_well(process), process)
            for start, process in zip(starts, processes, strict=True)
        ]


def _ask_to_stop(processes: Sequence[Process]) -> None:
    for process in processes:
        process.ask_to_stop()


def _start(sample: Sample, database_url: str, environment: Mapping[str, str], logs: Path) -> Process:
    options = ("--port", str(sample.port), "--database", database_url, *sample.options)
    log = logs / f"{sample.name.replace('/', '_')}_{sample.number}.log"
    return Process(sample.label, [sys.executable, "-m", sample.module, *options], log, environment)


def _wait_until_well(process: Process) -> str:
    process.wait_until(lambda: _LISTENING.search(process.log.read_text()) is not None, _READY_TIMEOUT_S)
    listening = _LISTENING.search(process.log.read_text())
    url = "" if listening is None else listening[1]
    process.wait_until(lambda: answers(f"{url}/_health?quick=false"), _READY_TIMEOUT_S)
    return url


def answers(url: str) -> bool:
    """Whether a GET of `url` succeeds."""
    try:
        return requests.get(url, timeout=_REQUEST_TIMEOUT_S).ok
    except requests.RequestException:
        return False
