"""Samples as running services."""

import contextlib
import dataclasses
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

import requests

from suite.processes import Process, signals_wait
from suite.table import Sample

_READY_TIMEOUT_S = 60.0  # twenty services start at once, perhaps on a busy machine
_REQUEST_TIMEOUT_S = 5.0
LISTENING = re.compile(r"listening on (http://\S+)")


@dataclasses.dataclass(frozen=True)
class ServiceCommand:
    """One process of a sample, before it is started.

    `link_url` is where the process finds its database if something is between them, such as a proxy.
    """

    sample: Sample
    database_url: str
    environment: Mapping[str, str] = dataclasses.field(repr=False)
    number: int = 1
    options: tuple[str, ...] = ()
    link_url: str | None = None

    @property
    def label(self) -> str:
        """What the process is called, for instance "leader (2)"."""
        return self.sample.label(self.number)

    def with_events(self) -> Self:
        """The same, and its service offers what its requests do at `/_events`."""
        return dataclasses.replace(self, options=(*self.options, "--events"))

    def start(
        self, logs: Path, environment: Mapping[str, str], *, port: int | None = None, start: int = 1
    ) -> Process:
        """The started process. Each `start` of it logs to a file of its own in `logs`."""
        own_port = self.sample.port_of(self.number) if port is None else port
        arguments = ("--port", str(own_port), "--database", self.link_url or self.database_url, *self.options)
        command = [sys.executable, "-m", self.sample.module, *arguments]
        suffix = "" if start == 1 else f".{start}"
        log = logs / f"{self.sample.name.replace('/', '_')}_{self.number}{suffix}.log"
        return Process(self.label, command, log, {**self.environment, **environment})


@dataclasses.dataclass(frozen=True)
class Service:
    """A process of a sample that answers at `url`."""

    command: ServiceCommand
    url: str
    process: Process

    @property
    def sample(self) -> Sample:
        """The sample that it is a process of."""
        return self.command.sample


@contextlib.contextmanager
def running(
    commands: Sequence[ServiceCommand], logs: Path, environment: Mapping[str, str] | None = None
) -> Iterator[list[Service]]:
    """Starts the services together and stops them together; each is healthy when the block begins.

    `environment` is added to that of each command.

    Raises:
        SuiteError: one of them ended, or did not become healthy.
    """
    with contextlib.ExitStack() as stack:
        with signals_wait():
            processes = [stack.enter_context(command.start(logs, environment or {})) for command in commands]
        stack.callback(_ask_to_stop, processes)
        yield [
            Service(command, wait_until_healthy(process), process)
            for command, process in zip(commands, processes, strict=True)
        ]


def _ask_to_stop(processes: Sequence[Process]) -> None:
    for process in processes:
        process.ask_to_stop()


def wait_until_listening(process: Process) -> str:
    """The URL of a service, once its log says where it listens.

    Raises:
        SuiteError: it ended, or took too long.
    """
    process.wait_until(lambda: LISTENING.search(process.log.read_text()) is not None, _READY_TIMEOUT_S)
    listening = LISTENING.search(process.log.read_text())
    return "" if listening is None else listening[1]


def wait_until_healthy(process: Process) -> str:
    """The URL of a service, once its thorough health check succeeds.

    Raises:
        SuiteError: it ended, or took too long.
    """
    url = wait_until_listening(process)
    process.wait_until(lambda: answers(f"{url}/_health?quick=false"), _READY_TIMEOUT_S)
    return url


def answers(url: str) -> bool:
    """Whether a GET of `url` succeeds."""
    try:
        return requests.get(url, timeout=_REQUEST_TIMEOUT_S).ok
    except requests.RequestException:
        return False
