"""Faults of processes: killed, suspended, or with a wrong clock."""

import time
from collections.abc import Sequence

import requests

from suite.errors import SuiteError
from suite.supervision import Supervised, Supervisor

_TIMEOUT_S = 2.0
_LEADER = "leader"
_POLL_INTERVAL_S = 0.2


class Killed:
    """Kills some of these services; `restart` starts again what it has killed."""

    def __init__(self, supervisor: Supervisor, labels: Sequence[str]) -> None:
        self._supervisor = supervisor
        self._labels = labels
        self._killed: list[str] = []

    def kill(self, count: float) -> None:
        """Kills `count` of them: the one in use, if there is one, and those that come first."""
        in_use = self._supervisor.in_use
        for label in sorted(self._labels, key=lambda label: label != in_use)[: round(count)]:
            self._supervisor.kill(label)
            self._killed.append(label)

    def restart(self) -> None:
        """Starts them again, unless somebody else has."""
        _restart(self._supervisor, self._killed)


class Leaders:
    """The process of the sample `leader` that leads now, and as many of the others as are asked for.

    After a leader was killed, another one leads within `election_s` seconds.
    """

    def __init__(self, supervisor: Supervisor, *, election_s: float = 8.0) -> None:
        self._supervisor = supervisor
        self._election_s = election_s
        self._harmed: list[str] = []

    def kill(self, count: float) -> None:
        """Kills the leader, and `count` - 1 others.

        Raises:
            SuiteError: nobody leads.
        """
        leader = self._leader()
        others = [
            each.label for each in self._supervisor.of(_LEADER) if each.label != leader and each.is_running
        ]
        for label in [leader, *others][: round(count)]:
            self._supervisor.kill(label)
            self._harmed.append(label)

    def restart(self) -> None:
        """Starts again what was killed, unless somebody else has."""
        _restart(self._supervisor, self._harmed)

    def suspend(self, _: float) -> None:
        """Suspends the leader.

        Raises:
            SuiteError: nobody leads.
        """
        self.resume()
        leader = self._leader()
        self._supervisor.suspend(leader)
        self._harmed.append(leader)

    def resume(self) -> None:
        """Lets it go on."""
        while self._harmed:
            self._supervisor.resume(self._harmed.pop())

    def _leader(self) -> str:
        deadline_s = time.monotonic() + self._election_s
        while True:
            for service in self._supervisor.of(_LEADER):
                if service.is_running and _leads(service):
                    return service.label
            if time.monotonic() > deadline_s:
                raise SuiteError("Nobody leads at the moment: try again when somebody does.")
            time.sleep(_POLL_INTERVAL_S)


class Clock:
    """The clock of a service, which is started again to change it."""

    def __init__(self, supervisor: Supervisor, label: str) -> None:
        self._supervisor = supervisor
        self._label = label

    def set_ahead(self, offset_s: float) -> None:
        """Starts the service with a clock that is `offset_s` seconds fast."""
        self._supervisor.restart(self._label, {"CLOCK_OFFSET_S": str(offset_s)})

    def set_right(self) -> None:
        """Starts the service with the machine's clock."""
        self._supervisor.restart(self._label)


def _restart(supervisor: Supervisor, labels: list[str]) -> None:
    while labels:
        label = labels.pop()
        if not supervisor.named(label).is_running:
            supervisor.restart(label)


def _leads(service: Supervised) -> bool:
    try:
        answer = requests.get(f"{service.url}/v1.0/leader", timeout=_TIMEOUT_S)
        return bool(answer.ok and answer.json()["is_me"])
    except requests.RequestException:
        return False
