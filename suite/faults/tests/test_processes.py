"""Which processes a fault picks."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from suite.errors import SuiteError
from suite.faults.processes import Killed, Leaders
from suite.processes import Process
from suite.services import Service, ServiceCommand
from suite.supervision import Supervisor
from suite.table import sample_named

LABELS = ["crud/basic", "crud/retry", "crud/exp_backoff"]


@pytest.fixture
def supervisor(tmp_path: Path) -> Iterator[Supervisor]:
    """Processes that stand for services."""
    services = [
        Service(
            ServiceCommand(sample_named(label), "http://127.0.0.1:1/fruits", {}),
            "http://127.0.0.1:1",
            Process(label, ["sleep", "60"], tmp_path / f"{number}.log", {}),
        )
        for number, label in enumerate([*LABELS, "leader"])
    ]
    with Supervisor(services, tmp_path, lambda _: None) as supervisor:
        yield supervisor


def _gone(supervisor: Supervisor) -> list[str]:
    return [label for label, service in supervisor.services.items() if not service.is_running]


def test_service_under_load_is_killed_before_others(supervisor: Supervisor) -> None:
    supervisor.in_use = "crud/exp_backoff"
    Killed(supervisor, LABELS).kill(2)
    assert _gone(supervisor) == ["crud/basic", "crud/exp_backoff"]


def test_first_are_killed_while_none_is_under_load(supervisor: Supervisor) -> None:
    Killed(supervisor, LABELS).kill(1)
    assert _gone(supervisor) == ["crud/basic"]


def test_without_a_leader_nobody_is_harmed(supervisor: Supervisor) -> None:
    leaders = Leaders(supervisor, election_s=0.0)
    for harm in (leaders.kill, leaders.suspend):
        with pytest.raises(SuiteError, match="Nobody leads"):
            harm(1)
    assert _gone(supervisor) == []
