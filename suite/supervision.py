"""Watches over the services while they run: says which have ended, and kills and restarts them."""

import contextlib
import datetime
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self

from suite.errors import SuiteError
from suite.processes import Process
from suite.services import Service, wait_until_listening
from suite.table import Sample

_LOOK_INTERVAL_S = 0.2


class UnknownServiceError(SuiteError):
    """There is no service of this name."""


@contextlib.contextmanager
def repeated(action: Callable[[], None]) -> Iterator[None]:
    """Calls `action` five times a second, in a thread of its own, until the block ends."""
    end = threading.Event()

    def repeat() -> None:
        while not end.wait(_LOOK_INTERVAL_S):
            action()

    thread = threading.Thread(target=repeat, name="supervision", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


class Supervised:
    """A service whose process may end and be started again, always at the same URL."""

    def __init__(self, service: Service) -> None:
        self.label = service.command.label
        self.command = service.command
        self.url = service.url
        self.process: Process = service.process
        self.started_at = _now()
        self.ended_at: datetime.datetime | None = None
        self.starts = 1
        self.changing = threading.RLock()
        """Held while the process is killed or started, so that nothing else reports that."""

    @property
    def sample(self) -> Sample:
        """The sample that it is a process of."""
        return self.command.sample

    @property
    def is_running(self) -> bool:
        """Whether its process runs."""
        return self.process.is_running

    def note_end(self) -> None:
        """Remembers when it ended."""
        self.ended_at = _now()


class Supervisor:
    """The services of a run. It calls `say` with a sentence when one ends or is started again.

    It is used inside `with`; at the end it stops the processes that it has started.
    """

    def __init__(self, services: Sequence[Service], logs: Path, say: Callable[[str], None]) -> None:
        self.services = {service.command.label: Supervised(service) for service in services}
        self.in_use: str | None = None
        """The label of the service that the run puts load on now."""
        self._logs = logs
        self._say = say
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._is_closed = True
        for service in self.services.values():
            service.process.resume()
            service.process.ask_to_stop()
        for service in self.services.values():
            with service.changing:
                service.process.stop()

    @property
    def are_all_gone(self) -> bool:
        """Whether no service runs any more."""
        return not any(service.is_running for service in self.services.values())

    def named(self, label: str) -> Supervised:
        """The service with this label.

        Raises:
            UnknownServiceError: there is none.
        """
        if label not in self.services:
            raise UnknownServiceError(f"There is no service {label!r}: there are {', '.join(self.services)}.")
        return self.services[label]

    def of(self, sample_name: str) -> list[Supervised]:
        """The services of a sample."""
        return [service for service in self.services.values() if service.sample.name == sample_name]

    def look(self) -> None:
        """Says which services have ended since the last look."""
        for service in self.services.values():
            # One that is being changed is reported by who changes it.
            if (
                service.ended_at is None
                and not service.is_running
                and service.changing.acquire(blocking=False)
            ):
                try:
                    self._note_end(service)
                finally:
                    service.changing.release()

    def kill(self, label: str) -> None:
        """Kills a service (SIGKILL), if it runs.

        Raises:
            UnknownServiceError: there is none with this label.
        """
        service = self.named(label)
        with service.changing:
            if service.is_running:
                service.process.kill()
                service.note_end()
                self._say(f"{label} was killed.")

    def restart(self, label: str, environment: Mapping[str, str] | None = None) -> None:
        """Ends a service, if it runs, and starts it at the same URL; returns when it listens.

        `environment` is added to what it had at first.

        Raises:
            UnknownServiceError: there is none with this label.
            SuiteError: it does not start, or the run is ending.
        """
        service = self.named(label)
        with service.changing:
            service.process.resume()
            service.process.stop()
            if service.ended_at is None:
                service.note_end()
            if self._is_closed:
                raise SuiteError("The run is ending.")
            service.starts += 1
            port = int(service.url.rpartition(":")[2])
            service.process = service.command.start(
                self._logs, environment or {}, port=port, start=service.starts
            )
            service.started_at, service.ended_at = _now(), None
        wait_until_listening(service.process)
        self._say(f"{label} was started again: {service.url}")

    def suspend(self, label: str) -> None:
        """Stops a service (SIGSTOP) until `resume`.

        Raises:
            UnknownServiceError: there is none with this label.
        """
        self.named(label).process.suspend()
        self._say(f"{label} was suspended.")

    def resume(self, label: str) -> None:
        """Lets a suspended service go on.

        Raises:
            UnknownServiceError: there is none with this label.
        """
        self.named(label).process.resume()
        self._say(f"{label} goes on.")

    def _note_end(self, service: Supervised) -> None:
        if service.ended_at is None and not service.is_running:
            service.note_end()
            status = service.process.exit_status or 0
            how = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            self._say(f"{service.label} has ended {how}; the run goes on. Its log: {service.process.log}")


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
