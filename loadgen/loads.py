"""Loads on several services at the same time: one test run of locust."""

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path

from loadgen.answers import NOT_SENT
from loadgen.history import HistoryLog, Operation
from loadgen.load import READ_BACK_DEADLINE_S, Load
from loadgen.report import WELL, Summary
from loadgen.request_log import RequestLog
from loadgen.traffic import Request


class Loads:
    """A load on each of `services`, by name; each has one URL, or several that share its fruits.

    Raises:
        ServiceError: the fruits of a service can't be created. Those of the others are deleted again.
        OSError: the file `tsv` or `history` can't be written.
    """

    def __init__(
        self,
        services: Mapping[str, Sequence[str]],
        *,
        fruits: int,
        percent_put: int,
        tsv: Path | None = None,
        history: Path | None = None,
    ) -> None:
        self.services = dict(services)
        self.fruits = fruits
        self.percent_put = percent_put
        self.clients = itertools.count(1)
        """Numbers for the users."""
        self._started = threading.Event()
        self.verdict: str | None = None
        """What the load showed; None until its books are closed."""
        with ExitStack() as resources:
            self._log = resources.enter_context(closing(RequestLog(tsv))) if tsv else None
            self._history = resources.enter_context(closing(HistoryLog(history))) if history else None
            self._loads: dict[str, Load] = {}
            for name, hosts in services.items():
                load = Load(*hosts, fruits=fruits, percent_put=percent_put, keep=self._keep)
                resources.callback(load.delete_fruits)
                self._loads[name] = load
            self._resources = resources.pop_all()

    @property
    def is_running(self) -> bool:
        """Whether the books are still open."""
        return self.verdict is None

    @property
    def is_started(self) -> bool:
        """Whether there have been users, or are about to be."""
        return self._started.is_set()

    def start(self) -> None:
        """Note that the users are about to start."""
        self._started.set()

    def wait_until_started(self, *, timeout_s: float) -> None:
        """Return when the users are about to start, or after this time."""
        self._started.wait(timeout_s)

    def of_client(self, number: int) -> tuple[str, Load, str]:
        """The service of a user: its name, its load and the URL to ask. Users are spread evenly."""
        name, load = list(self._loads.items())[number % len(self._loads)]
        return name, load, load.hosts[number // len(self._loads) % len(load.hosts)]

    def record(self, load: Load, request: Request) -> None:
        """Record a request that has ended."""
        load.record(request)
        if self._log:
            self._log.write(request)
        if request.answer is not NOT_SENT:
            self._keep(_operation(request))

    def figures(self) -> dict[str, Summary]:
        """The running books of each service, and the summaries once they have ended."""
        return {name: load.figures() for name, load in self._loads.items()}

    def end(self) -> dict[str, Summary]:
        """Close the books of each service. In total the fruits may take 15 s to be read back."""
        give_up_at_s = time.monotonic() + READ_BACK_DEADLINE_S
        return {
            name: load.end(read_back_deadline_s=give_up_at_s - time.monotonic())
            for name, load in self._loads.items()
        }

    def close(self) -> None:
        """Delete the fruits and close the files.

        Raises:
            OSError: one of the files can't be written.
        """
        self._resources.close()

    def conclude(self, problems: Sequence[str], remarks: Sequence[str]) -> None:
        """Set the verdict: a line for each problem, or that no update was lost, and then the remarks."""
        failures = [f"FAILED: {problem}" for problem in problems]
        self.verdict = "\n".join([*(failures or [WELL]), *remarks])

    def _keep(self, operation: Operation) -> None:
        if self._history:
            self._history.write(operation)


def _operation(request: Request) -> Operation:
    answer = request.answer
    return Operation(
        document=request.fruit_id,
        kind="update" if request.method == "PUT" else "read",
        client=request.client,
        start_ns=request.started_ns,
        end_ns=request.started_ns + round(request.duration_s * 1e9),
        status=answer.status,
        change_count=answer.change_count,
        epoch=answer.epoch,
    )
